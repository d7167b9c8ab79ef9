package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carob/internal/fault"
)

func TestPull(t *testing.T) {
	s := newServer(t)
	m := imageOf(t, layerOf(t, files{"a": "1", "b": "1"}), layerOf(t, files{"b": "2"}))
	name := s.upload(t, "team/app:v1", m)
	c, store := newStore(t)
	img := mustPull(t, c, name)
	id, _ := m.ConfigName() // in memory
	top, _ := m.Digest()
	if img.ID != id.String() || fileIn(t, img, "b") != "2" || fileIn(t, img, "a") != "1" {
		t.Errorf("pulled %+v", img)
	}
	byDigest := s.host() + "/team/app@" + top.String()
	for _, n := range []string{name, byDigest, img.ID} {
		if found, err := store.Resolve(t.Context(), n); err != nil || found.ID != img.ID {
			t.Errorf("resolve %s: %v, %v", n, found.ID, err)
		}
	}
	blobs := s.count(func(r string) bool { return strings.Contains(r, "GET /v2/team/app/blobs") })
	mustPull(t, c, byDigest)
	if again := s.count(func(r string) bool { return strings.Contains(r, "GET /v2/team/app/blobs") }); again != blobs+1 { // the configuration
		t.Errorf("the second pull asked for %d blobs", again-blobs)
	}
}

func TestManyPullsDownloadOnce(t *testing.T) {
	s := newServer(t)
	base, mid := layerOf(t, files{"base": strings.Repeat("x", 1<<20)}), layerOf(t, files{"mid": "m"})
	names := []string{
		s.upload(t, "a:1", imageOf(t, base, mid, layerOf(t, files{"a": "a"}))),
		s.upload(t, "b:1", imageOf(t, base, mid, layerOf(t, files{"b": "b"}))),
		s.upload(t, "c:1", imageOf(t, base, layerOf(t, files{"c": "c"}), mid)),
	}
	c := newClient(t)
	var wg sync.WaitGroup
	for i := range 51 {
		wg.Go(func() {
			if _, err := pull(t, c, names[i%3]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	d, _ := base.Digest() // in memory
	if n := s.count(func(r string) bool { return strings.HasPrefix(r, "GET ") && strings.HasSuffix(r, d.String()) }); n != 1 {
		t.Errorf("the base layer was downloaded %d times", n)
	}
}

func TestPullRefuses(t *testing.T) {
	good := func(t *testing.T, s *server) string {
		return s.upload(t, "app:1", imageOf(t, layerOf(t, files{"a": strings.Repeat("a", 100_000)})))
	}
	tests := []struct {
		name  string
		spoil func(w http.ResponseWriter, r *http.Request) bool
		kind  fault.Kind
		words string
	}{
		{"wrong bytes", func(w http.ResponseWriter, r *http.Request) bool {
			if !isBlob(r) {
				return false
			}
			w.Header().Set("Content-Length", "5")
			_, _ = w.Write([]byte("wrong"))
			return true
		}, fault.Invalid, "wrong digest"},
		{"gone", func(w http.ResponseWriter, r *http.Request) bool {
			http.NotFound(w, r)
			return true
		}, fault.NotFound, "does not have it"},
		{"busy for ever", func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, fault.Unavailable, "503"},
		{"asks for an hour", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, fault.Unavailable, "429"},
		{"login wanted", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}, fault.Denied, "carob login"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			name := good(t, s)
			s.intercept(test.spoil)
			_, err := pull(t, newClient(t), name)
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("pull: %v (%v); want %v and %q", err, fault.KindOf(err), test.kind, test.words)
			}
			t.Log(err)
		})
	}
}

func TestPullCancelled(t *testing.T) {
	s := newServer(t)
	name := s.upload(t, "app:1", imageOf(t, layerOf(t, files{"a": "a"})))
	ctx, cancel := context.WithCancel(t.Context())
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if isBlob(r) {
			cancel()
			<-r.Context().Done()
		}
		return false
	})
	if _, err := newClient(t).Pull(ctx, name, PullOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("pull: %v; want cancelled", err)
	}
}

// TestReceived: what is counted are the bytes that registries send of layers.
func TestReceived(t *testing.T) {
	s := newServer(t)
	layer := layerOf(t, files{"a": strings.Repeat("x", 1<<16)})
	name := s.upload(t, "a:1", imageOf(t, layer))
	c, _ := newStore(t)
	var got atomic.Int64
	c.downloads.received = func(n int) { got.Add(int64(n)) }
	mustPull(t, c, name)
	want, err := layer.Size()
	if err != nil || got.Load() != want {
		t.Errorf("%d bytes, want %d, %v", got.Load(), want, err)
	}
}

// TestUse: a call keeps the files that it began with.
func TestUse(t *testing.T) {
	c := newClient(t)
	under := c.now()
	c.Use(Files{Dir: "/other", Policy: "/p"})
	if under.c.Dir == "/other" || under.c.Policy == "/p" || c.now().c.Files != (Files{"/other", "/p"}) {
		t.Errorf("under way %+v, now %+v", under.c.Files, c.now().c.Files)
	}
}
