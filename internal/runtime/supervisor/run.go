package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/podproc/wire"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/ns"
	"carob/internal/sys/spawn"
	"carob/internal/undo"
)

const (
	socketName = "supervisor.sock"
	crashLog   = "supervisor.log"
	// ReaperID names the pod's shared PID 1 among its processes.
	ReaperID = "reaper"
	// supervisorGroup is the supervisor's own group below the pod's.
	supervisorGroup = "/supervisor"
)

// World is what a supervisor makes of itself: the program that it runs at its
// beginning, with the files of that, which stay the caller's. Ahead says that nobody
// has asked for the sandbox: it ends with this process unless Take comes.
type World struct {
	Program *spawn.Builder
	Files   []*os.File
	Ahead   bool
}

// Start starts a supervisor in the sandbox's namespaces and lets it set up its own
// world.
func (n *Pool) Start(ctx context.Context, s pod.Sandbox, w World) (_ *Sandbox, err error) {
	var u undo.Stack
	defer u.OnError(ctx, &err)
	listener, err := listen(s.Dir)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	u.Push("socket", func(context.Context) error { return removeSocket(s.Dir) })
	if hasGroup(n.layout, s) {
		u.Push("cgroup", func(ctx context.Context) error { return n.layout.Remove(ctx, s.Cgroup+supervisorGroup) })
	}
	// Before there is anybody to talk to: until it is settled (package wire), a supervisor
	// ends with the connection, whenever this process ends.
	c, err := dial(s.Dir)
	if err != nil {
		return nil, err
	}
	u.Push("connection", func(context.Context) error { c.close(); return nil })
	pid, err := launchApart(n, s, listener, w.Ahead)
	if err != nil {
		return nil, fmt.Errorf("supervisor: %w", err)
	}
	u.Push("supervisor", func(context.Context) error {
		defer ns.Reap(pid)
		return ns.Kill(pid)
	})
	protect(pid)
	if cgroup.InScope(s.Cgroup) {
		if err := enterScope(ctx, n, s, pid); err != nil {
			return nil, err
		}
	}
	sb := attend(n, s, c)
	sb.pid = pid
	u.Push("sandbox", func(context.Context) error { n.sandboxes.take(s.PodID); return nil })
	n.sandboxes.add(sb)
	if err := sb.Setup(ctx, w); err != nil {
		return nil, err
	}
	if s.Namespaces.PID == spec.OfPod && !w.Ahead { // a process settles the supervisor: see package wire
		if err := n.startReaper(ctx, sb); err != nil {
			return nil, err
		}
	}
	sb.ahead.Store(w.Ahead)
	return sb, nil
}

// Take returns a sandbox that was started ahead, once, having run the rest of its program;
// nil if there is none. One whose program fails has been stopped.
func (n *Pool) Take(ctx context.Context, s pod.Sandbox, rest *spawn.Builder) (*Sandbox, error) {
	sb, err := n.sandboxes.find(s.PodID)
	if err != nil || !sb.ahead.CompareAndSwap(true, false) {
		return nil, nil
	}
	sb.cgroup = s.Cgroup
	if cgroup.InScope(s.Cgroup) {
		err = enterScope(ctx, n, s, sb.pid)
	}
	if err == nil {
		err = sb.Setup(ctx, World{Program: rest})
	}
	if err == nil && s.Namespaces.PID == spec.OfPod {
		err = n.startReaper(ctx, sb)
	}
	if err != nil {
		return nil, errors.Join(err, n.StopSandbox(context.WithoutCancel(ctx), s.PodID))
	}
	return sb, nil
}

// launchApart launches the supervisor outside the daemon's cgroup, with which a service
// manager would end it. Another daemon that ends can remove the group in between.
func launchApart(n *Pool, s pod.Sandbox, listener *os.File, ahead bool) (int, error) {
	for tries := 1; ; tries++ {
		group, err := makeGroup(n.layout, s)
		if err != nil {
			return 0, err
		}
		// The pod's own limits are not there yet, or are those of its own group.
		share := len(s.Join) == 0 && (ahead || !hasGroup(n.layout, s))
		pid, err := n.launch(s, listener, group, share)
		group.Close()
		if !fault.Is(err, fault.Conflict) || tries == 10 {
			return pid, err
		}
	}
}

// ExecGroup names the group of an exec with a deadline, inside its container's.
func ExecGroup(id string) string { return "exec-" + short(id) }

// hasGroup reports whether the supervisor gets a group of its own, from which it may clone
// processes into the pod's: on cgroup v2, where it is not the host's root.
func hasGroup(l *cgroup.Layout, s pod.Sandbox) bool {
	return l.Mode() == cgroup.ModeV2 && s.Cgroup != "" && s.IDs.Size > 0
}

// makeGroup makes the group that the supervisor is born in. Where it has none of its own it
// opens one for all supervisors, and so it does for a pod whose scope begins with it.
func makeGroup(l *cgroup.Layout, s pod.Sandbox) (entry cgroup.Entry, err error) {
	if cgroup.InScope(s.Cgroup) || !hasGroup(l, s) {
		return l.Aside()
	}
	g, err := ownGroup(l, s)
	if err != nil {
		return entry, err
	}
	if entry, err = g.Entry(); err != nil {
		err = errors.Join(err, l.Remove(context.Background(), s.Cgroup+supervisorGroup))
	}
	return entry, err
}

// ownGroup makes the supervisor's own group on cgroup v2, beside those of the pod's
// containers: whose root it is in its user namespace may then clone processes from there
// into theirs. It goes with the pod's group.
func ownGroup(l *cgroup.Layout, s pod.Sandbox) (*cgroup.Group, error) {
	g, err := l.Create(s.Cgroup+supervisorGroup, nil)
	if fault.Is(err, fault.Exists) { // a solo pod's, of its container's last run
		g, err = l.Open(s.Cgroup + supervisorGroup)
	}
	if err != nil {
		return nil, err
	}
	parent, err := l.Open(s.Cgroup)
	if err == nil {
		err = l.Admit(parent, int(s.IDs.HostID))
	}
	if err != nil {
		return nil, errors.Join(err, l.Remove(context.Background(), s.Cgroup+supervisorGroup))
	}
	return g, nil
}

// enterScope has systemd make the pod's scope around the supervisor, and moves it on to
// its own group there: a group with processes passes no controllers down. Its undo is
// the supervisor's, with which the scope ends.
func enterScope(ctx context.Context, n *Pool, s pod.Sandbox, pid int) error {
	if err := n.startScope(ctx, s.Cgroup, pid); err != nil {
		return err
	}
	g, err := ownGroup(n.layout, s)
	if err != nil {
		return err
	}
	return cgroup.Take(g, pid)
}

// protect makes the supervisor the last to be killed when memory runs out, and lets
// its children have any higher score. A host that does not allow it loses no more
// than that.
func protect(pid int) {
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("-999"), 0)
}

// listen makes the supervisor's socket: a path in a directory only root can enter,
// never an abstract name (CVE-2020-15257).
func listen(dir string) (*os.File, error) {
	if err := removeSocket(dir); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	path := socketPath(d)
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "socket", err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	return l.File()
}

// socketPath leads to the socket through the open directory: a socket's address
// holds 107 bytes, a directory's name may be longer.
func socketPath(dir *os.File) string { return fd.Path(dir) + "/" + socketName }

func removeSocket(dir string) error {
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// launch starts the process. Namespaces that another process owns are entered;
// the rest is new unless it is the host's.
func (n *Pool) launch(s pod.Sandbox, listener *os.File, group cgroup.Entry, share bool) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	crash, err := os.OpenFile(filepath.Join(s.Dir, crashLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer crash.Close()
	l := ns.Launch{
		Binary: n.binary,
		Args:   []string{"carob-pod", short(s.PodID)},
		Env:    n.env,
		Fresh:  initstage.NamespaceFlag("mnt"),
		Users:  ns.Mapping{HostID: s.IDs.HostID, Size: s.IDs.Size},
		Join:   map[uint64]*os.File{},
		Group:  group.Dir,
		Share:  share,
		Files:  []*os.File{null, null, crash, listener, initstage.BaseFile: null},
	}
	if n.layout.Mode() != cgroup.ModeV2 { // there, Dir is the way in
		l.Tasks = group.Files
	}
	for _, kind := range []string{"net", "ipc", "uts", "user"} {
		if pid, ok := s.Join[kind]; ok {
			f, err := ns.Open(pid, kind)
			if err != nil {
				return 0, err
			}
			defer f.Close()
			if kind == "user" {
				l.JoinUser = f
			} else {
				l.Join[initstage.NamespaceFlag(kind)] = f
			}
			continue
		}
		if m := s.Namespaces.Mode(kind); m == spec.Own || m == spec.None {
			l.Fresh |= initstage.NamespaceFlag(kind)
		}
	}
	return l.Start()
}

// attend starts listening to a supervisor, whose pid is the caller's to fill in.
func attend(n *Pool, s pod.Sandbox, c *conn) *Sandbox {
	sb := &Sandbox{podID: s.PodID, ids: s.IDs, cgroup: s.Cgroup, conn: c, processes: map[uint64]*process{}}
	sb.add(&process{id: ReaperID})
	for _, k := range s.Known { // before any event can come
		p := &process{id: k.ID, cgroup: k.Cgroup, rotation: rotation{log: k.Log}}
		if k.Deadline {
			p.sub = ExecGroup(k.ID)
		}
		sb.add(p)
	}
	n.readers.Go(func() { n.serve(sb) })
	return sb
}

// serve receives events until the connection ends. When nobody meant it to end,
// the supervisor has died.
func (n *Pool) serve(sb *Sandbox) {
	sb.conn.read(func(p wire.Packet) { n.happened(sb, p) })
	lost := n.sandboxes.drop(sb)
	select {
	case <-n.exits.closing:
		return
	default:
	}
	if lost {
		sb.conn.close()
		// One that has only lost its connection would go on unwatched.
		if err := ns.Kill(sb.pid); err == nil {
			ns.Reap(sb.pid)
		}
		n.exits.deliver(pod.ProcessExit{PodID: sb.podID, Exit: status.Exit{Code: 255, At: time.Now()}})
	}
}

// happened turns an exit event into the engine's, and sees to a log that is full.
func (n *Pool) happened(sb *Sandbox, p wire.Packet) {
	sb.mu.Lock()
	proc := sb.processes[p.Handle]
	sb.mu.Unlock()
	if proc == nil || proc.id == ReaperID {
		return
	}
	if p.Op == wire.Full {
		rotate(n, sb, proc)
		return
	}
	exit := exitOf(p.A, p.B, p.D)
	if proc.ended != nil {
		proc.ended(exit)
		return
	}
	n.exits.deliver(pod.ProcessExit{PodID: sb.podID, ProcessID: proc.id, Exit: exit})
}

// Deliver tells the engine of the end of a process that a Spawn's Ended was told of.
func (n *Pool) Deliver(podID, processID string, x status.Exit) {
	n.exits.deliver(pod.ProcessExit{PodID: podID, ProcessID: processID, Exit: x})
}

// exitOf reads a wait status as Docker does: 128+N for a signal.
func exitOf(waitStatus, flags, at uint64) status.Exit {
	e := status.Exit{At: time.Unix(0, int64(at)), OOMKilled: flags&wire.OOMKilled != 0}
	if sig := int(waitStatus & 0x7f); sig != 0 {
		e.Signal, e.Code = sig, 128+sig
	} else {
		e.Code = int(waitStatus >> 8 & 0xff)
	}
	return e
}

// Setup lets the supervisor run a program itself.
func (s *Sandbox) Setup(ctx context.Context, w World) error {
	f, err := fd.Memory(w.Program)
	if err != nil {
		return err
	}
	defer f.Close()
	p := wire.Packet{Op: wire.Setup}
	if w.Ahead {
		p.A = wire.Ahead
	}
	r, err := s.conn.call(ctx, p, append([]*os.File{f}, w.Files...)...)
	if err != nil {
		return err
	}
	if r.Err != 0 {
		return stepFault(w.Program.Steps(), r.A, r.Err)
	}
	return nil
}

// startReaper gives a pod whose containers share a PID namespace its PID 1.
func (n *Pool) startReaper(ctx context.Context, sb *Sandbox) error {
	program := initstage.Reaper(n.lastCap + 1)
	f, err := fd.Memory(program)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := sb.conn.call(ctx, wire.Packet{Op: wire.Spawn, Handle: handle(ReaperID)}, f)
	if err != nil {
		return err
	}
	if r.Err != 0 {
		return stepFault(program.Steps(), r.A, r.Err)
	}
	sb.reaper = int(r.A)
	sb.add(&process{id: ReaperID, pid: int(r.A)})
	return nil
}

// AdoptSandbox connects to a supervisor that is already there.
func (n *Pool) AdoptSandbox(ctx context.Context, s pod.Sandbox) (st pod.SandboxState, err error) {
	sb, all, err := n.Reconnect(ctx, s)
	if err != nil {
		return st, err
	}
	st = sb.State()
	for _, p := range all {
		st.Processes = append(st.Processes, p.ProcessState)
	}
	return st, nil
}

// Reconnect connects to a supervisor that is already there, and lists the processes
// that it remembers.
func (n *Pool) Reconnect(ctx context.Context, s pod.Sandbox) (*Sandbox, []Known, error) {
	c, err := dial(s.Dir)
	if err != nil {
		return nil, nil, err
	}
	sb := attend(n, s, c)
	r, err := c.call(ctx, wire.Packet{Op: wire.Hello, A: wire.Version})
	if err != nil {
		c.close()
		return nil, nil, err
	}
	sb.pid = int(r.C)
	n.sandboxes.add(sb)
	all, err := sb.Processes(ctx)
	if err != nil {
		n.sandboxes.take(s.PodID)
		sb.conn.close()
		return nil, nil, err
	}
	if i := slices.IndexFunc(all, func(k Known) bool { return k.ID == ReaperID }); i >= 0 {
		sb.reaper = all[i].Pid
		all = slices.Delete(all, i, i+1)
	}
	rotateAll(n, sb, all)
	return sb, all, nil
}

// Known is a process that a supervisor remembers.
type Known struct {
	pod.ProcessState
	// Made says that a helper has made it and nobody has said who it is; Helped, that
	// the helper is still at work, or has ended without having made anything.
	Made, Helped bool
}

// Processes asks the supervisor for all processes that it remembers.
func (s *Sandbox) Processes(ctx context.Context) ([]Known, error) {
	packets, err := s.conn.list(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Known, 0, len(packets))
	for _, p := range packets {
		k := Known{ProcessState: pod.ProcessState{ID: s.adopt(p.Handle), Pid: int(p.A)}}
		k.Made = p.B&wire.Made != 0
		k.Helped = p.B&wire.Helper != 0 && !k.Made
		if p.B&wire.Ended != 0 {
			e := exitOf(p.C, p.B, p.D)
			k.Exit = &e
		}
		all = append(all, k)
	}
	return all, nil
}

// adopt returns the ID of a process that the supervisor remembers, made up for one
// that no record names.
func (s *Sandbox) adopt(h uint64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.processes[h]
	if p == nil {
		p = &process{id: fmt.Sprintf("%016x", h)}
		s.processes[h] = p
	}
	return p.id
}

// StopSandbox kills what is left in the sandbox and the supervisor.
func (n *Pool) StopSandbox(ctx context.Context, podID string) error {
	sb := n.sandboxes.take(podID)
	if sb == nil {
		return nil
	}
	// Asked to quit it kills its children; killed it would leave them to the cgroup.
	_, _ = sb.conn.call(ctx, wire.Packet{Op: wire.Quit, A: 1}) // a dead supervisor has no children either
	sb.conn.close()
	if err := ns.Kill(sb.pid); err != nil {
		return err
	}
	// Its mounts and namespaces take milliseconds to go, and nobody waits for them.
	n.readers.Go(func() { ns.Reap(sb.pid) })
	return nil
}
