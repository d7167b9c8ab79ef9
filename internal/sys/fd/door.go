package fd

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"time"

	"carob/internal/fault"
)

// Door is a socket at which one file is handed over, as OCI runtimes do with a
// terminal (--console-socket). The zero value is ready for Listen.
type Door struct {
	path     string
	listener *net.UnixListener
}

// doorPatience bounds the handing over, which follows at once.
const doorPatience = 10 * time.Second

// Listen makes the socket, name in dir. It is reached through the open directory: a
// socket's address holds 107 bytes, a directory's name may be longer.
func (d *Door) Listen(dir, name string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	d.path = filepath.Join(dir, name)
	d.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: Path(f) + "/" + name, Net: "unix"})
	if err != nil {
		return fault.Wrap(fault.Internal, "socket "+name, err)
	}
	d.listener.SetUnlinkOnClose(false)
	return os.Chmod(d.path, 0o600)
}

// Receive takes the file from the first who comes. It is the caller's.
func (d *Door) Receive(ctx context.Context) (*os.File, error) {
	deadline := time.Now().Add(doorPatience)
	if t, ok := ctx.Deadline(); ok && t.Before(deadline) {
		deadline = t
	}
	if err := d.listener.SetDeadline(deadline); err != nil {
		return nil, err
	}
	c, err := d.listener.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	var name [1]byte // its first byte carries the file
	files, err := Receive(c, name[:], 1)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fault.New(fault.Invalid, "socket: no file came")
	}
	return files[0], nil
}

// Close removes the socket.
func (d *Door) Close() {
	if d.listener != nil {
		d.listener.Close()
		_ = os.Remove(d.path) // it goes with its directory
	}
}
