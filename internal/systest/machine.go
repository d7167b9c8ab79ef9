// Package systest is a machine that exists only in memory, for tests of what is
// built on package pod's interfaces: sandboxes, processes, cgroups, roots, network,
// images and records, with a fault at any call, a death of the daemon at any call,
// calls that hang until they are let go, and an account of all that has not been
// released.
//
// A Machine outlives daemons as the real one does: what is on it stays when an
// engine is dropped, and Revive lets the next one in. It touches files only in the
// directories it is given.
package systest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/pod"
	"carob/internal/pod/plugin"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/volume"
)

// ErrInjected is the error of a call that was made to fail.
var ErrInjected = errors.New("systest: injected")

// ErrDead is the error of every call by a daemon that was killed.
var ErrDead = errors.New("systest: the daemon is dead")

// Machine is the fake. Its methods may be called concurrently.
type Machine struct {
	dir string

	// mu guards what follows.
	mu        sync.Mutex
	calls     []string
	failAt    int
	killAt    int
	killAfter bool
	failed    bool
	dead      bool
	holds     map[string]*hold
	images    map[string]image.Image
	boxes     map[string]*box
	launches  map[*launch]bool // not closed
	groups    map[string]bool
	rootfs    map[string]string
	attached  map[string]bool
	asked     map[string]bool
	records   map[string]map[string][]byte
	exits     chan pod.ProcessExit
	nextPid   int
	ahead     bool
	observe   func(pid int) (status.Observed, error)
}

type hold struct {
	deaf bool
	gate chan struct{}
	// reached is closed when the call waits at the gate.
	reached chan struct{}
}

type box struct {
	pid int
	// ns is what the sandbox was asked for; reaper is PID 1 of its shared pid namespace.
	ns     spec.Namespaces
	ids    status.IDMapping
	reaper int
	// ahead says that nobody has asked for it yet: it ends with the daemon.
	ahead bool
	procs map[string]*proc
}

type proc struct {
	pid     int
	args    []string
	exec    bool
	started time.Time
	exit    *status.Exit
	streams pod.Streams
}

// exitsRoom is how many exits can wait for a daemon.
const exitsRoom = 1 << 16

// New returns a machine that keeps its files in dir and has an image "toolbox".
func New(dir string) *Machine {
	m := &Machine{
		dir: dir, holds: map[string]*hold{}, boxes: map[string]*box{}, launches: map[*launch]bool{}, groups: map[string]bool{}, rootfs: map[string]string{},
		attached: map[string]bool{}, asked: map[string]bool{}, records: map[string]map[string][]byte{}, nextPid: 1000,
		images: map[string]image.Image{}, exits: make(chan pod.ProcessExit, exitsRoom),
	}
	m.AddImage("toolbox", v1.ImageConfig{Cmd: []string{"sleep"}})
	return m
}

// AddImage gives the machine an image.
func (m *Machine) AddImage(name string, config v1.ImageConfig) {
	m.mu.Lock()
	defer m.mu.Unlock()
	img := image.Image{ID: fmt.Sprintf("sha256:%064x", len(m.images)+1), Names: []string{name}, Config: config, Layers: []string{"/layers/" + name}}
	m.images[name] = img
	m.images[img.ID] = img
}

// Deps returns what an engine on this machine works with; Log and Facts are the
// caller's.
func (m *Machine) Deps() pod.Deps {
	for _, d := range []string{"run", "lib", "root"} {
		_ = os.MkdirAll(filepath.Join(m.dir, d), 0o700) // a missing one shows in the first test
	}
	return pod.Deps{
		Sandboxes: sandboxes{m}, Processes: processes{m}, Groups: groups{m}, Roots: roots{m}, Observer: observer{m},
		Images: images{m}, Volumes: volume.New(filepath.Join(m.dir, "lib/volumes")), Network: network{m}, Store: store{m}, Devices: plugin.None{}, Plugins: plugins{m},
		RunDir: filepath.Join(m.dir, "run"), LibDir: filepath.Join(m.dir, "lib"),
		Ranges: pod.Ranges{First: 1 << 20, Size: 1 << 30, Count: 1 << 16},
	}
}

// Ahead lets a machine make sandboxes ahead.
func Ahead(m *Machine) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ahead = true
}

// Prepared lists the pods whose sandboxes have been made ahead and not asked for, with
// their connections where they have any.
func Prepared(m *Machine) (ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, b := range m.boxes {
		if b.ahead && (b.ns.Net != spec.Own || m.attached[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// FailAt makes the nth call from now fail, having done nothing; 0 is none.
func (m *Machine) FailAt(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls, m.failed, m.failAt, m.killAt = nil, false, n, 0
}

// KillAt kills the daemon at the nth call from now, before or after what it does:
// that call and all later ones return ErrDead and have no effect, until Revive.
func (m *Machine) KillAt(n int, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls, m.failed, m.failAt, m.killAt, m.killAfter = nil, false, 0, n, after
}

// Revive lets the next daemon in. Exits that nobody has forgotten are told by
// AdoptSandbox.
func (m *Machine) Revive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead, m.killAt, m.failAt = false, 0, 0
	clear(m.launches) // the dead daemon's files
	maps.DeleteFunc(m.boxes, func(_ string, b *box) bool { return b.ahead })
	m.exits = make(chan pod.ProcessExit, exitsRoom)
}

// Failed reports whether the injected fault or death has taken place.
func (m *Machine) Failed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// Last is the latest call, or the one that failed.
func (m *Machine) Last() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := max(m.failAt, m.killAt)
	if !m.failed || n > len(m.calls) {
		n = len(m.calls)
	}
	if n == 0 {
		return ""
	}
	return m.calls[n-1]
}

// Hold makes the next call of this name wait until release is called or its context
// ends; reached is closed when it waits.
func (m *Machine) Hold(call string) (reached <-chan struct{}, release func()) {
	return m.hold(call, false)
}

// Stick is Hold for a system call that no signal interrupts: it also waits when the
// context has ended.
func (m *Machine) Stick(call string) (reached <-chan struct{}, release func()) {
	return m.hold(call, true)
}

func (m *Machine) hold(call string, deaf bool) (<-chan struct{}, func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := &hold{deaf: deaf, gate: make(chan struct{}), reached: make(chan struct{})}
	m.holds[call] = h
	return h.reached, sync.OnceFunc(func() { close(h.gate) })
}

// do is one call: counted, failed, killed or held, then done under the lock.
func (m *Machine) do(ctx context.Context, name string, effect func() error) error {
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		return ErrDead
	}
	m.calls = append(m.calls, name)
	switch len(m.calls) {
	case m.failAt:
		m.failed = true
		m.mu.Unlock()
		return fmt.Errorf("%s: %w", name, ErrInjected)
	case m.killAt:
		defer m.mu.Unlock()
		m.failed, m.dead = true, true
		if m.killAfter {
			_ = effect() // nobody is there to hear
		}
		return ErrDead
	}
	h := m.holds[name]
	delete(m.holds, name)
	m.mu.Unlock()
	if h != nil {
		close(h.reached)
		if err := h.wait(ctx); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil && h == nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return ErrDead
	}
	return effect()
}

func (h *hold) wait(ctx context.Context) error {
	if h.deaf {
		<-h.gate
		return nil
	}
	select {
	case <-h.gate:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// End lets the process of a container or exec end so.
func (m *Machine) End(processID string, x status.Exit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for podID, b := range m.boxes {
		if p := b.procs[processID]; p != nil && p.exit == nil {
			m.endLocked(podID, processID, p, x)
		}
	}
}

// Repeat tells every end that nobody has forgotten once more.
func (m *Machine) Repeat() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for podID, b := range m.boxes {
		for id, p := range b.procs {
			if p.exit != nil {
				m.exits <- pod.ProcessExit{PodID: podID, ProcessID: id, Exit: *p.exit}
			}
		}
	}
}

// Crash ends a sandbox by itself, with all that runs in it, telling only of the
// sandbox.
func (m *Machine) Crash(podID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	leaveLocked(m, podID)
	m.exits <- pod.ProcessExit{PodID: podID, Exit: status.Exit{Code: 137, Signal: 9, At: time.Now()}}
}

// Lateness is how long the program "late" has no handlers after its start: what is sent
// to it meanwhile is lost.
const Lateness = 100 * time.Millisecond

func (p *proc) deaf() bool {
	return p.args[0] == "stubborn" || p.args[0] == "late" && time.Since(p.started) < Lateness
}

func (m *Machine) endLocked(podID, id string, p *proc, x status.Exit) {
	x.At = time.Now()
	p.exit = &x
	m.exits <- pod.ProcessExit{PodID: podID, ProcessID: id, Exit: x}
}

// Observe sets what the observer shows of a process.
func (m *Machine) Observe(f func(pid int) (status.Observed, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.observe = f
}

// Live lists all that has not been released, sorted: what a clean machine has none
// of. Ended processes count until they are forgotten.
func (m *Machine) Live() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for id, b := range m.boxes {
		out = append(out, "sandbox "+id)
		for pid := range b.procs {
			out = append(out, "process "+pid)
		}
	}
	for l := range m.launches {
		out = append(out, "launch "+l.id)
	}
	for path := range m.groups {
		out = append(out, "cgroup "+path)
	}
	for id := range m.rootfs {
		out = append(out, "rootfs "+id)
	}
	for id := range m.attached {
		out = append(out, "network "+id)
	}
	for kind, rs := range m.records {
		for id := range rs {
			out = append(out, "record "+kind+" "+id)
		}
	}
	out = append(out, m.filesLocked()...)
	slices.Sort(out)
	return out
}

// filesLocked lists files of the engine's and open roots.
func (m *Machine) filesLocked() []string {
	var out []string
	for _, d := range []string{"run/pods", "lib/logs", "lib/volumes"} {
		entries, _ := os.ReadDir(filepath.Join(m.dir, d)) // absent is empty
		for _, e := range entries {
			if len(e.Name()) == 64 {
				out = append(out, "file "+d+"/"+e.Name())
			}
		}
	}
	fds, _ := os.ReadDir("/proc/self/fd") // absent where there is no /proc
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, filepath.Join(m.dir, "root")) {
			out = append(out, "open "+to)
		}
	}
	return out
}

// Running reports whether the process of a container or exec runs.
func (m *Machine) Running(processID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.boxes {
		if p := b.procs[processID]; p != nil {
			return p.exit == nil
		}
	}
	return false
}

// HasSandbox reports whether a pod's sandbox runs.
func (m *Machine) HasSandbox(podID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.boxes[podID] != nil
}

func missing(what string) error { return fault.New(fault.NotFound, "systest: no "+what) }
