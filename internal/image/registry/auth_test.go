package registry

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"carob/internal/fault"
)

// tokens is a token server for one user; it notes what it is sent.
type tokens struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func newTokens(t *testing.T) *tokens {
	t.Helper()
	ts := &tokens{}
	ts.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		user, password, _ := r.BasicAuth()
		ts.mu.Lock()
		ts.seen = append(ts.seen, r.Method+" "+r.Form.Get("scope"))
		ts.mu.Unlock()
		ok := user == "me" && password == "secret" || r.Form.Get("username") == "me" && r.Form.Get("password") == "secret"
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"token": "good", "access_token": "good", "expires_in": 300})
	}))
	t.Cleanup(ts.Close)
	return ts
}

// guard makes the registry want a token of ts.
func (s *server) guard(ts *tokens) {
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer good" {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="test"`, ts.URL+"/token"))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

func TestTokenServer(t *testing.T) {
	s, ts := newServer(t), newTokens(t)
	name := s.upload(t, "private/app:1", imageOf(t, layerOf(t, files{"a": "1"})))
	s.guard(ts)
	good := Auth{Username: "me", Password: "secret"}
	for _, test := range []struct {
		name string
		auth Auth
		kind fault.Kind
		ok   bool
	}{
		{"user and password", good, 0, true},
		{"base64", Auth{Auth: "bWU6c2VjcmV0"}, 0, true},
		{"a token itself", Auth{RegistryToken: "good"}, 0, true},
		{"for this registry", Auth{Username: "me", Password: "secret", ServerAddress: "http://" + s.host() + "/v2/"}, 0, true},
		{"for another registry", Auth{Username: "me", Password: "secret", ServerAddress: "other.example"}, fault.Denied, false},
		{"wrong password", Auth{Username: "me", Password: "x"}, fault.Denied, false},
		{"none", Auth{}, fault.Denied, false},
		{"no base64", Auth{Auth: "!"}, fault.Invalid, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newClient(t).Pull(t.Context(), name, PullOptions{Auth: test.auth})
			if test.ok != (err == nil) || !test.ok && !fault.Is(err, test.kind) {
				t.Errorf("pull: %v (%v)", err, fault.KindOf(err))
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is in %q", err)
			}
		})
	}
	c := newClient(t)
	if err := c.Login(t.Context(), s.host(), good, nil); err != nil {
		t.Error(err)
	}
	if err := c.Login(t.Context(), s.host(), Auth{Username: "me", Password: "x"}, nil); !fault.Is(err, fault.Denied) {
		t.Errorf("login with a wrong password: %v", err)
	}
	if err := c.Login(t.Context(), "http://x/", good, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("login at a URL: %v", err)
	}
}

// One caller's failure is not another's: whoever joins a download that is refused asks
// with credentials of his own.
func TestCredentialsAreNotShared(t *testing.T) {
	s := newServer(t)
	name := bigImage(t, s)
	began, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		user, _, _ := r.BasicAuth()
		_, big := s.bigBlob(r)
		switch {
		case user == "":
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		case big && user == "poor":
			once.Do(func() { close(began) })
			<-release
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	c := newClient(t)
	poor := make(chan error, 1)
	go func() {
		_, err := c.Pull(t.Context(), name, PullOptions{Auth: Auth{Username: "poor", Password: "x"}})
		poor <- err
	}()
	<-began
	rich := make(chan error, 1)
	go func() {
		_, err := c.Pull(t.Context(), name, PullOptions{Auth: Auth{Username: "rich", Password: "x"}})
		rich <- err
	}()
	waitFor(t, func() bool {
		c.downloads.mu.Lock()
		defer c.downloads.mu.Unlock()
		for _, one := range c.downloads.all {
			return one.refs > 2
		}
		return false
	})
	close(release)
	if err := <-rich; err != nil {
		t.Errorf("rich: %v", err)
	}
	if err := <-poor; err != nil && !fault.Is(err, fault.Denied) {
		t.Errorf("poor: %v", err)
	}
}

// hostsToml writes the registry's file.
func hostsToml(t *testing.T, c *Client, host, text string) {
	t.Helper()
	dir := filepath.Join(c.c.Dir, host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A redirect takes neither credentials nor private headers along.
func TestRedirectLeaksNothing(t *testing.T) {
	s := newServer(t)
	name := bigImage(t, s)
	var leaked []string
	var mu sync.Mutex
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		for _, h := range []string{"Authorization", "X-Private", "Cookie"} {
			if v := r.Header.Get(h); v != "" {
				leaked = append(leaked, h+": "+v)
			}
		}
		mu.Unlock()
		s.under.ServeHTTP(w, r)
	}))
	defer elsewhere.Close()
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if user, _, _ := r.BasicAuth(); user != "me" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if !isBlob(r) {
			return false
		}
		// The same address under another name is another host.
		http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	})
	c := newClient(t)
	hostsToml(t, c, s.host(), fmt.Sprintf("server = %q\n[header]\nX-Private = \"p\"\n", s.URL))
	if _, err := c.Pull(t.Context(), name, PullOptions{Auth: Auth{Username: "me", Password: "secret"}}); err != nil {
		t.Fatal(err)
	}
	if len(leaked) > 0 {
		t.Errorf("sent to where the redirect led: %q", leaked)
	}
}

// A mirror is asked first, gets no credentials of the registry's, and is passed over when it
// fails; the files are read at each pull.
func TestMirror(t *testing.T) {
	s, mirror := newServer(t), newServer(t)
	m := imageOf(t, layerOf(t, files{"a": "1"}))
	mirror.upload(t, "app:1", m)
	const registry = "registry.invalid"
	c := newClient(t)
	if _, err := pull(t, c, registry+"/app:1"); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("without a mirror: %v", err)
	}
	hostsToml(t, c, registry, fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", s.URL, mirror.URL))
	mirror.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("the mirror got %s", r.Header.Get("Authorization"))
		}
		return false
	})
	if _, err := c.Pull(t.Context(), registry+"/app:1", PullOptions{Auth: Auth{Username: "me", Password: "secret"}}); err != nil {
		t.Fatal(err)
	}
	s.upload(t, "other:1", imageOf(t, layerOf(t, files{"b": "1"})))
	mustPull(t, c, registry+"/other:1") // the mirror does not have it
	mirror.Close()
	s.upload(t, "third:1", imageOf(t, layerOf(t, files{"c": "1"})))
	mustPull(t, c, registry+"/third:1")
}

// A registry with a certificate of its own authority is trusted when its file says so; that
// a token server wants credentials in plain text is refused then.
func TestOwnAuthority(t *testing.T) {
	s := newServer(t)
	s.upload(t, "app:1", imageOf(t, layerOf(t, files{"a": "1"})))
	tls := httptest.NewUnstartedServer(s)
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	const registry = "registry.invalid"
	c := newClient(t)
	hostsToml(t, c, registry, fmt.Sprintf("server = %q\n", tls.URL))
	if _, err := pull(t, c, registry+"/app:1"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with an unknown authority: %v", err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(c.c.Dir, registry, "ca.pem"), ca, 0o644); err != nil {
		t.Fatal(err)
	}
	hostsToml(t, c, registry, fmt.Sprintf("server = %q\nca = \"ca.pem\"\n", tls.URL))
	mustPull(t, c, registry+"/app:1")
	ts := newTokens(t)
	s.guard(ts)
	_, err := c.Pull(t.Context(), registry+"/app:1", PullOptions{Auth: Auth{Username: "me", Password: "secret"}})
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "plain text") || len(ts.seen) > 0 {
		t.Errorf("a token server without TLS: %v, it has seen %q", err, ts.seen)
	}
}

func TestHostFile(t *testing.T) {
	for _, test := range []struct{ text, words string }{
		{"server = \"https://x\"\n[host.\"https://m/v2\"]\noverride_path = true\ndial_timeout = \"3s\"\n", ""},
		{"server = [", "toml"},
		{"servre = \"https://x\"", `unknown key "servre"`},
		{"[host.\"https://m\"]\ncapabilities = [\"pull\", \"fly\"]", `unknown capability "fly"`},
		{"server = \"http+unix://x\"", "want http"},
		{"server = 1", "toml"},
	} {
		err := parseHostFile(strings.NewReader(test.text))
		if test.words == "" && err != nil || test.words != "" && (err == nil || !strings.Contains(err.Error(), test.words)) {
			t.Errorf("%q: %v; want %q", test.text, err, test.words)
		}
	}
	c := newClient(t)
	hostsToml(t, c, "registry.invalid", "servre = 1")
	if _, err := pull(t, c, "registry.invalid/x"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "hosts.toml") {
		t.Errorf("pull with a bad file: %v", err)
	}
}

func FuzzHostFile(f *testing.F) {
	f.Add("server = \"https://x\"\n[host.\"https://m\"]\nca = [\"a\"]\n")
	f.Fuzz(func(_ *testing.T, text string) { _ = parseHostFile(strings.NewReader(text)) })
}
