package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	archive "carob/internal/archive/checkpoint"
	"carob/internal/criu"
	"carob/internal/fault"
	"carob/internal/plan/oci"
	"carob/internal/pod"
	"carob/internal/runtime"
	"carob/internal/runtime/supervisor"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/ns"
)

// Prepare makes the container's world, or what a restore mounts.
func (h *Handler) Prepare(ctx context.Context, p pod.Process) (pod.Launch, error) {
	if p.Resume == "" {
		return h.Native.Prepare(ctx, p)
	}
	if err := fits(p); err != nil {
		return nil, err
	}
	sb, err := h.Find(p.PodID)
	if err != nil {
		return nil, err
	}
	l := &launch{h: h, sb: sb}
	for _, m := range p.Spec.Mounts {
		if m.Source == oci.ShmSource || !bound(m.Type, m.Source) {
			continue
		}
		f, dir, err := runtime.OpenSource(m, runtime.Sources{Own: strings.HasPrefix(m.Source, h.RunDir+"/"), Label: p.Spec.Linux.MountLabel})
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("mount %s: %w", m.Destination, err)
		}
		l.given = append(l.given, given{at: m.Destination, file: f, dir: dir})
	}
	return l, nil
}

// given is a mount from outside.
type given struct {
	at   string // inside
	file *os.File
	dir  bool
}

// launch is a restore under way.
type launch struct {
	h     *Handler
	sb    *supervisor.Sandbox
	given []given

	p        pod.Process
	group    *cgroup.Group
	terminal *os.File
	mounts   *os.File // the mount namespace that criu works in
}

// Close closes the mounts' files, and what a restore has left.
func (l *launch) Close() {
	for _, g := range l.given {
		g.file.Close()
	}
	for _, f := range []*os.File{l.terminal, l.mounts} {
		if f != nil {
			f.Close()
		}
	}
}

// Start lets criu make the container's processes, and the supervisor adopt them.
func (l *launch) Start(ctx context.Context, p pod.Process) (pid int, err error) {
	l.p = p
	if l.group, err = l.h.Layout.Open(p.Cgroup); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(l.h.Scratch, 0o700); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(l.h.Scratch, "restore-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := archive.Read(ctx, p.Resume, dir); err != nil {
		return 0, err
	}
	if err := archive.Apply(ctx, dir, p.Rootfs); err != nil {
		return 0, fmt.Errorf("checkpoint archive %s: %w", p.Resume, err)
	}
	if err := l.targets(); err != nil {
		return 0, err
	}
	s := &stage{launch: l, dir: dir}
	defer s.close()
	if pid, err = s.restore(ctx); err != nil {
		return 0, errors.Join(err, l.abandon(ctx))
	}
	child := supervisor.Child{Pid: pid, Terminal: l.terminal}
	if l.terminal != nil {
		child.Streams = p.Streams
	}
	if err := l.sb.Adopt(ctx, p.ID, child); err != nil {
		return 0, errors.Join(err, l.abandon(ctx))
	}
	return pid, nil
}

// abandon ends what has been made and is nobody's.
func (l *launch) abandon(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	_ = l.sb.End(ctx, l.p.ID, killed)      // a helper that has failed is forgotten already
	_ = l.h.Forget(ctx, l.p.PodID, l.p.ID) // as is its process
	return l.group.Kill(ctx, fd.SIGKILL)
}

// killed is the wait status of who is killed.
const killed = uint32(fd.SIGKILL)

// targets makes what is mounted on.
func (l *launch) targets() error {
	var points []string
	files := map[string]bool{}
	for _, m := range l.p.Spec.Mounts {
		points = append(points, m.Destination)
	}
	for _, g := range l.given {
		files[g.at] = !g.dir
	}
	return criu.Targets(l.p.Rootfs, points, files)
}

// worker starts criu below the supervisor. It is the Swrk of a stage.
type worker struct {
	*stage
	ctx context.Context // of the one restore that it is made for
}

// First is the number of a worker's first file.
func (worker) First() int { return initstage.WorkerFile }

// Start lets the supervisor start criu as the helper that makes the container's process.
func (w worker) Start(files []*os.File) (ended func() error, err error) {
	x, err := w.spawn(files)
	if err != nil {
		fd.CloseAll(x.Files)
		return nil, err
	}
	done := make(chan error, 1)
	go func() { // ends with criu; the files are open as long, so that an end before it has any is seen
		_, err := w.sb.Spawn(w.ctx, x)
		fd.CloseAll(append(x.Files, x.OOM))
		done <- err
	}()
	return func() error { return <-done }, nil
}

// spawn is the helper, with files of its own.
func (w worker) spawn(files []*os.File) (x supervisor.Spawn, err error) {
	helper := initstage.Worker{
		Args: []string{w.program, "swrk", strconv.Itoa(w.First())}, Env: []string{"PATH=" + os.Getenv("PATH")}, Streams: true,
		User: w.p.Spec.Process.User,
	}
	x = supervisor.Spawn{Process: w.p, Helper: true}
	if w.p.Spec.Process.Terminal { // they are for the terminal
		x.Process.Streams, x.Process.Stdin, x.Process.StdinOnce = pod.Streams{}, false, false
	}
	pass := func(all []*os.File) (places []int, err error) {
		for _, f := range all {
			own, err := fd.Dup(f)
			if err != nil {
				return nil, err
			}
			places, x.Files = append(places, len(x.Files)), append(x.Files, own)
		}
		return places, nil
	}
	if helper.Cgroups, err = pass(w.entry.Files); err != nil {
		return x, err
	}
	helper.Mounts = len(x.Files)
	if _, err := pass([]*os.File{w.mounts}); err != nil {
		return x, err
	}
	if helper.Files, err = pass(files); err != nil {
		return x, err
	}
	x.Program = helper.Program()
	x.OOM, err = w.group.OOMFile()
	if fault.Is(err, fault.Unsupported) { // a host without memory cgroups has no OOM kills in them
		err = nil
	}
	return x, err
}

// namespaceOf opens the namespace of a kind that the container is to be in: another
// container's, the host's, or the pod's.
func (l *launch) namespaceOf(kind string) (*os.File, string, error) {
	pid, joined := l.p.Join[kind]
	if !joined {
		pid = l.sb.Pid()
	}
	f, err := ns.Open(pid, kind)
	return f, fmt.Sprintf("/proc/%d/ns/%s", pid, kind), err
}

// images is where the images are in an unpacked archive.
func images(dir string) string { return filepath.Clean(archive.Images(dir)) }
