package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

func TestSync(t *testing.T) {
	d, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := Sync(d); err != nil {
		t.Error(err)
	}
	d.Close()
	if err := Sync(d); err == nil {
		t.Error("a closed file was synced")
	}
}

func TestUnlock(t *testing.T) {
	testenv.Require(t, testenv.Root)
	path := filepath.Join(t.TempDir(), "f")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, unix.STATX_ATTR_IMMUTABLE); err != nil {
		t.Skipf("no immutable flag here: %v", err)
	}
	if err := os.Remove(path); err == nil {
		t.Error("the flag holds nobody back")
	}
	for range 2 { // the second time there is nothing to take away
		if err := Unlock(f); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
}

func TestUnlockWithoutFlags(t *testing.T) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Unlock(f); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	full := fmt.Errorf("write: %w", &os.PathError{Op: "write", Path: "f", Err: unix.ENOSPC})
	if !Troubled(full) || Troubled(unix.ENOENT) || Troubled(nil) {
		t.Error("Troubled does not tell a full disk from a missing file")
	}
	if !Taken(&os.LinkError{Err: unix.ENOTEMPTY}) || !Taken(unix.EEXIST) || Taken(unix.ENOENT) {
		t.Error("Taken does not tell a full directory from a missing one")
	}
}

// TestTreeDeeperThanPaths: a container that nests directories deeper than a path can be long
// does not make its files uncountable.
func TestTreeDeeperThanPaths(t *testing.T) {
	top := t.TempDir()
	at, err := unix.Open(top, unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	const levels = 40
	name := strings.Repeat("d", 255)
	for range levels {
		if err := unix.Mkdirat(at, name, 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_DIRECTORY, 0)
		unix.Close(at)
		if at = next; err != nil {
			t.Fatal(err)
		}
	}
	defer unix.Close(at)
	fd, err := unix.Openat(at, "f", unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Fallocate(fd, 0, 0, 1<<20); err != nil {
		t.Fatal(err)
	}
	bytes, inodes, err := Tree(t.Context(), top)
	if err != nil || inodes != levels+2 || bytes < 1<<20 {
		t.Errorf("%d bytes, %d inodes, %v", bytes, inodes, err)
	}
}
