package registry

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"carob/internal/fault"
)

// A manifest that the registry has all layers for stays what it was; layers are mounted from
// the repository they were pulled from, or not sent at all.
func TestPushWithinRegistryKeepsTheDigest(t *testing.T) {
	s := newServer(t)
	var mounted atomic.Int32
	m := imageOf(t, layerOf(t, files{"a": "1"}), layerOf(t, files{"b": "2"}))
	top, _ := m.Digest() // in memory
	c, store := newStore(t)
	mustPull(t, c, s.upload(t, "from/app:1", m))
	to := s.host() + "/to/app:2"
	if err := store.Tag(t.Context(), s.host()+"/from/app:1", to); err != nil {
		t.Fatal(err)
	}
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool { // each repository has its own blobs, and mounts those of others
		switch blob := r.URL.Query().Get("mount"); {
		case r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/to/app/blobs/"):
			http.NotFound(w, r)
		case blob != "" && r.URL.Query().Get("from") == "from/app":
			mounted.Add(1)
			w.Header().Set("Location", "/v2/to/app/blobs/"+blob)
			w.WriteHeader(http.StatusCreated)
		default:
			return false
		}
		return true
	})
	d, err := c.Push(t.Context(), to, PushOptions{})
	if err != nil || d.String() != top.String() || mounted.Load() != 2 {
		t.Fatalf("push: %s, %v, %d mounted; want %s and 2", d, err, mounted.Load(), top)
	}
	if n := s.count(func(r string) bool { return strings.HasPrefix(r, "PUT /v2/to/app/blobs") }); n > 1 { // the configuration
		t.Errorf("%d blobs were sent", n)
	}
	other := newClient(t)
	if got := mustPull(t, other, to); fileIn(t, got, "b") != "2" {
		t.Error("what was pushed is something else")
	}
	if found, err := store.Resolve(t.Context(), s.host()+"/to/app@"+top.String()); err != nil {
		t.Errorf("resolve by the pushed digest: %v, %v", found.ID, err)
	}
}

// Elsewhere layers are packed anew: the ID stays, and the second push sends nothing.
func TestPushElsewhereKeepsTheID(t *testing.T) {
	from, to := newServer(t), newServer(t)
	c, store := newStore(t)
	img := mustPull(t, c, from.upload(t, "app:1", imageOf(t, layerOf(t, files{"a": strings.Repeat("text ", 50_000)}), layerOf(t, files{"b": "2"}))))
	name := to.host() + "/app:1"
	if err := store.Tag(t.Context(), img.ID, name); err != nil {
		t.Fatal(err)
	}
	first, err := c.Push(t.Context(), name, PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sent := to.count(func(r string) bool { return strings.HasPrefix(r, "PUT ") })
	again, err := c.Push(t.Context(), name, PushOptions{})
	if now := to.count(func(r string) bool { return strings.HasPrefix(r, "PUT ") }); err != nil || again != first || now != sent {
		t.Errorf("second push: %s, %v, %d requests sent something; want %s and none", again, err, now-sent, first)
	}
	if got := mustPull(t, newClient(t), name); got.ID != img.ID {
		t.Errorf("pulled back: %s; want %s", got.ID, img.ID)
	}
}

func TestPushRefuses(t *testing.T) {
	s := newServer(t)
	c, store := newStore(t)
	img := mustPull(t, c, s.upload(t, "app:1", imageOf(t, layerOf(t, files{"a": "1"}))))
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut && r.Method != http.MethodPost {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"errors":[{"code":"DENIED","message":"no quota\u001b[31m"}]}`))
		return true
	})
	for _, test := range []struct {
		name  string
		kind  fault.Kind
		words string
	}{
		{s.host() + "/other:1", fault.Denied, "no quota?[31m"},
		{s.host() + "/nothing:1", fault.NotFound, "not in the local store"},
		{s.host() + "/app@" + img.ID, fault.Invalid, "a tag is needed"},
		{"carob.local/app:1", fault.NotFound, "is no registry"},
	} {
		if !strings.Contains(test.name, "nothing") && !strings.Contains(test.name, "@") {
			if err := store.Tag(t.Context(), img.ID, test.name); err != nil {
				t.Fatal(err)
			}
		}
		_, err := c.Push(t.Context(), test.name, PushOptions{})
		if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.words) {
			t.Errorf("push %s: %v (%v); want %v, %q", test.name, err, fault.KindOf(err), test.kind, test.words)
		}
	}
}
