package supervisor

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/status"
)

// Sandbox is a pod's supervisor as the daemon sees it. Its fields do not change
// once it is in the map, except processes and ahead, and cgroup, which Take sets.
type Sandbox struct {
	podID  string
	pid    int
	reaper int
	ids    status.IDMapping
	cgroup string // the pod's, "" if it has none
	conn   *conn
	// ahead says that nobody has asked for it yet.
	ahead atomic.Bool

	mu        sync.Mutex
	processes map[uint64]*process
}

// process is a container's first process or an exec.
type process struct {
	id     string
	pid    int
	cgroup string // where it runs, for execs with a deadline a sub-group of this name
	sub    string
	// ended, when set, takes the process's end in the engine's place: see Spawn.
	ended func(status.Exit)
	rotation
}

// Pid is the supervisor's, which holds the pod's namespaces.
func (s *Sandbox) Pid() int { return s.pid }

// Reaper is the pid of PID 1 of the pod's shared PID namespace, 0 without one.
func (s *Sandbox) Reaper() int { return s.reaper }

// Group is the pod's cgroup, "" if it has none.
func (s *Sandbox) Group() string { return s.cgroup }

// State is what the engine is told of the sandbox, without its processes.
func (s *Sandbox) State() pod.SandboxState { return pod.SandboxState{Pid: s.pid, ReaperPid: s.reaper} }

func (s *Sandbox) find(id string) (*process, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.processes[handle(id)]
	return p, ok
}

// GroupOf is the cgroup of a process, "" if it is not known.
func (s *Sandbox) GroupOf(id string) string {
	if p, ok := s.find(id); ok {
		return p.cgroup
	}
	return ""
}

func (s *Sandbox) add(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes[handle(p.id)] = p
}

func (s *Sandbox) drop(h uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.processes, h)
}

// sandboxes are those that run, by their pods' IDs.
type sandboxes struct {
	mu    sync.Mutex
	byPod map[string]*Sandbox
}

func (s *sandboxes) find(podID string) (*Sandbox, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sb, ok := s.byPod[podID]; ok {
		return sb, nil
	}
	return nil, fault.New(fault.NotFound, "pod "+short(podID)+": no sandbox runs")
}

func (s *sandboxes) add(sb *Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byPod[sb.podID] = sb
}

// take removes a pod's sandbox, so that its end is nobody's loss. It is nil when there
// is none.
func (s *sandboxes) take(podID string) *Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	sb := s.byPod[podID]
	delete(s.byPod, podID)
	return sb
}

// drop removes this very sandbox and reports whether it was there.
func (s *sandboxes) drop(sb *Sandbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := s.byPod[sb.podID] == sb
	if there {
		delete(s.byPod, sb.podID)
	}
	return there
}

func (s *sandboxes) all() []*Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.byPod))
}

// exits delivers ends until it is closing: afterwards nobody may be listening.
type exits struct {
	to      chan pod.ProcessExit
	closing chan struct{}
}

func (e exits) deliver(x pod.ProcessExit) {
	select {
	case e.to <- x:
	case <-e.closing:
	}
}
