package registry

import (
	"archive/tar"
	"bytes"
	"context"
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
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"carob/internal/image"
)

// server is a registry whose answers a test may spoil.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	gets  map[string]int // "GET path" → how often
	spoil func(w http.ResponseWriter, r *http.Request) bool
	under http.Handler
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{gets: map[string]int{}, under: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.gets[r.Method+" "+r.URL.Path]++
	spoil := s.spoil
	s.mu.Unlock()
	if spoil == nil || !spoil(w, r) {
		s.under.ServeHTTP(w, r)
	}
}

// intercept lets f answer instead of the registry when it returns true.
func (s *server) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spoil = f
}

func (s *server) count(match func(request string) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r, times := range s.gets {
		if match(r) {
			n += times
		}
	}
	return n
}

func (s *server) host() string { return strings.TrimPrefix(s.URL, "http://") }

// isBlob tells whether a request is for a blob.
func isBlob(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:")
}

// files are a layer's: name → content.
type files map[string]string

func layerOf(t testing.TB, f files) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for n, text := range f {
		h := &tar.Header{Name: n, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text)), Uid: os.Getuid(), Gid: os.Getgid()}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func imageOf(t testing.TB, layers ...v1.Layer) v1.Image {
	t.Helper()
	base, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: hostArch(), RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{Cmd: []string{"/x"}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func hostArch() string {
	p, _ := platform("") // documented never to fail
	return p.Architecture
}

// upload puts an image into the registry and returns its reference.
func (s *server) upload(t testing.TB, repo string, m v1.Image) string {
	t.Helper()
	text := s.host() + "/" + repo
	r, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(r, m); err != nil {
		t.Fatal(err)
	}
	return text
}

// newClient returns a client of a store of its own, in a hurry.
func newClient(t testing.TB) *Client {
	c, _ := newStore(t)
	return c
}

// newStore is newClient with the store.
func newStore(t testing.TB) (*Client, *image.Store) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "images")
	s, err := image.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Config{Images: image.NewIntake(s), Files: Files{Dir: t.TempDir()}, Agent: "carob/test", Pace: Pace{
		Window: 10 * time.Second, Least: 1 << 10, Attempts: 4, Pause: time.Millisecond, MostPause: 2 * time.Second, Answer: 20 * time.Second,
	}})
	t.Cleanup(func() { checkClean(t, c, root) })
	return c, s
}

// checkClean holds that no download and no half layer is left.
func checkClean(t testing.TB, c *Client, root string) {
	t.Helper()
	c.downloads.mu.Lock()
	defer c.downloads.mu.Unlock()
	if n := len(c.downloads.all) + len(c.downloads.lanes); n > 0 {
		t.Errorf("%d downloads or lanes are left", n)
	}
	for _, dir := range []string{"tmp", "partial"} {
		left, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil || len(left) > 0 {
			t.Errorf("left behind in %s: %v, %v", dir, left, err)
		}
	}
}

func pull(t testing.TB, c *Client, name string) (image.Image, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return c.Pull(ctx, name, PullOptions{})
}

func mustPull(t testing.TB, c *Client, name string) image.Image {
	t.Helper()
	img, err := pull(t, c, name)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// fileIn reads a file from the image's layers.
func fileIn(t testing.TB, m image.Image, file string) string {
	t.Helper()
	for i := len(m.Layers) - 1; i >= 0; i-- {
		if b, err := os.ReadFile(filepath.Join(m.Layers[i], file)); err == nil {
			return string(b)
		}
	}
	t.Fatal(fmt.Errorf("%s: in no layer", file))
	return ""
}

func request(t testing.TB, method, path string, body []byte) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(body))
}
