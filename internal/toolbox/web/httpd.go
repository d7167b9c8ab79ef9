// Package web is the toolbox's HTTP: httpd, a server with httpbin's basic endpoints,
// and curl, a client with curl's common options and exit codes.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds as httpbin.org has them, and what a graceful end may take.
const (
	maxDelay  = 10 // seconds
	maxBytes  = 100 << 10
	graceTime = 5 * time.Second
)

// exitUsage is the exit code for arguments that cannot be understood.
const exitUsage = 2

// Serve is httpd with these arguments: it serves httpbin's basic endpoints until
// SIGTERM or SIGINT, then answers what has begun. It prints one line per request.
func Serve(args []string, stdout, stderr io.Writer) (int, error) {
	flags := flag.NewFlagSet("httpd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	port := flags.Uint("p", 80, "TCP port")
	socket := flags.String("u", "", "path of a unix socket to serve on instead")
	silent := flags.Bool("q", false, "print nothing per request")
	if err := flags.Parse(args); err != nil {
		return exitUsage, nil // flag has said it
	}
	if *port > 65535 {
		return exitUsage, fmt.Errorf("%d is no port", *port)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	network, address := "tcp", fmt.Sprintf(":%d", *port)
	if *socket != "" {
		network, address = "unix", *socket
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(stdout, "listening on %s\n", listener.Addr())
	handler := endpoints()
	if !*silent {
		handler = logged(stdout, handler)
	}
	return 0, serve(ctx, listener, &http.Server{
		Handler: handler, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(stderr, "httpd: ", 0),
	})
}

func serve(ctx context.Context, listener net.Listener, server *http.Server) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), graceTime)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-ended
	return err
}

func endpoints() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", index)
	mux.HandleFunc("/get", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]any{"args": joined(r.URL.Query()), "headers": headers(r), "origin": origin(r), "url": fullURL(r)})
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]any{"headers": headers(r)})
	})
	mux.HandleFunc("/ip", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]any{"origin": origin(r)})
	})
	mux.HandleFunc("/status/{code}", statusCode)
	mux.HandleFunc("/delay/{seconds}", delay)
	mux.HandleFunc("/bytes/{n}", randomBytes)
	return mux
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "carob toolbox httpd: /get /headers /ip /status/N /delay/N /bytes/N")
}

func reply(w http.ResponseWriter, code int, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, "%s\n", text)
}

// joined shows a repeated value as a list, a single one as itself.
func joined(values map[string][]string) map[string]any {
	shown := make(map[string]any, len(values))
	for k, v := range values {
		shown[k] = v
		if len(v) == 1 {
			shown[k] = v[0]
		}
	}
	return shown
}

func headers(r *http.Request) map[string]string {
	shown := map[string]string{"Host": r.Host}
	for k, v := range r.Header {
		shown[k] = strings.Join(v, ",")
	}
	return shown
}

func origin(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // a unix socket's peer has no address
	}
	return host
}

func fullURL(r *http.Request) string { return "http://" + r.Host + r.URL.RequestURI() }

func statusCode(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		http.Error(w, "want a status from 200 to 599", http.StatusBadRequest)
		return
	}
	if code >= 301 && code <= 308 && code != 304 && code != 306 {
		w.Header().Set("Location", "/get")
	}
	w.WriteHeader(code)
}

func delay(w http.ResponseWriter, r *http.Request) {
	seconds, err := strconv.ParseFloat(r.PathValue("seconds"), 64)
	if err != nil || !(seconds >= 0) {
		http.Error(w, "want a number of seconds", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(time.Duration(min(seconds, maxDelay) * float64(time.Second))):
	case <-r.Context().Done():
		return
	}
	reply(w, http.StatusOK, map[string]any{"args": joined(r.URL.Query()), "headers": headers(r), "origin": origin(r), "url": fullURL(r)})
}

func randomBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil || n < 0 {
		http.Error(w, "want a number of bytes", http.StatusBadRequest)
		return
	}
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(r.URL.Query().Get("seed"), 10, 64); err == nil {
		seed = s
	}
	source := rand.New(rand.NewPCG(seed, 0))
	text := make([]byte, min(n, maxBytes))
	for i := range text {
		text[i] = byte(source.Uint32())
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // the client's loss
}

// logged prints a line per request: the container's log has something to show.
func logged(to io.Writer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(rec, r)
		fmt.Fprintf(to, "%s %s %q %d\n", origin(r), r.Method, r.URL.RequestURI(), rec.code)
	})
}

type recorder struct {
	http.ResponseWriter
	code int
}

// WriteHeader notes the status on its way.
func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}
