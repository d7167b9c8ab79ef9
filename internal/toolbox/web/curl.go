package web

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Exit codes of curl(1).
const (
	curlBadURL      = 3
	curlNoHost      = 6
	curlNoConnect   = 7
	curlHTTPStatus  = 22
	curlWrite       = 23
	curlTimeout     = 28
	curlRedirects   = 47
	curlEmpty       = 52
	curlReceive     = 56
	curlCertificate = 60
)

// request is what curl's arguments ask for.
type request struct {
	urls                           []string
	method, output, format, socket string
	data                           []string
	headers                        []string
	silent, showError, fail        bool
	include, head, follow          bool
	insecure                       bool
	limit                          time.Duration
	stdout                         io.Writer
}

// Get is curl with these arguments. Its errors are printed, with curl's numbers;
// only wrong arguments are returned as one.
func Get(args []string, stdout, stderr io.Writer) (int, error) {
	q, err := parseCurl(args)
	if err == nil && len(q.urls) == 0 {
		err = errors.New("no URL")
	}
	if err != nil {
		return exitUsage, err
	}
	q.stdout = stdout
	code := 0
	for _, u := range q.urls {
		n, err := q.get(u)
		if err != nil && (!q.silent || q.showError) {
			fmt.Fprintf(stderr, "curl: (%d) %v\n", n, err)
		}
		code = cmp.Or(n, code)
	}
	return code, nil
}

// longCurl maps curl's long options to letters; the capitals without a short form
// of their own are ours.
func longCurl(name string) (byte, bool) {
	letter, ok := map[string]byte{
		"silent": 's', "show-error": 'S', "fail": 'f', "include": 'i', "head": 'I', "output": 'o', "request": 'X', "data": 'd',
		"header": 'H', "location": 'L', "max-time": 'm', "connect-timeout": 'm', "write-out": 'w', "insecure": 'k', "unix-socket": 'U',
	}[name]
	return letter, ok
}

func parseCurl(args []string) (request, error) {
	q := request{limit: 1<<63 - 1}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if len(arg) < 2 || arg[0] != '-' {
			q.urls = append(q.urls, arg)
			continue
		}
		letters := arg[1:]
		if strings.HasPrefix(arg, "--") {
			l, ok := longCurl(arg[2:])
			if !ok {
				return q, fmt.Errorf("unknown option %s", arg)
			}
			letters = string(l)
		}
		var err error
		if args, err = q.letters(letters, args); err != nil {
			return q, err
		}
	}
	return q, nil
}

// letters takes short options in one argument apart; a value may be its rest or the
// first of args. It returns what is left of args.
func (q *request) letters(letters string, args []string) ([]string, error) {
	for letters != "" {
		letter := letters[0]
		letters = letters[1:]
		if q.flag(letter) {
			continue
		}
		if letters == "" {
			if len(args) == 0 {
				return nil, fmt.Errorf("option -%c is unknown or wants a value", letter)
			}
			letters, args = args[0], args[1:]
		}
		return args, q.value(letter, letters)
	}
	return args, nil
}

// flag sets an option without value, and reports whether the letter is one.
func (q *request) flag(letter byte) bool {
	flags := map[byte]*bool{'s': &q.silent, 'S': &q.showError, 'f': &q.fail, 'i': &q.include, 'I': &q.head, 'L': &q.follow, 'k': &q.insecure}
	f, ok := flags[letter]
	if ok {
		*f = true
	}
	return ok
}

func (q *request) value(letter byte, v string) error {
	switch letter {
	case 'o':
		q.output = v
	case 'X':
		q.method = v
	case 'w':
		q.format = v
	case 'U':
		q.socket = v
	case 'H':
		q.headers = append(q.headers, v)
	case 'd':
		return q.addData(v)
	case 'm':
		return q.setLimit(v)
	default:
		return fmt.Errorf("unknown option -%c", letter)
	}
	return nil
}

func (q *request) addData(v string) error {
	if name, ok := strings.CutPrefix(v, "@"); ok {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		v = string(text)
	}
	q.data = append(q.data, v)
	return nil
}

func (q *request) setLimit(v string) error {
	seconds, err := strconv.ParseFloat(v, 64)
	if err != nil || seconds <= 0 || seconds > 1e9 {
		return fmt.Errorf("%q is no time in seconds", v)
	}
	q.limit = time.Duration(seconds * float64(time.Second))
	return nil
}

func (q *request) get(address string) (int, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return curlBadURL, fmt.Errorf("%q is no http or https URL", address)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), q.limit)
	defer cancel()
	req, err := q.build(ctx, u)
	if err != nil {
		return curlBadURL, err
	}
	transport := q.transport()
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, CheckRedirect: q.redirect}
	resp, err := client.Do(req)
	if err != nil {
		q.writeOut(nil, 0, begun)
		return explainCurl(err, u)
	}
	defer resp.Body.Close()
	n, code, err := q.receive(resp)
	q.writeOut(resp, n, begun)
	return code, err
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
	req, err := http.NewRequestWithContext(ctx, cmp.Or(q.method, method), u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "curl/8 (carob toolbox)")
	req.Header.Set("Accept", "*/*")
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, h := range q.headers {
		name, v, _ := strings.Cut(h, ":")
		if v = strings.TrimSpace(v); strings.EqualFold(name, "Host") {
			req.Host = v
		} else if v == "" {
			req.Header.Del(name)
		} else {
			req.Header.Set(name, v)
		}
	}
	return req, nil
}

func (q *request) transport() *http.Transport {
	t := &http.Transport{DisableCompression: true, Proxy: http.ProxyFromEnvironment}
	if q.socket != "" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", q.socket)
		}
	}
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: q.insecure} //nolint:gosec // what -k asks for
	return t
}

var errTooManyRedirects = errors.New("more than 50 redirects")

func (q *request) redirect(_ *http.Request, via []*http.Request) error {
	if !q.follow {
		return http.ErrUseLastResponse
	}
	if len(via) > 50 {
		return errTooManyRedirects
	}
	return nil
}

func (q *request) receive(resp *http.Response) (int64, int, error) {
	if q.fail && resp.StatusCode >= 400 {
		return 0, curlHTTPStatus, says("The requested URL returned error: %d", resp.StatusCode)
	}
	out := q.stdout
	if q.output != "" {
		f, err := os.Create(q.output)
		if err != nil {
			return 0, curlWrite, err
		}
		defer f.Close()
		out = f
	}
	if q.include || q.head {
		fmt.Fprintf(out, "%s %s\r\n", resp.Proto, resp.Status)
		for _, name := range slices.Sorted(mapKeys(resp.Header)) {
			fmt.Fprintf(out, "%s: %s\r\n", name, strings.Join(resp.Header[name], ", "))
		}
		fmt.Fprint(out, "\r\n")
	}
	n, err := io.Copy(out, resp.Body)
	var path *os.PathError
	switch {
	case errors.As(err, &path):
		return n, curlWrite, err
	case isTimeout(err):
		return n, curlTimeout, says("Operation timed out")
	case err != nil:
		return n, curlReceive, err
	}
	return n, 0, nil
}

func mapKeys(h http.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range h {
			if !yield(k) {
				return
			}
		}
	}
}

// writeOut prints -w's format: http_code, size_download, time_total.
func (q *request) writeOut(resp *http.Response, n int64, begun time.Time) {
	if q.format == "" {
		return
	}
	code := 0
	kind := ""
	if resp != nil {
		code, kind = resp.StatusCode, resp.Header.Get("Content-Type")
	}
	status := fmt.Sprintf("%03d", code)
	fmt.Fprint(q.stdout, strings.NewReplacer(
		"%{http_code}", status, "%{response_code}", status, "%{size_download}", strconv.FormatInt(n, 10), "%{content_type}", kind,
		"%{time_total}", fmt.Sprintf("%.6f", time.Since(begun).Seconds()), `\n`, "\n", `\t`, "\t", "%%", "%",
	).Replace(q.format))
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// says makes an error of curl's own words: sentences, for which scripts look.
func says(format string, args ...any) error { return fmt.Errorf(format, args...) }

// explainCurl gives an error curl's number and, mostly, curl's words.
func explainCurl(err error, u *url.URL) (int, error) {
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	switch {
	case errors.As(err, &dns) && !dns.IsTimeout:
		return curlNoHost, says("Could not resolve host: %s", u.Hostname())
	case isTimeout(err):
		return curlTimeout, says("Operation timed out")
	case errors.Is(err, errTooManyRedirects):
		return curlRedirects, err
	case errors.As(err, &cert):
		return curlCertificate, err
	case errors.As(err, &op) && op.Op == "dial":
		return curlNoConnect, says("Failed to connect to %s: %w", u.Host, op.Err)
	case errors.Is(err, io.EOF):
		return curlEmpty, says("Empty reply from server")
	}
	return curlReceive, err
}
