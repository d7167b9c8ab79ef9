package view

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carob/internal/look/draw"
	"carob/internal/look/draw/scene"
	"carob/internal/look/recorded"
)

const (
	appID  = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sideID = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	podID  = "4a8d5c3e-3821-4727-9d20-965febbccfbb"
	group  = "/kubepods/pod" + podID
)

// processes are a pod of two that share net, and whose app says what a page must not
// run.
const processes = `
1 0 0 1 / /sbin/init
101 1 0 101,1 ` + group + "/" + appID + ` /bin/app <script>document.title="caught"</script> <img/src=x/onerror=document.title="caught">
  net=4026540000 mnt=4026540001 pid=4026540002
  environ: HOSTNAME=foo\0
102 1 0 102,1 ` + group + "/" + sideID + ` /bin/side
  net=4026540000 mnt=4026540003 pid=4026540004
  environ: HOSTNAME=foo\0
`

const limits = group + ` memory=402653184/10485760
` + group + "/" + appID + ` memory=268435456/8388608
` + group + "/" + sideID + ` memory=134217728/2097152
`

// shownHost is a recorded host and a server that shows it.
type shownHost struct {
	root, url string
	stop      context.CancelFunc
}

func start(t *testing.T) shownHost {
	t.Helper()
	root := t.TempDir()
	all, err := recorded.Parse(strings.NewReader(processes))
	if err != nil {
		t.Fatal(err)
	}
	if err := recorded.WriteHost(root, all, limits); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Look: draw.Options{Root: root}, Every: 30 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	return shownHost{root, s.URL(l), cancel}
}

// use changes what the app uses.
func (h shownHost) use(t *testing.T, bytes string) {
	t.Helper()
	file := filepath.Join(h.root, "sys/fs/cgroup", group, appID, "memory.current")
	if err := os.WriteFile(file, []byte(bytes+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func ask(t *testing.T, method, address, host string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		r.Host = host
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(b)
}

// TestGuard: nothing is told to who does not know the word or means another host.
func TestGuard(t *testing.T) {
	h := start(t)
	u, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + u.Host
	for _, c := range []struct {
		method, address, host string
		code                  int
	}{
		{"GET", h.url, "", 200},
		{"GET", h.url, "localhost:" + u.Port(), 200},
		{"GET", h.url + "view.js", "", 200},
		{"GET", h.url + "view.css", "", 200},
		{"GET", h.url + "draw.css", "", 200},
		{"GET", h.url, "evil.example", 421},
		{"GET", h.url, "evil.example:" + u.Port(), 421},
		{"GET", h.url, "127.0.0.1", 421},
		{"GET", h.url + "details?key=cgroup-/", "127.0.0.1.evil.example:" + u.Port(), 421},
		{"GET", base + "/", "", 404},
		{"GET", base + "/view.js", "", 404},
		{"GET", strings.TrimSuffix(h.url, "/"), "", 404},
		{"GET", base + "/" + strings.Repeat("a", 32) + "/", "", 404},
		{"GET", base + "//" + u.Path, "", 404},
		{"GET", h.url + "../../../etc/passwd", "", 404},
		{"GET", h.url + "%2e%2e/doc.go", "", 404},
		{"POST", h.url + "details?key=cgroup-/", "", 405},
		{"DELETE", h.url, "", 405},
	} {
		answer, body := ask(t, c.method, c.address, c.host)
		if answer.StatusCode != c.code {
			t.Errorf("%s %s as %q: %d, want %d", c.method, c.address, c.host, answer.StatusCode, c.code)
		}
		if answer.StatusCode >= 400 && strings.Contains(body, "foo") {
			t.Errorf("%s %s as %q tells %q", c.method, c.address, c.host, body)
		}
		policy := answer.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || answer.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s %s: headers are %v", c.method, c.address, answer.Header)
		}
	}
}

// TestTokens: every server has a word of its own, long enough not to be guessed.
func TestTokens(t *testing.T) {
	a, b := New(Options{}), New(Options{})
	if a.token == b.token || len(a.token) < 32 {
		t.Errorf("%q, %q", a.token, b.token)
	}
}

func TestListen(t *testing.T) {
	l, err := Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ip := l.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		t.Errorf("listens on %v", ip)
	}
	if second, err := Listen(l.Addr().(*net.TCPAddr).Port); err == nil {
		second.Close()
		t.Error("two have one port")
	}
}

// TestPageIsWhole: the page names nothing that is not served from the program.
func TestPageIsWhole(t *testing.T) {
	for _, name := range []string{"index.html", "view.js", "view.css"} {
		b, err := page.ReadFile("page/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"http:", "https:", "//cdn", "innerHTML", "document.write", "eval(", "@import", "url("} {
			if strings.Contains(string(b), word) {
				t.Errorf("%s has %q", name, word)
			}
		}
	}
}

// stream reads events of a page.
type stream struct {
	*bufio.Scanner
	close func() error
	code  int
}

func listen(t *testing.T, address string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(answer.Body)
	s.Buffer(nil, 1<<22)
	t.Cleanup(func() { answer.Body.Close() })
	return &stream{s, answer.Body.Close, answer.StatusCode}
}

// next is the next drawing; comments are skipped.
func (s *stream) next(t *testing.T) (d shown) {
	t.Helper()
	for s.Scan() {
		if text, ok := strings.CutPrefix(s.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(text), &d); err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	t.Fatal("no further event:", s.Err())
	return d
}

// comment skips a comment, before which no drawing may come.
func (s *stream) comment(t *testing.T) {
	t.Helper()
	for s.Scan() {
		if strings.HasPrefix(s.Text(), ":") {
			return
		}
		if s.Text() != "" {
			t.Fatalf("nothing has changed, and there came %.100q", s.Text())
		}
	}
	t.Fatal("no comment:", s.Err())
}

// TestEvents: a drawing comes at once, another when something has changed, and none
// when nothing has.
func TestEvents(t *testing.T) {
	h := start(t)
	s := listen(t, h.url+"events")
	d := s.next(t)
	if d.Title != "host node-1" || !strings.Contains(d.SVG, "memory 8MiB of 256MiB") {
		t.Errorf("got %q and %.100q", d.Title, d.SVG)
	}
	s.comment(t)
	s.comment(t)
	h.use(t, "201326592")
	if d = s.next(t); !strings.Contains(d.SVG, "memory 192MiB of 256MiB") {
		t.Errorf("got %.100q", d.SVG)
	}
}

func TestEventsOfNothing(t *testing.T) {
	h := start(t)
	d := listen(t, h.url+"events?thing=nobody").next(t)
	if !strings.Contains(d.Problem, "nobody") || d.SVG != "" {
		t.Errorf("got %+v", d)
	}
}

// TestTooManyPages: one more than may be open is refused, and let in when another closes.
func TestTooManyPages(t *testing.T) {
	h := start(t)
	var open []*stream
	for range maxPages {
		s := listen(t, h.url+"events")
		s.next(t)
		open = append(open, s)
	}
	if s := listen(t, h.url+"events"); s.code != http.StatusTooManyRequests {
		t.Errorf("page %d: %d", maxPages+1, s.code)
	}
	_ = open[0].close()
	deadline := time.Now().Add(10 * time.Second)
	for listen(t, h.url+"events").code != http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("the place of a page that was closed is not free")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestDetails(t *testing.T) {
	h := start(t)
	for key, want := range map[string]string{
		"container-" + appID:  "net=4026540000, shared with",
		"pod-" + podID:        "container=",
		"cgroup-" + group:     "memory=10MiB of 384MiB",
		"net:[4026540000]":    "in it=foo/",
		"user:[4026531837]":   "user=user:[4026531837]",
		"cgroup-/":            "holds=",
		"container-" + sideID: "process 102=/bin/side",
	} {
		answer, body := ask(t, http.MethodGet, h.url+"details?key="+url.QueryEscape(key), "")
		var d scene.Details
		if err := json.Unmarshal([]byte(body), &d); err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d, %v", key, answer.StatusCode, err)
		}
		var rows []string
		for _, r := range d.Rows {
			rows = append(rows, r.Name+"="+r.Value)
		}
		if all := strings.Join(rows, "\n"); d.Key != key || d.Title == "" || !strings.Contains(all, want) {
			t.Errorf("%s: got %+v, no %q", key, d, want)
		}
	}
	for _, key := range []string{"", "nothing", "net:[7]"} {
		if answer, _ := ask(t, http.MethodGet, h.url+"details?key="+url.QueryEscape(key), ""); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%q: %d", key, answer.StatusCode)
		}
	}
}
