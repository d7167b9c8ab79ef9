package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"carob/internal/toolbox/tool"
)

// Exit codes of curl(1).
const (
	curlProtocol    = 1
	curlBadURL      = 3
	curlNoHost      = 6
	curlNoConnect   = 7
	curlPartial     = 18
	curlHTTPStatus  = 22
	curlWrite       = 23
	curlRead        = 26
	curlTimeout     = 28
	curlTLS         = 35
	curlRedirects   = 47
	curlEmpty       = 52
	curlReceive     = 56
	curlCertificate = 60
)

// maxRedirects is curl's default.
const maxRedirects = 50

// Get is curl. Its errors are printed, with curl's numbers; only wrong arguments are
// returned as one.
func Get(c *tool.Call) (int, error) {
	q, err := parseCurl(c)
	var f failure
	if errors.As(err, &f) {
		return q.report(err), nil
	}
	if err != nil {
		return 0, err
	}
	log.SetOutput(io.Discard) // the library tells there what its errors tell too
	code := 0
	for _, u := range q.urls {
		if n := q.report(q.get(u)); n != 0 {
			code = n
		}
	}
	return code, nil
}

// transfer is one URL on its way.
type transfer struct {
	*request
	url       *url.URL
	begun     time.Time
	resp      *http.Response
	size      int64
	redirects int
	connected bool
}

func (q *request) get(address string) error {
	u, err := parseURL(address)
	if err != nil {
		return err
	}
	t := &transfer{request: q, url: u, begun: time.Now()}
	ctx, cancel := context.WithTimeout(context.Background(), q.limit)
	defer cancel()
	req, err := q.build(ctx, u)
	if err != nil {
		return err
	}
	transport := t.transport()
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: t.redirect}
	t.resp, err = client.Do(req)
	if err != nil {
		t.writeOut()
		return t.explain(err)
	}
	defer t.resp.Body.Close()
	err = t.receive()
	t.writeOut()
	return err
}

// parseURL takes http for a scheme that is left out.
func parseURL(address string) (*url.URL, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err
		}
		return nil, fails(curlBadURL, "URL rejected: %v", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fails(curlProtocol, "Protocol \"%s\" not supported", u.Scheme)
	case u.Hostname() == "":
		return nil, fails(curlBadURL, "URL rejected: No host part in the URL")
	}
	if p := u.Port(); p != "" {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return nil, fails(curlBadURL, "URL rejected: Port number was not a decimal number between 0 and 65535")
		}
	}
	return u, nil
}

func (q *request) build(ctx context.Context, u *url.URL) (*http.Request, error) {
	method := http.MethodGet
	var body io.Reader
	if len(q.data) > 0 {
		method, body = http.MethodPost, strings.NewReader(strings.Join(q.data, "&"))
	}
	if q.head {
		method = http.MethodHead
	}
	if q.method != "" {
		method = q.method
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fails(curlBadURL, "%v", err)
	}
	req.Header.Set("User-Agent", q.agent)
	req.Header.Set("Accept", "*/*")
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if name, password, ok := strings.Cut(q.user, ":"); ok || name != "" {
		req.SetBasicAuth(name, password)
	}
	for _, h := range q.headers {
		setHeader(req, h)
	}
	return req, nil
}

// setHeader takes "Name: value", "Name:" to leave one out, and "Name;" for one that is
// empty.
func setHeader(req *http.Request, h string) {
	if name, ok := strings.CutSuffix(h, ";"); ok && !strings.Contains(h, ":") {
		req.Header.Set(name, "")
		return
	}
	name, v, _ := strings.Cut(h, ":")
	switch v = strings.TrimSpace(v); {
	case strings.EqualFold(name, "Host"):
		req.Host = v
	case v == "" && strings.EqualFold(name, "User-Agent"):
		req.Header.Set(name, "") // else the library adds its own
	case v == "":
		req.Header.Del(name)
	default:
		req.Header.Set(name, v)
	}
}

func (t *transfer) transport() *traced {
	dialer := net.Dialer{Timeout: t.connectLimit}
	h := &http.Transport{DisableCompression: true, Proxy: http.ProxyFromEnvironment}
	h.DialContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		network := t.network
		if t.socket != "" {
			network, address = "unix", t.socket
		}
		t.note("*   Trying %s...", address)
		return dialer.DialContext(ctx, network, address)
	}
	if t.socket != "" {
		h.Proxy = nil
	}
	h.TLSClientConfig = &tls.Config{InsecureSkipVerify: t.insecure} //nolint:gosec // what -k asks for
	return &traced{h, t}
}

// note prints a line of -v.
func (t *transfer) note(format string, args ...any) {
	if t.verbose {
		fmt.Fprintln(t.c.Err, tool.Printable(fmt.Sprintf(format, args...)))
	}
}

// traced sees every request and reply, those of redirects too.
type traced struct {
	*http.Transport
	t *transfer
}

// RoundTrip is http.Transport's, with the lines of -v.
func (r *traced) RoundTrip(req *http.Request) (*http.Response, error) {
	t := r.t
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		t.connected = true
		t.note("* Connected to %s (%s)", req.URL.Hostname(), info.Conn.RemoteAddr())
	}}
	if t.verbose {
		t.noteRequest(req, trace)
	}
	resp, err := r.Transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err == nil {
		t.note("< %s %s", resp.Proto, resp.Status)
		for _, line := range headerLines(resp.Header) {
			t.note("< %s", line)
		}
		t.note("<")
	}
	return resp, err
}

// noteRequest prints the request's lines once they are written, which is before the
// reply's.
func (t *transfer) noteRequest(req *http.Request, trace *httptrace.ClientTrace) {
	var lines []string
	trace.WroteHeaderField = func(name string, values []string) {
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	trace.WroteHeaders = func() {
		t.note("> %s %s HTTP/1.1", req.Method, req.URL.RequestURI())
		for _, line := range lines {
			t.note("> %s", line)
		}
		t.note(">")
	}
}

func headerLines(h http.Header) []string {
	var lines []string
	for name, values := range h {
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	slices.Sort(lines)
	return lines
}

var errTooManyRedirects = errors.New("too many redirects")

func (t *transfer) redirect(req *http.Request, via []*http.Request) error {
	if !t.follow {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return errTooManyRedirects
	}
	if t.method != "" {
		req.Method = t.method // -X is for every request, as curl's manual warns
	}
	t.redirects, t.url = len(via), req.URL
	return nil
}

func (t *transfer) receive() error {
	if t.fail && t.resp.StatusCode >= 400 {
		return fails(curlHTTPStatus, "The requested URL returned error: %d", t.resp.StatusCode)
	}
	out, err := t.open()
	if err != nil {
		return err
	}
	if t.include || t.head {
		fmt.Fprintf(out, "%s %s\r\n%s\r\n\r\n", t.resp.Proto, t.resp.Status, strings.Join(headerLines(t.resp.Header), "\r\n"))
	}
	w := &sink{Writer: out}
	t.size, err = io.Copy(w, t.resp.Body)
	if f, ok := out.(*os.File); ok && out != t.c.Out {
		w.err = errors.Join(w.err, f.Close())
	}
	switch {
	case w.err != nil:
		return fails(curlWrite, "Failure writing output to destination: %s", tool.Why(w.err))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fails(curlPartial, "end of response with %d bytes missing", max(t.resp.ContentLength-t.size, 0))
	case err != nil:
		return t.explain(err)
	}
	return nil
}

// sink remembers that it was the writing that failed.
type sink struct {
	io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	s.err = err
	return n, err
}

// open is where the reply goes: a file named by -o, by the URL with -O, or the output.
func (t *transfer) open() (io.Writer, error) {
	name := t.output
	if t.remoteName {
		name = path.Base(t.url.Path)
		if name == "/" || name == "." || name == ".." {
			return nil, fails(curlWrite, "Remote filename has no length")
		}
	}
	if name == "" || name == "-" {
		return t.c.Out, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fails(curlWrite, "Failed to open the file %s: %s", name, tool.Why(err))
	}
	return f, nil
}

// writeOut prints -w's format.
func (t *transfer) writeOut() {
	if t.format == "" {
		return
	}
	code, kind, to := 0, "", ""
	if t.resp != nil {
		code, kind = t.resp.StatusCode, t.resp.Header.Get("Content-Type")
		if u, err := t.resp.Location(); err == nil {
			to = u.String()
		}
	}
	status := fmt.Sprintf("%03d", code)
	fmt.Fprint(t.c.Out, strings.NewReplacer(
		"%{http_code}", status, "%{response_code}", status, "%{size_download}", strconv.FormatInt(t.size, 10), "%{content_type}", kind,
		"%{time_total}", fmt.Sprintf("%.6f", time.Since(t.begun).Seconds()), "%{url_effective}", t.url.String(), "%{redirect_url}", to,
		"%{num_redirects}", strconv.Itoa(t.redirects), `\n`, "\n", `\t`, "\t", `\r`, "\r", "%%", "%",
	).Replace(t.format))
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// explain gives an error curl's number and, mostly, curl's words.
func (t *transfer) explain(err error) error {
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err // without the method and the URL
	}
	took := time.Since(t.begun).Milliseconds()
	switch {
	case errors.As(err, &dns) && !dns.IsTimeout:
		return fails(curlNoHost, "Could not resolve host: %s", t.url.Hostname())
	case isTimeout(err):
		return fails(curlTimeout, "%s", t.late(took))
	case errors.Is(err, errTooManyRedirects):
		return fails(curlRedirects, "Maximum (%d) redirects followed", maxRedirects)
	case errors.As(err, &cert):
		return fails(curlCertificate, "SSL certificate problem: %v", cert.Err)
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return fails(curlTLS, "TLS connect error: the server does not speak TLS")
	case errors.As(err, &op) && op.Op == "dial":
		return fails(curlNoConnect, "Failed to connect to %s after %d ms: %s", t.peer(), took, tool.Why(op.Err))
	case errors.Is(err, io.EOF):
		return fails(curlEmpty, "Empty reply from server")
	}
	return fails(curlReceive, "Recv failure: %s", tool.Why(err))
}

func (t *transfer) late(took int64) string {
	if !t.connected {
		return fmt.Sprintf("Connection timed out after %d milliseconds", took)
	}
	return fmt.Sprintf("Operation timed out after %d milliseconds with %d bytes received", took, t.size)
}

// peer is what could not be connected to.
func (t *transfer) peer() string {
	if t.socket != "" {
		return t.socket
	}
	port := t.url.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[t.url.Scheme]
	}
	return t.url.Hostname() + " port " + port
}
