package runtime

import (
	"hash/fnv"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/roots"
	"carob/internal/status"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
)

// Native is carob's own handler. New makes one; Close lets go of the supervisors,
// which go on.
type Native struct {
	binary  *os.File
	layout  *cgroup.Layout
	runDir  string
	lastCap int
	filters filterCache
	users   *roots.Users
	exits   chan pod.ProcessExit
	readers sync.WaitGroup
	closing chan struct{}
	closed  sync.Once

	mu        sync.Mutex
	sandboxes map[string]*sandbox
}

// sandbox is a pod's supervisor as the daemon sees it. Its fields do not change
// once it is in the map, except those of conn and processes.
type sandbox struct {
	podID  string
	pid    int
	reaper int
	ids    status.IDMapping
	conn   *conn

	mu        sync.Mutex
	processes map[uint64]*process
}

// process is a container's first process or an exec.
type process struct {
	id     string
	pid    int
	cgroup string // where it runs, for execs with a deadline a sub-group of this name
	sub    string
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
	return &Native{
		binary: binary, layout: c.Layout, users: c.Users, runDir: c.RunDir, lastCap: lastCap(),
		exits: make(chan pod.ProcessExit, 64), closing: make(chan struct{}),
		sandboxes: map[string]*sandbox{},
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
	n.closed.Do(func() { err = n.shut() })
	return err
}

func (n *Native) shut() error {
	close(n.closing)
	n.mu.Lock()
	for _, s := range n.sandboxes {
		s.conn.close()
	}
	n.mu.Unlock()
	n.readers.Wait()
	return n.binary.Close()
}

// Exits delivers the end of processes and sandboxes.
func (n *Native) Exits() <-chan pod.ProcessExit { return n.exits }

func (n *Native) sandbox(podID string) (*sandbox, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s, ok := n.sandboxes[podID]; ok {
		return s, nil
	}
	return nil, fault.New(fault.NotFound, "pod "+short(podID)+": no sandbox runs")
}

// take removes a sandbox from the map, so that its end is nobody's loss.
func (n *Native) take(podID string) *sandbox {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sandboxes[podID]
	delete(n.sandboxes, podID)
	return s
}

func (n *Native) deliver(e pod.ProcessExit) {
	select {
	case n.exits <- e:
	case <-n.closing:
	}
}

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

func (s *sandbox) find(id string) (*process, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.processes[handle(id)]
	return p, ok
}

func (s *sandbox) add(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes[handle(p.id)] = p
}

func (s *sandbox) drop(h uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.processes, h)
}
