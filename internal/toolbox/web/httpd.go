// Package web is the toolbox's HTTP: httpd, a server with httpbin's basic endpoints,
// and curl, a client with curl's common options and exit codes.
package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carob/internal/toolbox/tool"
)

// Bounds as httpbin.org has them, and what a graceful end may take.
const (
	maxDelay  = 10 // seconds
	maxBytes  = 100 << 10
	graceTime = 5 * time.Second
)

// Endpoints are what httpd answers to.
const Endpoints = "/get /headers /ip /status/N /delay/N /bytes/N"

// Serve is httpd: it serves httpbin's basic endpoints until SIGTERM, SIGINT or SIGHUP,
// then answers what has begun. It prints one line per request.
func Serve(c *tool.Call) (int, error) {
	o, _, err := c.Operands(0, 0, "p:a:u:q", "port=p", "address=a", "unix-socket=u", "quiet=q")
	if err != nil {
		return 0, err
	}
	listener, err := listen(o)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(c.Out, "listening on %s\n", listener.Addr())
	handler := endpoints()
	if !o.Has('q') {
		handler = logged(c.Out, handler)
	}
	return 0, serve(whenAsked(c.Asked), listener, &http.Server{
		Handler: handler, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(c.Err, "httpd: ", 0),
	})
}

func listen(o tool.Options) (net.Listener, error) {
	if path := o['u']; path != "" {
		return listenUnix(path)
	}
	port := cmp.Or(o['p'], "80")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, tool.Invalid("invalid port '%s': want a number up to 65535", port)
	} else if a := o['a']; a != "" && net.ParseIP(a) == nil && a != "localhost" {
		return nil, tool.Invalid("invalid address '%s' for port %d: want an IP address", a, n)
	}
	address := net.JoinHostPort(o['a'], port)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %s", address, tool.Why(err))
	}
	return listener, nil
}

// listenUnix takes the place of a socket that nobody listens on any more.
func listenUnix(path string) (net.Listener, error) {
	listener, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if conn, e := net.Dial("unix", path); e == nil {
			conn.Close()
		} else if errors.Is(e, syscall.ECONNREFUSED) && isSocket(path) && os.Remove(path) == nil {
			listener, err = net.Listen("unix", path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %s", path, tool.Why(err))
	}
	return listener, nil
}

func isSocket(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode().Type() == os.ModeSocket
}

// whenAsked is closed by the first signal that asks for an end; a second one, and those
// that ask for no grace, end the process at once.
func whenAsked(asked <-chan os.Signal) <-chan struct{} {
	graceful := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			s, ok := (<-asked).(syscall.Signal)
			if !ok {
				return // the channel is closed
			}
			if !first || s != syscall.SIGTERM && s != syscall.SIGINT && s != syscall.SIGHUP {
				tool.Die(s)
			}
			close(graceful)
		}
	}()
	return graceful
}

func serve(asked <-chan struct{}, listener net.Listener, server *http.Server) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-asked:
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
	mux.HandleFunc("GET /get", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]any{"args": joined(r.URL.Query()), "headers": headers(r), "origin": origin(r), "url": fullURL(r)})
	})
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]any{"headers": headers(r)})
	})
	mux.HandleFunc("GET /ip", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]any{"origin": origin(r)})
	})
	mux.HandleFunc("/status/{code}", statusCode)
	mux.HandleFunc("/delay/{seconds}", delay)
	mux.HandleFunc("GET /bytes/{n}", randomBytes)
	return mux
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, "carob toolbox httpd: "+Endpoints)
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
