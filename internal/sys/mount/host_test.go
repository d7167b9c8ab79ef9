package mount

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// TestWithin: mounts on and below a directory are found by any name of it, those beside it
// are not.
func TestWithin(t *testing.T) {
	testenv.Require(t, testenv.Root)
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "link")
	if err := errors.Join(os.MkdirAll(filepath.Join(base, "d/a/b"), 0o700), os.Mkdir(filepath.Join(base, "d2"), 0o700), os.Symlink(base, link)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"d/a/b", "d", "d2"} {
		at := filepath.Join(base, dir)
		if err := unix.Mount(at, at, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	}
	for _, dir := range []string{filepath.Join(base, "d"), filepath.Join(link, "d")} {
		got, err := Within(dir)
		slices.Sort(got)
		if want := []string{filepath.Join(base, "d"), filepath.Join(base, "d/a/b")}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v; want %q", dir, got, err, want)
		}
	}
	if _, err := Within(filepath.Join(base, "none")); !os.IsNotExist(err) {
		t.Error(err)
	}
}
