// Package roots turns a plan of layers into a root file system, as a detached mount,
// and opens what is below one without ever leaving it. It implements the engine's
// Roots. It owns a few user namespaces that mounts are mapped through.
package roots

import (
	"context"
	"os"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/status"
	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
	"carob/internal/sys/ns"
)

// Roots mounts root file systems. New makes one; it is safe for concurrent use.
type Roots struct {
	users *Users
	// closing are layers that roots have been made of.
	closing sync.WaitGroup
}

// New returns the roots that map their layers through users, which it takes over.
func New(users *Users) *Roots { return &Roots{users: users} }

// Close waits until everything that was opened for mounting has been closed, and
// closes the users. Mounted roots stay.
func (r *Roots) Close() {
	r.closing.Wait()
	r.users.Close()
}

// outOfTheWay is how long layers stay open after a mount: to close one makes every CPU
// take part in a grace period, and the container is being started just then.
const outOfTheWay = 20 * time.Millisecond

// MountRoot mounts a container's layers, detached.
func (r *Roots) MountRoot(_ context.Context, p image.Rootfs, ids status.IDMapping) (*os.File, error) {
	users, err := r.users.Get(ids)
	if err != nil {
		return nil, err
	}
	if users != nil {
		defer users.Close()
	}
	root, layers, err := mount.Overlay(mount.Layers{Lower: p.Lower, Upper: p.Upper, Work: p.Work, Users: users, Owner: int(ids.HostID), Label: p.Label})
	r.closing.Go(func() {
		time.Sleep(outOfTheWay)
		for _, l := range layers {
			_ = l.Close()
		}
	})
	return root, err
}

// OpenRoot returns the root directory that a running process sees.
func (r *Roots) OpenRoot(_ context.Context, pid int) (*os.File, error) {
	return ns.Root(pid)
}

// OpenFile opens a regular file below root for reading. A FIFO or device in its
// place is refused before it is opened for reading.
func (r *Roots) OpenFile(root *os.File, unsafePath string) (*os.File, error) {
	at, err := fd.InRoot(root, unsafePath, true)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	info, err := at.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fault.New(fault.Invalid, unsafePath+": not a regular file")
	}
	return os.OpenFile(fd.Path(at), os.O_RDONLY|fd.NoBlock, 0)
}
