package foreign

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/bundle"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
	"carob/internal/spec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/initstage"
	"carob/internal/sys/mount"
)

// hybrid is where a host with cgroup v1 has its unified hierarchy as well. carob does not
// use it; crun (1.8) refuses such a host, and otherwise makes groups in it, as runc does.
const hybrid = "/sys/fs/cgroup/unified"

// hierarchies is where cgroup v1's are mounted. runsc makes directories there for those
// that are not.
const hierarchies = "/sys/fs/cgroup"

// initialNet has files by which runsc takes the namespace of a pod's network for the
// host's, and refuses it: rmem_default, which every network namespace has since Linux
// 6.13 (runsc of 2022, Debian 12's).
const initialNet = "/proc/sys/net/core"

// Config is what a Handler needs.
type Config struct {
	// Name is what pods choose it by.
	Name string
	// Path is the runtime's binary, Options its global flags without the dashes:
	// "platform=systrap", "debug".
	Path    string
	Options []string
	// Pool has the supervisors.
	Pool   *supervisor.Pool
	Layout *cgroup.Layout
	// Pause is a program that sleeps, for gVisor's sandboxes: carob-pod. Init is the first
	// process of containers that ask for one: carob-init.
	Pause, Init string
	// RunDir is /run/carob: bind mounts from below it are carob's own files.
	RunDir string
	// SearchPath is the PATH that the runtime runs with.
	SearchPath string
}

// Handler runs pods under one OCI runtime. New makes one; Close waits for its
// goroutines, after the pool's own.
type Handler struct {
	Config
	known atomic.Pointer[known]

	waits sync.WaitGroup
	mu    sync.Mutex
	boxes map[string]*box
}

// box is a pod's sandbox.
type box struct {
	pod.Sandbox
	h   *Handler
	sb  *supervisor.Sandbox // nil: it has died, or was not found
	dir string

	mu sync.Mutex // held while a gVisor sandbox begins
	// begun is the name of the container that it has begun with.
	begun atomic.Value
}

// first is the name of the container that a gVisor sandbox has begun with, "" before.
func (b *box) first() string {
	name, _ := b.begun.Load().(string)
	return name
}

// New returns a handler. It starts nothing; the runtime is not looked at before it is
// used.
func New(c Config) *Handler {
	return &Handler{Config: c, boxes: map[string]*box{}}
}

// known is what a runtime has said of itself, or why it has not.
type known struct {
	file     os.FileInfo
	at       time.Time
	features bundle.Features
	err      error
}

// askAgain is how long a runtime that has not answered is not asked again: the kubelet
// wants to know every five seconds.
const askAgain = time.Minute

// holds tells whether a runtime whose binary is file now would say the same again.
func (k *known) holds(file os.FileInfo) bool {
	return k != nil && os.SameFile(k.file, file) && k.file.ModTime().Equal(file.ModTime()) && (k.err == nil || time.Since(k.at) < askAgain)
}

// Features asks the runtime what it is and can do, once for each binary that is at its
// path. The error names the handler.
func (h *Handler) Features() (bundle.Features, error) {
	file, err := os.Stat(h.Path)
	if err != nil {
		return bundle.Features{}, fmt.Errorf("handler %s: %w", h.Name, fault.Wrap(fault.Unavailable, h.Path, err))
	}
	k := h.known.Load()
	if !k.holds(file) {
		k = &known{file: file, at: time.Now()}
		if k.features, k.err = probe(h.Path); k.err != nil {
			k.err = fmt.Errorf("handler %s: %w", h.Name, k.err)
		}
		h.known.Store(k) // who asked at the same time got the same answer
	}
	return k.features, k.err
}

// Close waits for the goroutines that the end of the pool has ended.
func (h *Handler) Close() error {
	h.waits.Wait()
	return nil
}

// Admit completes a pod's request, or refuses what the runtime cannot do.
func (h *Handler) Admit(p *spec.Pod) error {
	f, err := h.Features()
	if err != nil {
		return err
	}
	if err := f.Admit(p); err != nil {
		return err
	}
	if p.Namespaces.User == spec.Own && hidden(h.RunDir) {
		return fault.New(fault.Unsupported, "user namespace: handler "+h.Name+": such a pod has another "+view+" than the host, and the run directory "+
			h.RunDir+" is below it; serve with another one, or take the host's user namespace")
	}
	return nil
}

func (h *Handler) find(podID string) (*box, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := h.boxes[podID]; b != nil && b.sb != nil {
		return b, nil
	}
	return nil, fault.New(fault.NotFound, "pod "+short(podID)+": no sandbox runs")
}

func (h *Handler) enter(s pod.Sandbox, sb *supervisor.Sandbox) *box {
	b := &box{Sandbox: s, h: h, sb: sb, dir: filepath.Join(s.Dir, "oci")}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.boxes[s.PodID] = b
	return b
}

// RunSandbox starts the pod's supervisor. The runtime is asked for nothing yet.
func (h *Handler) RunSandbox(ctx context.Context, s pod.Sandbox) (st pod.SandboxState, err error) {
	dir := filepath.Join(s.Dir, "oci")
	shm := filepath.Join(dir, "shm")
	err = os.RemoveAll(dir) // a solo pod's, of its container's last run
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Join(dir, "state"), 0o700), os.Mkdir(shm, 0o700))
	}
	if err != nil {
		return st, err
	}
	own := func(m spec.Mode) bool { return m == spec.Own || m == spec.None }
	w := initstage.HostSandbox{Loopback: own(s.Namespaces.Net), Sysctls: s.Sysctls, Shm: shm, ShmSize: s.ShmSize}
	if s.Namespaces.UTS == spec.Own {
		w.Hostname = s.Hostname
	}
	if h.Layout.Mode() != cgroup.ModeV2 {
		w.Hide = hybrid
		if mount.FSType(hierarchies) == "tmpfs" {
			w.Keep = hierarchies
		}
	}
	if f, err := h.Features(); err == nil && f.Sentry {
		w.Cover = initialNet
	}
	var files []*os.File
	if f, err := foreignShm(s); err != nil {
		return st, fmt.Errorf("/dev/shm: %w", err)
	} else if f != nil {
		defer f.Close()
		files, w.ShmSize = []*os.File{f}, 0
	}
	started := s
	release, err := ownUsers(&started, &w, dir)
	if err != nil {
		return st, err
	}
	defer release()
	sb, err := h.Pool.Start(ctx, started, supervisor.World{Program: w.Program(), Files: files})
	if err != nil {
		return st, errors.Join(err, os.RemoveAll(dir))
	}
	h.enter(s, sb)
	return sb.State(), nil
}

// foreignShm is the shared memory file system of an IPC namespace that is not the
// sandbox's own; nil when it is.
func foreignShm(s pod.Sandbox) (*os.File, error) {
	if pid, joined := s.Join["ipc"]; joined {
		return mount.CloneFrom(pid, "/dev/shm")
	}
	if s.Namespaces.IPC == spec.Host {
		return mount.Clone(nil, "/dev/shm", false)
	}
	return nil, nil
}

// AdoptSandbox takes over the supervisor that an earlier daemon started, and with it what
// was half done.
func (h *Handler) AdoptSandbox(ctx context.Context, s pod.Sandbox) (st pod.SandboxState, err error) {
	f, err := h.Features()
	if err != nil {
		return st, err
	}
	asked := s
	if f.Sentry {
		asked.Known = withWaiters(s.Known)
	}
	sb, all, err := h.Pool.Reconnect(ctx, asked)
	b := h.enter(s, sb)
	if err != nil {
		if fault.Is(err, fault.NotFound) { // what it left must not outlive it
			err = errors.Join(err, b.sweep(ctx))
		}
		return st, err
	}
	st = sb.State()
	st.Processes = h.recover(ctx, b, all, f)
	return st, nil
}

// StopSandbox ends all containers through the runtime, then the supervisor. What the
// runtime does not end, the end of the supervisor's children and the engine's cgroups do.
func (h *Handler) StopSandbox(ctx context.Context, podID string) error {
	h.mu.Lock()
	b := h.boxes[podID]
	delete(h.boxes, podID)
	h.mu.Unlock()
	if b == nil {
		return nil
	}
	if b.sb != nil {
		b.endAll(ctx)
	}
	return errors.Join(h.Pool.StopSandbox(ctx, podID), b.sweep(ctx))
}

// endAll deletes the containers of a pod; the sandbox's own last.
func (b *box) endAll(ctx context.Context) {
	names := b.containers()
	for i, name := range names {
		if name == b.first() {
			names = append(append(names[:i:i], names[i+1:]...), name)
			break
		}
	}
	for _, name := range names {
		_ = b.run(ctx, command{name: "delete", args: []string{"delete", "--force", name}, dir: b.dir}) // see StopSandbox
	}
}

// sweep removes what a sandbox leaves: its files, and what still runs of gVisor's.
func (b *box) sweep(ctx context.Context) error {
	err := os.RemoveAll(b.dir)
	if b.Cgroup == "" {
		return err
	}
	g, openErr := b.h.Layout.Open(b.Cgroup + sandboxGroup)
	if fault.Is(openErr, fault.NotFound) {
		return err
	}
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	return errors.Join(err, g.Kill(ctx, sigKill), g.Remove(ctx))
}

// containers lists the containers that have a directory.
func (b *box) containers() []string {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if len(e.Name()) == shortID {
			names = append(names, e.Name())
		}
	}
	return names
}

// shortID is how many digits of an ID name a container to the runtime: sockets below its
// directory have 107 bytes for their path.
const shortID = 12

func short(id string) string {
	if len(id) > shortID {
		return id[:shortID]
	}
	return id
}
