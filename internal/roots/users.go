package roots

import (
	"os"
	"sync"

	"carob/internal/status"
	"carob/internal/sys/fd"
	"carob/internal/sys/ns"
)

// Users keeps user namespaces for id-mapping mounts. No process is in them, so
// that a root file system can be mounted before its pod's sandbox runs and after
// it; making one costs a fork of the daemon. The zero value is ready.
type Users struct {
	mu    sync.Mutex // held while one is made: whoever asks next wants the same
	known map[status.IDMapping]*os.File
}

// maxUsers bounds the cache; a full one is emptied.
const maxUsers = 64

// Get returns a user namespace with this mapping, nil for the host's. The caller
// closes the file.
func (c *Users) Get(ids status.IDMapping) (*os.File, error) {
	if ids.Size == 0 {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.known[ids]; ok {
		return fd.Dup(f)
	}
	f, err := ns.NewUser(ns.Mapping{HostID: ids.HostID, Size: ids.Size})
	if err != nil {
		return nil, err
	}
	if c.known == nil || len(c.known) >= maxUsers {
		c.dropLocked()
		c.known = map[status.IDMapping]*os.File{}
	}
	c.known[ids] = f
	return fd.Dup(f)
}

// Close lets go of all.
func (c *Users) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked()
}

func (c *Users) dropLocked() {
	for _, f := range c.known {
		f.Close()
	}
	clear(c.known)
}
