package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"carob/internal/testenv"
)

// server is a registry in this process whose answers a test may hold back.
type server struct {
	*httptest.Server
	mu   sync.Mutex
	hold func(w http.ResponseWriter, r *http.Request) bool
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	under := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		hold := s.hold
		s.mu.Unlock()
		if hold == nil || !hold(w, r) {
			under.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold = f
}

func (s *server) host() string { return strings.TrimPrefix(s.URL, "http://") }

// give tags the toolbox with the name, pushes it and forgets the name.
func (h *host) give(name string) {
	h.Helper()
	h.ok("version") // the daemon makes the toolbox
	h.ok("tag", image, name)
	h.ok("push", "-q", name)
	h.ok("rmi", name)
}

func TestRegistry(t *testing.T) {
	t.Run("in process", func(t *testing.T) { throughRegistry(t, newServer(t).host()) })
	t.Run("docker-registry", func(t *testing.T) {
		testenv.Require(t, testenv.DockerRegistry)
		throughRegistry(t, dockerRegistry(t))
	})
}

// dockerRegistry starts Debian's and returns its host.
func dockerRegistry(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // the registry takes the port
	dir := t.TempDir()
	config := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: %q}\n", dir, address)
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("docker-registry", "serve", file)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	if !wait(20*time.Second, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}) {
		t.Fatal("docker-registry does not listen")
	}
	return address
}

// throughRegistry sends an image to a registry and gets it back in every way there is.
func throughRegistry(t *testing.T, host string) {
	h := start(t)
	name := host + "/team/toolbox:1"
	h.give(name)
	id := h.ok("images", "-q", "--no-trunc", image)
	h.code(125, "run", "--rm", "--pull", "never", name, "true")
	if out := h.ok("run", "--rm", name, "echo", "pulled"); out != "pulled" {
		t.Errorf("run of a missing image: %q", out)
	}
	if out := h.ok("pull", "-q", name); out != id {
		t.Errorf("pull says %s, want %s", out, id)
	}
	h.ok("rmi", name)
	pod := h.name("pod")
	h.apply(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {containers: [{name: c, image: "%s", command: [sleep, "1000"]}]}}`, pod, name), "default/"+pod)
	h.ok("delete", "pod", pod)
	var all sync.WaitGroup
	h.ok("rmi", name)
	for range 8 {
		c := h.cmd("pull", "-q", name)
		all.Go(func() {
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("one of many pulls: %v, %s", err, out)
			}
		})
	}
	all.Wait()
	other := host + "/other/toolbox:2"
	h.ok("tag", name, other)
	if r := h.code(0, "push", other); !strings.HasPrefix(r.out, "sha256:") {
		t.Errorf("push says %q, %q", r.out, r.err)
	}
	h.ok("rmi", name, other)
	if r := h.code(1, "pull", host+"/team/nothing"); !strings.Contains(r.err, "does not have it") {
		t.Errorf("pull of what is not there: %s", r.err)
	}
}

// TestApplyPullPolicy: without imagePullPolicy a tag latest is pulled again as Kubernetes
// does, but not what no registry has given this machine, and not for a pod that stays.
func TestApplyPullPolicy(t *testing.T) {
	h := start(t)
	s := newServer(t)
	pod := h.name("pod")
	var asked atomic.Int64
	s.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			asked.Add(1)
		}
		return false
	})
	for _, tt := range []struct {
		name, tag, policy string
		local, asks       bool
	}{
		{"latest", ":latest", "", false, true},
		{"no tag", "", "", false, true},
		{"another tag", ":1", "", false, false},
		{"as it is", ":latest", "IfNotPresent", false, false},
		{"always", ":1", "Always", false, true},
		{"tagged here", ":latest", "", true, false},
	} {
		name := s.host() + "/" + strings.ReplaceAll(tt.name, " ", "-") + tt.tag
		if h.ok("version"); tt.local { // the daemon makes the toolbox
			h.ok("tag", image, name)
		} else {
			h.give(name)
			h.ok("pull", "-q", name)
		}
		manifest := fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {containers: [{name: c, image: "%s", command: [sleep, "1000"], imagePullPolicy: %s}]}}`,
			pod, name, tt.policy)
		for _, times := range []string{"made", "unchanged"} {
			asked.Store(0)
			h.apply(manifest, "default/"+pod)
			if want := tt.asks && times == "made"; asked.Load() > 0 != want {
				t.Errorf("%s, %s: the registry was asked %d times for manifests", tt.name, times, asked.Load())
			}
		}
		h.ok("delete", "pod", pod)
		h.ok("rmi", name)
	}
	s.Close()
	h.ok("tag", image, s.host()+"/gone")
	h.apply(fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {containers: [{name: c, image: %s/gone, command: [sleep, "1000"]}, {name: d, image: %s, command: [sleep, "1000"]}]}}`, pod, s.host(), image),
		"default/"+pod)
	h.ok("delete", "pod", pod)
	h.ok("rmi", s.host()+"/gone")
}

// begun lists what a pull under way has in the store.
func (h *host) begun() (found []string) {
	for _, dir := range []string{"tmp", "partial"} {
		some, _ := filepath.Glob(filepath.Join(h.dir, "lib", "images", dir, "*"))
		found = append(found, some...)
	}
	return found
}

// A pull that is interrupted, and one whose daemon is killed, leave nothing half done: what
// came before the kill waits for whoever goes on, or prunes.
func TestPullInterrupted(t *testing.T) {
	h := startOwn(t)
	s := newServer(t)
	name := s.host() + "/toolbox:1"
	h.give(name)
	h.ok("rmi", "-f", image) // its layer would not be asked for
	asked, gone := make(chan struct{}, 10), make(chan struct{}, 10)
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") || r.Header.Get("Accept") == "" {
			return false
		}
		if !strings.Contains(r.Header.Get("Accept"), "layer") && !strings.Contains(r.Header.Get("Accept"), "rootfs.diff") {
			return false
		}
		w.Header().Set("Content-Length", "1000000")
		_, _ = w.Write(make([]byte, 1000))
		w.(http.Flusher).Flush()
		asked <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
		return true
	})
	pull := h.cmd("pull", name)
	if err := pull.Start(); err != nil {
		t.Fatal(err)
	}
	receive(t, asked)
	_ = pull.Process.Signal(syscall.SIGINT)
	_ = pull.Wait()
	receive(t, gone) // the daemon has closed the connection
	h.eventually("nothing is left of the pull", func() bool { return len(h.begun()) == 0 })

	pull = h.cmd("pull", name)
	if err := pull.Start(); err != nil {
		t.Fatal(err)
	}
	receive(t, asked)
	h.kill() // and it is gone: a dying one still takes connections
	if err := pull.Wait(); err == nil {
		t.Error("a pull whose daemon was killed succeeded")
	}
	if left, _ := filepath.Glob(filepath.Join(h.dir, "lib", "images", "partial", "*")); len(left) != 1 {
		t.Errorf("kept of the download: %v", left)
	}
	s.intercept(nil)
	if out := h.ok("run", "--rm", name, "echo", "whole"); out != "whole" {
		t.Errorf("after the daemon's death: %q", out)
	}
	h.ok("image", "prune", "-f") // the layer was here already: nobody goes on
	if left := h.begun(); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func receive(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(testenv.Patience(20 * time.Second)):
		t.Fatal("it never came")
	}
}

// wantLogin lets nobody in but me, with the password secret.
func (s *server) wantLogin() {
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user == "me" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
}

// Credentials that login kept go with later pulls, and no longer after logout; the daemon
// keeps none.
func TestLogin(t *testing.T) {
	h := startOwn(t)
	s := newServer(t)
	name := s.host() + "/private/toolbox:1"
	h.give(name)
	s.wantLogin()
	h.env = append(h.env, "DOCKER_CONFIG="+filepath.Join(h.dir, "docker"))
	if r := h.code(1, "pull", name); !strings.Contains(r.err, "carob login "+s.host()) {
		t.Errorf("pull without credentials: %s", r.err)
	}
	if r := h.feed("wrong", "login", "-u", "me", "--password-stdin", s.host()); r.code != 1 {
		t.Errorf("login with a wrong password: %d, %s", r.code, r.err)
	}
	if r := h.feed("secret\n", "login", "-u", "me", "--password-stdin", s.host()); r.code != 0 {
		t.Fatalf("login: %s", r.err)
	}
	h.ok("pull", "-q", name)
	h.ok("push", "-q", name)
	h.ok("logout", s.host())
	h.code(1, "pull", "-q", name)
	b, _ := os.ReadFile(filepath.Join(h.dir, "run", "daemon.log"))
	if strings.Contains(string(b), "secret") {
		t.Error("the password is in the daemon's log")
	}
}

// helper is a credential helper as Docker has them: it keeps each secret in a file.
const helper = `#!/bin/sh
set -eu
cd "$HELPER_STORE"
case $1 in
get)
	server=$(cat)
	[ -f "$(echo "$server" | tr /: __)" ] || { echo "credentials not found in native keychain"; exit 1; }
	cat "$(echo "$server" | tr /: __)" ;;
store)
	json=$(cat)
	server=$(echo "$json" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/')
	echo "$json" >"$(echo "$server" | tr /: __)" ;;
erase)
	server=$(cat)
	rm -f "$(echo "$server" | tr /: __)" ;;
list) echo '{}' ;;
esac
`

// Credentials live in the helper that Docker's configuration names, for one registry or for
// all; the file itself has none of them.
func TestCredentialHelper(t *testing.T) {
	h := startOwn(t)
	s := newServer(t)
	name := s.host() + "/private/toolbox:1"
	h.give(name)
	s.wantLogin()
	dir := t.TempDir()
	file := filepath.Join(dir, "config.json")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "docker-credential-carobtest"), helper, 0o755)
	h.env = append(h.env, "DOCKER_CONFIG="+dir, "HELPER_STORE="+t.TempDir(), "PATH="+dir+":"+os.Getenv("PATH"))
	for _, config := range []string{`{"credsStore":"carobtest"}`, `{"credHelpers":{"` + s.host() + `":"carobtest"}}`} {
		write(file, config, 0o600)
		h.code(1, "pull", "-q", name)
		if r := h.feed("secret\n", "login", "-u", "me", "--password-stdin", s.host()); r.code != 0 {
			t.Fatalf("%s: login: %s", config, r.err)
		}
		h.ok("pull", "-q", name)
		h.ok("push", "-q", name)
		if b, err := os.ReadFile(file); err != nil || strings.Contains(string(b), "secret") || strings.Contains(string(b), base64.StdEncoding.EncodeToString([]byte("me:secret"))) {
			t.Errorf("%s: the file has the secret too: %s, %v", config, b, err)
		}
		h.ok("logout", s.host())
		h.code(1, "pull", "-q", name)
	}
	write(file, `{"credsStore":"nosuchhelper"}`, 0o600)
	if r := h.code(1, "pull", "-q", name); !strings.Contains(r.err, "docker-credential-nosuchhelper") {
		t.Errorf("without the helper: %s", r.err)
	}
}

// A proxy of the environment that starts the daemon is the daemon's too.
func TestProxy(t *testing.T) {
	h := startOwn(t)
	asked := make(chan string, 10)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.Host
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	h.env = append(h.env, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=")
	h.code(1, "pull", "registry.invalid/app")
	select {
	case got := <-asked:
		if got != "CONNECT registry.invalid:443" {
			t.Errorf("the proxy was asked for %q", got)
		}
	default:
		t.Error("the proxy was not asked")
	}
}

// A registry that only a proxy reaches is reached, and one that NO_PROXY names without it.
func TestThroughProxy(t *testing.T) {
	h := startOwn(t)
	s := newServer(t)
	h.give(s.host() + "/toolbox:1")
	asked := make(chan string, 100)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Host
		s.Config.Handler.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	const far = "registry.invalid"
	certs := filepath.Join(t.TempDir(), far)
	if err := os.MkdirAll(certs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(certs, "hosts.toml"), []byte("server = \"http://"+far+"\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.kill()
	h.env = append(h.env, "HTTP_PROXY="+proxy.URL, "NO_PROXY=127.0.0.1")
	daemon := h.cmd("serve", "--registry-config", filepath.Dir(certs))
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
	}()
	h.eventually("the daemon", func() bool { return h.daemon() == daemon.Process.Pid })
	h.ok("pull", "-q", far+"/toolbox:1")
	if n := len(asked); n == 0 {
		t.Error("the proxy was not asked")
	}
	for len(asked) > 0 {
		if host := <-asked; host != far {
			t.Errorf("the proxy was asked for %q", host)
		}
	}
	h.ok("pull", "-q", s.host()+"/toolbox:1")
	if n := len(asked); n > 0 {
		t.Errorf("%d requests for a host of NO_PROXY", n)
	}
}
