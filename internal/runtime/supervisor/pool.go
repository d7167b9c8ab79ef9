package supervisor

import (
	"context"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"

	"carob/internal/pod"
	"carob/internal/podproc/wire"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
)

// Pool is the supervisors of this machine. New makes one; Close lets go of them, and
// they go on.
type Pool struct {
	binary  *os.File
	layout  *cgroup.Layout
	lastCap int
	env     []string // of supervisors
	exits   exits
	readers sync.WaitGroup
	closed  sync.Once

	sandboxes sandboxes
	log       *slog.Logger

	startScope func(ctx context.Context, group string, pid int) error
}

// Config is what a Pool needs.
type Config struct {
	// Binary is carob-pod's; it is read once.
	Binary io.Reader
	Layout *cgroup.Layout
	// StartScope has the service manager make the scope that the path of a pod's cgroup
	// names around a process, and returns when it is there.
	StartScope func(ctx context.Context, group string, pid int) error
	// Log is told of logs of containers that are not rotated; nil tells nobody.
	Log *slog.Logger
}

// New returns a pool without supervisors.
func New(c Config) (*Pool, error) {
	sealed, err := fd.Seal("carob-pod", c.Binary)
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	hugePages, _ := os.ReadFile(wire.HugePages) // a kernel without them has no such file
	return &Pool{
		binary: sealed, layout: c.Layout, startScope: c.StartScope, log: c.Log, lastCap: LastCap(), env: wire.Env(string(hugePages)),
		exits:     exits{to: make(chan pod.ProcessExit, 64), closing: make(chan struct{})},
		sandboxes: sandboxes{byPod: map[string]*Sandbox{}},
	}, nil
}

// Find returns a pod's sandbox; NotFound when none runs.
func (n *Pool) Find(podID string) (*Sandbox, error) { return n.sandboxes.find(podID) }

// LastCap reads the number of the kernel's last capability.
func LastCap() int {
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
func (n *Pool) Close() (err error) {
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
func (n *Pool) Exits() <-chan pod.ProcessExit { return n.exits.to }

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
