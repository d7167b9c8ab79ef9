package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// nested makes directories of one name inside each other, and a file in the last.
func nested(t *testing.T, top string, levels int) {
	t.Helper()
	at, err := unix.Open(top, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for range levels {
		if err == nil {
			err = unix.Mkdirat(at, "d", 0o700)
		}
		next, e := unix.Openat(at, "d", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(at)
		at, err = next, errors.Join(err, e)
	}
	fd, e := unix.Openat(at, "f", unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	unix.Close(at)
	unix.Close(fd)
	if err = errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRemove: a tree goes whole, whatever its depth and width, and nothing that links in it
// lead to.
func TestRemove(t *testing.T) {
	base := t.TempDir()
	top, kept := filepath.Join(base, "v"), filepath.Join(base, "kept/f")
	write(t, kept, filepath.Join(top, "a/b/c"), filepath.Join(top, ".deep-1/f"))
	for i := range 700 {
		write(t, filepath.Join(top, "wide", fmt.Sprint(i)))
	}
	nested(t, top, 3*maxOpen+5)
	for _, link := range []string{"l", "a/l"} {
		if err := os.Symlink(filepath.Dir(kept), filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove(t.Context(), top); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(top); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("a link was followed: %v", err)
	}
	if err := Remove(t.Context(), top); err != nil {
		t.Errorf("what is gone: %v", err)
	}
	link := filepath.Join(base, "link")
	if err := errors.Join(os.Symlink(filepath.Dir(kept), link), Remove(t.Context(), link)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("the link itself was followed: %v", err)
	}
}

func TestRemoveCancelled(t *testing.T) {
	top := t.TempDir()
	write(t, filepath.Join(top, "f"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Remove(ctx, top); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRemoveStopsAtMounts: what is mounted in a tree is not part of it.
func TestRemoveStopsAtMounts(t *testing.T) {
	testenv.Require(t, testenv.Root)
	base := t.TempDir()
	write(t, filepath.Join(base, "kept/f"), filepath.Join(base, "v/file"))
	if err := os.MkdirAll(filepath.Join(base, "v/a/dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for source, target := range map[string]string{"kept": "v/a/dir", "kept/f": "v/file"} {
		at := filepath.Join(base, target)
		if err := unix.Mount(filepath.Join(base, source), at, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		err := Remove(t.Context(), filepath.Join(base, "v"))
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), at+": something is mounted there") {
			t.Errorf("%s: %v", target, err)
		}
		if err := unix.Unmount(at, 0); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(base, "v/file"))
		if err := os.MkdirAll(filepath.Join(base, "v/a/dir"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(base, "kept/f")); err != nil {
		t.Errorf("a mount was entered: %v", err)
	}
}

// TestRemoveNamesWhatIsLocked: the error says which file does not go, and going on works.
func TestRemoveNamesWhatIsLocked(t *testing.T) {
	testenv.Require(t, testenv.Root)
	top := filepath.Join(t.TempDir(), "v")
	path := filepath.Join(top, "a/locked")
	write(t, path)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, unix.STATX_ATTR_IMMUTABLE); err != nil {
		t.Skipf("no immutable flag here: %v", err)
	}
	err = Remove(t.Context(), top)
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
	if err := errors.Join(Unlock(f), Remove(t.Context(), top)); err != nil {
		t.Error(err)
	}
}

func TestBorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	before := time.Now().Add(-time.Minute)
	write(t, path)
	if at, err := Born(path); err != nil || at.Before(before) || at.After(time.Now().Add(time.Minute)) {
		t.Error(at, err)
	}
	if _, err := Born(path + "x"); !os.IsNotExist(err) {
		t.Error(err)
	}
}
