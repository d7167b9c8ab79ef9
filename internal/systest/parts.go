package systest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/plan/cgroup"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
)

type sandboxes struct{ m *Machine }

// Admit knows the native handler only.
func (s sandboxes) Admit(p *spec.Pod) error {
	if p.Handler != "" {
		return fault.New(fault.NotFound, "systest: no such handler")
	}
	return nil
}

func (s sandboxes) RunSandbox(ctx context.Context, b pod.Sandbox) (st pod.SandboxState, err error) {
	err = s.m.do(ctx, "RunSandbox", func() error {
		if made := s.m.boxes[b.PodID]; made != nil {
			if !made.ahead || made.ns != b.Namespaces || made.ids != b.IDs {
				return fault.New(fault.Exists, "systest: the sandbox is there")
			}
			made.ahead = false
			st.Pid, st.ReaperPid = made.pid, made.reaper
			return nil
		}
		if _, err := os.Stat(b.Dir); err != nil {
			return err
		}
		s.m.nextPid++
		made := &box{pid: s.m.nextPid, ns: b.Namespaces, ids: b.IDs, procs: map[string]*proc{}}
		if b.Namespaces.PID == spec.OfPod {
			s.m.nextPid++
			made.reaper = s.m.nextPid
		}
		s.m.boxes[b.PodID] = made
		st.Pid, st.ReaperPid = made.pid, made.reaper
		return nil
	})
	if err != nil { // one that was made ahead does not outlive it
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		if made := s.m.boxes[b.PodID]; made != nil && made.ahead {
			leaveLocked(s.m, b.PodID)
		}
	}
	return st, err
}

// PrepareSandbox works on a machine whose Ahead was called only: elsewhere, what the engine
// does ahead would come between the calls that tests count.
func (s sandboxes) PrepareSandbox(ctx context.Context, b pod.Sandbox) (st pod.SandboxState, err error) {
	s.m.mu.Lock()
	ahead := s.m.ahead
	s.m.mu.Unlock()
	if !ahead {
		return st, fault.New(fault.Unsupported, "systest: nothing is made ahead")
	}
	if _, scoped := cgroup.Scope(b.Cgroup); scoped {
		return st, fault.New(fault.Invalid, "systest: a scope that is asked for again ends who is in it")
	}
	if err := os.MkdirAll(b.Dir, 0o700); err != nil {
		return st, err
	}
	if st, err = s.RunSandbox(ctx, b); err != nil {
		return st, errors.Join(err, os.RemoveAll(b.Dir))
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if made := s.m.boxes[b.PodID]; made != nil {
		made.ahead = true
	}
	return st, nil
}

func (s sandboxes) AdoptSandbox(ctx context.Context, b pod.Sandbox) (st pod.SandboxState, err error) {
	err = s.m.do(ctx, "AdoptSandbox", func() error {
		found := s.m.boxes[b.PodID]
		if found == nil {
			return missing("sandbox")
		}
		st.Pid, st.ReaperPid = found.pid, found.reaper
		for id, p := range found.procs {
			st.Processes = append(st.Processes, pod.ProcessState{ID: id, Pid: p.pid, Exit: p.exit})
		}
		return nil
	})
	return st, err
}

func (s sandboxes) StopSandbox(ctx context.Context, podID string) error {
	return s.m.do(ctx, "StopSandbox", func() error {
		leaveLocked(s.m, podID)
		return nil
	})
}

type processes struct{ m *Machine }

func (p processes) Prepare(ctx context.Context, x pod.Process) (pod.Launch, error) {
	l := &launch{p, x.ID}
	err := p.m.do(ctx, "Prepare", func() error {
		if p.m.boxes[x.PodID] == nil {
			return fault.New(fault.Unavailable, "systest: no sandbox")
		}
		p.m.launches[l] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// launch is a process that was prepared for.
type launch struct {
	processes
	id string
}

// Start knows these commands: "true" and "false" end at once, "stubborn" ignores
// SIGTERM, "nosuch" is missing, "noexec" is not executable, all others run until a
// signal.
func (l *launch) Start(ctx context.Context, x pod.Process) (int, error) {
	if x.ID != l.id || x.Rootfs == nil {
		return 0, fault.New(fault.Internal, "systest: another process than was prepared for, or one without a root")
	}
	return l.launch(ctx, "Start", x)
}

func (l *launch) Close() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.launches, l)
}

func (p processes) Exec(ctx context.Context, x pod.Process) (int, error) {
	return p.launch(ctx, "Exec", x)
}

func (p processes) launch(ctx context.Context, call string, x pod.Process) (pid int, err error) {
	err = p.m.do(ctx, call, func() error {
		b := p.m.boxes[x.PodID]
		if b == nil {
			return fault.New(fault.Unavailable, "systest: no sandbox")
		}
		if b.procs[x.ID] != nil {
			return fault.New(fault.Exists, "systest: the process is there, or not forgotten")
		}
		if call == "Exec" && (b.procs[x.Target] == nil || b.procs[x.Target].exit != nil) {
			return fault.New(fault.Conflict, "systest: the target does not run")
		}
		if !p.m.groups[x.Cgroup] {
			return fault.New(fault.Internal, "systest: no cgroup "+x.Cgroup)
		}
		if call == "Start" && !b.knowsPid(x) {
			return fault.New(fault.Internal, "systest: nobody said which pid namespace")
		}
		args := x.Spec.Process.Args
		switch args[0] {
		case "nosuch":
			return fmt.Errorf("exec %q: %w", args[0], pod.ErrCommandNotFound)
		case "noexec":
			return fmt.Errorf("exec %q: %w: permission denied", args[0], pod.ErrNotExecutable)
		}
		p.m.nextPid++
		made := &proc{pid: p.m.nextPid, args: args, exec: call == "Exec", started: time.Now(), streams: x.Streams}
		b.procs[x.ID] = made
		pid = made.pid
		switch args[0] {
		case "true":
			p.m.endLocked(x.PodID, x.ID, made, status.Exit{})
		case "false":
			p.m.endLocked(x.PodID, x.ID, made, status.Exit{Code: 1})
		}
		return nil
	})
	return pid, err
}

// knowsPid reports whether the pid namespace of a container is fresh or named: the
// supervisor is in none but the host's.
func (b *box) knowsPid(x pod.Process) bool {
	fresh := slices.ContainsFunc(x.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
	joined := x.Join["pid"]
	switch {
	case fresh:
		return joined == 0
	case b.reaper != 0:
		return joined == b.reaper
	}
	return joined != 0 || b.ns.PID == spec.Host
}

func (p processes) find(podID, id string) *proc {
	if b := p.m.boxes[podID]; b != nil {
		return b.procs[id]
	}
	return nil
}

// Checkpoint ends the process, unless it is left running, and writes nothing.
func (p processes) Checkpoint(ctx context.Context, x pod.Process, _ string, leave bool) error {
	return p.m.do(ctx, "Checkpoint", func() error {
		found := p.find(x.PodID, x.ID)
		if found == nil || found.exit != nil {
			return missing("process")
		}
		if !leave {
			p.m.endLocked(x.PodID, x.ID, found, status.Exit{Code: 137, Signal: 9})
		}
		return nil
	})
}

func (p processes) Signal(ctx context.Context, podID, id string, signal int) error {
	return p.m.do(ctx, "Signal", func() error {
		found := p.find(podID, id)
		if found == nil || found.exit != nil {
			return missing("process")
		}
		if signal == 9 || signal == 15 && !found.deaf() {
			p.m.endLocked(podID, id, found, status.Exit{Code: 128 + signal, Signal: signal})
		}
		return nil
	})
}

func (p processes) KillExec(ctx context.Context, podID, id string) error {
	return p.m.do(ctx, "KillExec", func() error {
		if found := p.find(podID, id); found != nil && found.exit == nil {
			p.m.endLocked(podID, id, found, status.Exit{Code: 137, Signal: 9})
		}
		return nil
	})
}

func (p processes) alive(ctx context.Context, call, podID, id string) error {
	return p.m.do(ctx, call, func() error {
		if found := p.find(podID, id); found == nil || found.exit != nil {
			return missing("process")
		}
		return nil
	})
}

func (p processes) Attach(ctx context.Context, podID, id string, _ pod.Streams) error {
	return p.alive(ctx, "Attach", podID, id)
}

func (p processes) Resize(ctx context.Context, podID, id string, _, _ uint16) error {
	return p.alive(ctx, "Resize", podID, id)
}

func (p processes) ReopenLog(ctx context.Context, podID, id, _ string) error {
	return p.alive(ctx, "ReopenLog", podID, id)
}

func (p processes) Forget(ctx context.Context, podID, id string) error {
	return p.m.do(ctx, "Forget", func() error {
		if found := p.find(podID, id); found != nil && found.exit != nil {
			delete(p.m.boxes[podID].procs, id)
		}
		return nil
	})
}

func (p processes) Exits() <-chan pod.ProcessExit {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.m.exits
}

type roots struct{ m *Machine }

func (r roots) open(ctx context.Context, call string) (f *os.File, err error) {
	err = r.m.do(ctx, call, func() error {
		f, err = os.Open(filepath.Join(r.m.dir, "root"))
		return err
	})
	return opened(f, err)
}

func (r roots) MountRoot(ctx context.Context, p image.Rootfs, _ status.IDMapping) (*os.File, error) {
	if p.Upper == "" {
		return nil, fault.New(fault.Internal, "systest: no plan of the root")
	}
	return r.open(ctx, "MountRoot")
}

func (r roots) OpenRoot(ctx context.Context, _ int) (*os.File, error) { return r.open(ctx, "OpenRoot") }

func (r roots) OpenFile(root *os.File, path string) (f *os.File, err error) {
	err = r.m.do(context.Background(), "OpenFile", func() error {
		f, err = os.Open(filepath.Join(root.Name(), path))
		if errors.Is(err, os.ErrNotExist) {
			return missing("file " + path)
		}
		return err
	})
	return opened(f, err)
}

// opened closes the file of a call after which the daemon died: its descriptors go
// with it.
func opened(f *os.File, err error) (*os.File, error) {
	if err != nil && f != nil {
		_ = f.Close()
		return nil, err
	}
	return f, err
}

type observer struct{ m *Machine }

func (o observer) Observe(ctx context.Context, pid int, _ string) (out status.Observed, err error) {
	err = o.m.do(ctx, "Observe", func() error {
		if o.m.observe != nil {
			out, err = o.m.observe(pid)
		}
		return err
	})
	return out, err
}

func (o observer) Traffic(int) (*status.NetworkUse, error) {
	return nil, o.m.do(context.Background(), "Traffic", func() error { return nil })
}

func (o observer) Namespaces(pid int) (out map[string]string, err error) {
	err = o.m.do(context.Background(), "Namespaces", func() error {
		out = map[string]string{}
		for _, kind := range spec.Kinds() {
			out[kind] = fmt.Sprintf("%s:[%d]", kind, pid)
		}
		return nil
	})
	return out, err
}

func (o observer) Handles(pid, _ int) (heard bool, err error) {
	err = o.m.do(context.Background(), "Handles", func() error {
		for _, b := range o.m.boxes {
			for _, p := range b.procs {
				if p.pid == pid && p.exit == nil {
					heard = !p.deaf()
					return nil
				}
			}
		}
		return missing("process")
	})
	return heard, err
}

func (o observer) Device(ctx context.Context, path string) (d specs.LinuxDevice, err error) {
	err = o.m.do(ctx, "Device", func() error {
		if !strings.HasPrefix(path, "/dev/") {
			return missing("device " + path)
		}
		d = specs.LinuxDevice{Path: path, Type: "c", Major: 1, Minor: 3}
		return nil
	})
	return d, err
}

func (o observer) HostDevices(ctx context.Context) (all []specs.LinuxDevice, err error) {
	err = o.m.do(ctx, "HostDevices", func() error {
		all = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}}
		return nil
	})
	return all, err
}

type images struct{ m *Machine }

func (i images) Resolve(ctx context.Context, name string) (img image.Image, err error) {
	err = i.m.do(ctx, "Resolve", func() error {
		found, ok := i.m.images[name]
		if !ok {
			return fault.New(fault.NotFound, "image "+name+": not in the local store")
		}
		img = found
		return nil
	})
	return img, err
}

func (i images) NewRootfs(ctx context.Context, id, imageID string, _ int64) (r image.Rootfs, err error) {
	err = i.m.do(ctx, "NewRootfs", func() error {
		i.m.rootfs[id] = imageID
		r = image.Rootfs{Lower: []string{"/layers"}, Upper: "/rootfs/" + id + "/upper", Work: "/rootfs/" + id + "/work"}
		return nil
	})
	return r, err
}

func (i images) MountImage(ctx context.Context, id, imageID string) (lowerdir string, err error) {
	err = i.m.do(ctx, "MountImage", func() error {
		if i.m.rootfs[id] == "" {
			i.m.rootfs[id] = "mounts " + imageID // until there is a root, which RemoveRootfs takes with it
		}
		lowerdir = "/layers"
		return nil
	})
	return lowerdir, err
}

func (i images) RemoveRootfs(ctx context.Context, id string) error {
	return i.m.do(ctx, "RemoveRootfs", func() error {
		delete(i.m.rootfs, id)
		return nil
	})
}

func (i images) Sweep(ctx context.Context, keep func(string) bool) error {
	return i.m.do(ctx, "Sweep", func() error {
		for id := range i.m.rootfs {
			if !keep(id) {
				delete(i.m.rootfs, id)
			}
		}
		return nil
	})
}

type store struct{ m *Machine }

func (s store) Put(kind, id string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.m.do(context.Background(), "Put "+kind, func() error {
		if s.m.records[kind] == nil {
			s.m.records[kind] = map[string][]byte{}
		}
		s.m.records[kind][id] = text
		return nil
	})
}

func (s store) Load(kind string, each func(string, []byte) error) error {
	var ids []string
	var texts [][]byte
	err := s.m.do(context.Background(), "Load "+kind, func() error {
		for id := range s.m.records[kind] {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			texts = append(texts, s.m.records[kind][id])
		}
		return nil
	})
	for i, id := range ids {
		err = errors.Join(err, each(id, texts[i]))
	}
	return err
}

func (s store) Delete(kind, id string) error {
	return s.m.do(context.Background(), "Delete "+kind, func() error {
		delete(s.m.records[kind], id)
		return nil
	})
}

// Eventually waits until f is true, for at most ten seconds, asking often: for tests
// of what another goroutine does on the real clock.
func Eventually(f func() bool) bool {
	for range 2000 {
		if f() {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}
