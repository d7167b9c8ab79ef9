package disk

import (
	"fmt"
	"os"
	"path/filepath"
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
