package runtime

import (
	"hash/fnv"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"carob/internal/pod"
	"carob/internal/podproc/wire"
	"carob/internal/roots"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	prepare "carob/internal/world"
)

// Native is carob's own handler. New makes one; Close lets go of the supervisors,
// which go on.
type Native struct {
	binary  *os.File
	layout  *cgroup.Layout
	runDir  string
	lastCap int
	env     []string // of supervisors
	filters prepare.Filters
	users   *roots.Users
	exits   exits
	readers sync.WaitGroup
	closed  sync.Once

	sandboxes sandboxes
}

// Config is what a Native needs.
type Config struct {
	// Supervisor is the carob-pod binary; it is read once.
	Supervisor io.Reader
	Layout     *cgroup.Layout
	// Users map the mounts of volumes.
	Users *roots.Users
	// RunDir is /run/carob: bind mounts from below it are carob's own files.
	RunDir string
}

// New returns a handler. It starts nothing.
func New(c Config) (*Native, error) {
	binary, err := fd.Seal("carob-pod", c.Supervisor)
	if err != nil {
		return nil, err
	}
	hugePages, _ := os.ReadFile(wire.HugePages) // a kernel without them has no such file
	return &Native{
		binary: binary, layout: c.Layout, users: c.Users, runDir: c.RunDir, lastCap: lastCap(), env: wire.Env(string(hugePages)),
		filters:   prepare.Filters{NoX32: initstage.NoX32()},
		exits:     exits{to: make(chan pod.ProcessExit, 64), closing: make(chan struct{})},
		sandboxes: sandboxes{byPod: map[string]*sandbox{}},
	}, nil
}

// lastCap reads the number of the kernel's last capability.
func lastCap() int {
	b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 40 // CAP_CHECKPOINT_RESTORE, the last one of Linux 5.9 to 6.18
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 40
	}
	return n
}

// Close closes the connections and waits for their readers; it is idempotent.
// Sandboxes and their containers go on.
func (n *Native) Close() (err error) {
	n.closed.Do(func() {
		close(n.exits.closing)
		for _, s := range n.sandboxes.all() {
			s.conn.close()
		}
		n.readers.Wait()
		err = n.binary.Close()
	})
	return err
}

// Exits delivers the end of processes and sandboxes.
func (n *Native) Exits() <-chan pod.ProcessExit { return n.exits.to }

// handle is the number by which the supervisor knows a process: the first eight
// bytes of its random ID, so that nothing has to be remembered.
func handle(id string) uint64 {
	if len(id) >= 16 {
		if h, err := strconv.ParseUint(id[:16], 16, 64); err == nil && h != 0 {
			return h
		}
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum64() | 1
}

func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
