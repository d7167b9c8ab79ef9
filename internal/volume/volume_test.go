package volume

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"carob/internal/fault"
	"carob/internal/sys/disk"
)

var nobody = func() []string { return nil }

const anonymous = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func ok(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, kind fault.Kind, word string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(err.Error(), word) {
		t.Errorf("%v, want %v with %q", err, kind, word)
	}
}

// named makes a volume with a file in it.
func named(t *testing.T, s *Store, name string) string {
	t.Helper()
	dir, err := s.Named(name)
	ok(t, err, os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600))
	return dir
}

func names(t *testing.T, s *Store) (all []string) {
	t.Helper()
	list, err := s.List()
	ok(t, err)
	for _, v := range list {
		word := v.Name
		if v.Removing {
			word += " removing"
		}
		if v.Owner != "" {
			word += " of " + v.Owner
		}
		all = append(all, word)
	}
	return all
}

func want(t *testing.T, s *Store, all ...string) {
	t.Helper()
	if got := names(t, s); !slices.Equal(got, all) {
		t.Errorf("volumes %q, want %q", got, all)
	}
}

func TestNames(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "volumes"))
	want(t, s)
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".removing", "-a", "a\n", strings.Repeat("a", 254), anonymous} {
		_, err := s.Named(name)
		refused(t, err, fault.Invalid, "volume name")
	}
	for _, name := range []string{"", "..", "../x", ".removing"} {
		refused(t, s.Remove(t.Context(), name, nobody), fault.Invalid, "volume name")
		_, err := s.Find(name)
		refused(t, err, fault.Invalid, "volume name")
	}
	want(t, s)
}

func TestNamed(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "volumes"))
	dir := named(t, s, "data")
	if again, err := s.Named("data"); again != dir || err != nil {
		t.Error(again, err)
	}
	v, err := s.Find("data")
	if err != nil || v.Mountpoint != dir || v.CreatedAt.IsZero() || v.Anonymous || v.Removing {
		t.Errorf("%+v, %v", v, err)
	}
	ok(t, os.WriteFile(s.path("file"), nil, 0o600))
	_, err = s.Named("file")
	refused(t, err, fault.Conflict, "not a directory")
	want(t, s, "data")

	refused(t, s.Remove(t.Context(), "data", func() []string { return []string{"web", "p/c"} }), fault.Conflict, "volume data: in use by web, p/c")
	if _, err := os.Stat(filepath.Join(dir, "f")); err != nil {
		t.Error(err)
	}
	ok(t, s.Remove(t.Context(), "data", nobody))
	want(t, s)
	refused(t, s.Remove(t.Context(), "data", nobody), fault.NotFound, "volume data")
	_, err = s.Find("data")
	refused(t, err, fault.NotFound, "volume data")
}

// TestLink: a volume that somebody moved elsewhere goes as a link, what it leads to stays.
func TestLink(t *testing.T) {
	base := t.TempDir()
	s := New(filepath.Join(base, "volumes"))
	named(t, s, "other")
	elsewhere := filepath.Join(base, "elsewhere")
	ok(t, os.Mkdir(elsewhere, 0o700), os.WriteFile(filepath.Join(elsewhere, "f"), nil, 0o600), os.Symlink(elsewhere, s.path("data")))
	_, err := s.Named("data")
	ok(t, err, s.Remove(t.Context(), "data", nobody))
	want(t, s, "other")
	if _, err := os.Stat(filepath.Join(elsewhere, "f")); err != nil {
		t.Error(err)
	}
}

// TestHalfRemoved: a removal that fails on the way leaves a volume that is listed, cannot be
// used, and goes when removed again, or with the next start of the daemon.
func TestHalfRemoved(t *testing.T) {
	injected := errors.New("injected")
	half := func(_ context.Context, path string) error { // what disk.Remove has done when it meets something
		return errors.Join(os.Remove(filepath.Join(path, "f")), injected)
	}
	for _, end := range []struct {
		name string
		do   func(*Store) error
	}{
		{"again", func(s *Store) error { return s.Remove(t.Context(), "data", nobody) }},
		{"restart", func(s *Store) error { return New(s.dir).Keep(t.Context(), nil) }},
	} {
		t.Run(end.name, func(t *testing.T) {
			s := New(filepath.Join(t.TempDir(), "volumes"))
			named(t, s, "data")
			s.remove = half
			if err := s.Remove(t.Context(), "data", nobody); !errors.Is(err, injected) || !strings.Contains(err.Error(), "volume data: removed in part") {
				t.Error(err)
			}
			want(t, s, "data removing")
			if v, err := s.Find("data"); err != nil || !v.Removing {
				t.Errorf("%+v, %v", v, err)
			}
			_, err := s.Named("data")
			refused(t, err, fault.Conflict, "volume data: is being removed")
			s.remove = disk.Remove
			ok(t, end.do(s))
			want(t, s)
			named(t, s, "data")
			want(t, s, "data")
		})
	}
}

func TestAnonymous(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "volumes"))
	named(t, s, "data")
	dir, err := s.Anonymous(anonymous, "c1")
	ok(t, err)
	_, err = s.Anonymous(anonymous, "c2")
	refused(t, err, fault.Exists, anonymous)
	want(t, s, anonymous+" of c1", "data")

	s = New(s.dir) // the daemon starts again
	ok(t, s.Keep(t.Context(), map[string]string{dir: "c1"}))
	want(t, s, anonymous+" of c1", "data")

	s.remove = func(context.Context, string) error { return errors.New("injected") }
	if err := s.Drop(t.Context(), dir); err == nil {
		t.Error("a failure was swallowed")
	}
	want(t, s, anonymous+" of c1", "data")
	s.remove = disk.Remove
	ok(t, s.Drop(t.Context(), dir), s.Drop(t.Context(), dir))
	want(t, s, "data")

	_, err = s.Anonymous(anonymous, "c1")
	ok(t, err, New(s.dir).Keep(t.Context(), nil))
	want(t, s, "data")
}

// TestRemoveBesideUse: a container that shows its use and then asks for the volume has it,
// whatever is removed at the same moment.
func TestRemoveBesideUse(t *testing.T) {
	s := New(filepath.Join(t.TempDir(), "volumes"))
	for range 200 {
		named(t, s, "data")
		var mu sync.Mutex
		var users []string
		var removed error
		var wg sync.WaitGroup
		wg.Go(func() {
			removed = s.Remove(t.Context(), "data", func() []string {
				mu.Lock()
				defer mu.Unlock()
				return users
			})
		})
		mu.Lock()
		users = []string{"c"}
		mu.Unlock()
		dir, err := s.Named("data")
		wg.Wait()
		_, there := os.Stat(dir)
		switch {
		case err != nil && !fault.Is(err, fault.Conflict):
			t.Fatal(err)
		case err == nil && there != nil:
			t.Fatalf("a container's volume is gone (removal: %v)", removed)
		case removed != nil && !fault.Is(removed, fault.Conflict):
			t.Fatal(removed)
		}
	}
}
