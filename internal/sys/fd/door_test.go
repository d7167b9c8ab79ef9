package fd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDoor hands a file over through a directory whose name is longer than a socket's
// address may be.
func TestDoor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var d Door
	if err := d.Listen(dir, "s"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "s"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	at, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: Path(at) + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := Send(c, []byte("/dev/ptmx"), []*os.File{at}); err != nil {
		t.Fatal(err)
	}
	f, err := d.Receive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := f.Stat(); err != nil || !got.IsDir() {
		t.Errorf("received %v, %v", got, err)
	}
	d.Close()
	if _, err := os.Stat(filepath.Join(dir, "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestDoorWithoutAFile(t *testing.T) {
	var d Door
	dir := t.TempDir()
	if err := d.Listen(dir, "s"); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if f, err := d.Receive(t.Context()); err == nil {
		f.Close()
		t.Error("received something")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if f, err := d.Receive(ctx); err == nil {
		f.Close()
		t.Error("received from nobody")
	}
}
