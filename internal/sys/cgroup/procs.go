package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Procs returns the pids of all processes of the group and its sub-groups, as the
// caller's pid namespace sees them, each once. A zombie is not among them.
func (g *Group) Procs() ([]int, error) {
	pids, err := procs(g.track(), nil)
	if err != nil {
		return nil, fmt.Errorf("cgroup %s: processes: %w", g.Name(), err)
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

func procs(dir string, out []int) ([]int, error) {
	b, err := readInto(dir+"/cgroup.procs", make([]byte, 0, 4096))
	if errors.Is(err, unix.EOPNOTSUPP) { // a threaded v2 group: its processes are in the domain above
		b, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	pids, err := parseProcs(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	out = append(out, pids...)
	children, err := subdirs(dir)
	for _, c := range children {
		var e error
		if out, e = procs(c, out); e != nil && !gone(e) {
			return nil, e
		}
	}
	return out, err
}

func subdirs(dir string) ([]string, error) {
	// A cgroup directory has two links and one for each child: most have none,
	// and listing a directory of sixty files to learn that costs 30 µs.
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil || st.Nlink == 2 {
		return nil, pathError("stat", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, dir+"/"+e.Name())
		}
	}
	return out, nil
}

// gone reports that a directory vanished under a reader.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// freezing returns the file and words that freeze this group, or an empty file.
func (g *Group) freezing() (file, on, off string) {
	if t := g.l.trees[g.l.trackTree]; t.v2 {
		return g.track() + "/cgroup.freeze", "1", "0"
	}
	if dir := g.Path("freezer"); dir != "" && (g.sub == "" || dir == g.track()) {
		return dir + "/freezer.state", "FROZEN", "THAWED"
	}
	return "", "", ""
}

// Freeze stops every process of the group and returns when all are stopped. When
// ctx ends first the group is thawed again and the result is
// fault.Unavailable. A host without a freezer is fault.Unsupported.
func (g *Group) Freeze(ctx context.Context) error {
	file, on, off := g.freezing()
	if file == "" {
		return fault.New(fault.Unsupported, "cgroup "+g.Name()+": freeze: no freezer on this host")
	}
	if err := writeFile(file, on); err != nil {
		return fault.Wrap(kind(err), "cgroup "+g.Name()+": freeze", err)
	}
	err := g.await(ctx, func() (bool, error) {
		frozen, err := g.Frozen()
		if err == nil && !frozen && on == "FROZEN" {
			// A v1 task in vfork or ptrace may miss the first order: give it again.
			err = writeFile(file, on)
		}
		return frozen, err
	})
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("cgroup %s: freeze: %w", g.Name(), err), writeFile(file, off))
}

// Thaw lets a frozen group run again. Thawing what is not frozen succeeds.
func (g *Group) Thaw(ctx context.Context) error {
	file, _, off := g.freezing()
	if file == "" {
		return fault.New(fault.Unsupported, "cgroup "+g.Name()+": thaw: no freezer on this host")
	}
	if err := writeFile(file, off); err != nil {
		return fault.Wrap(kind(err), "cgroup "+g.Name()+": thaw", err)
	}
	err := g.await(ctx, func() (bool, error) {
		frozen, err := g.Frozen()
		return !frozen, err
	})
	if err != nil {
		return fmt.Errorf("cgroup %s: thaw: %w", g.Name(), err)
	}
	return nil
}

// Frozen reports whether every process of the group is stopped by the freezer.
// A group that is still freezing is not.
func (g *Group) Frozen() (bool, error) {
	file, on, _ := g.freezing()
	if file == "" {
		return false, nil
	}
	if on == "FROZEN" {
		s, err := readFile(file)
		return strings.TrimSpace(s) == on, err
	}
	return g.event("frozen")
}

// event reads one flag of v2's cgroup.events.
func (g *Group) event(name string) (bool, error) {
	b, err := readInto(g.track()+"/cgroup.events", make([]byte, 0, 128))
	set := false
	flat(b, func(key []byte, n uint64) {
		if string(key) == name {
			set = n == 1
		}
	})
	return set, err
}

// await calls done until it is true, ctx ends or it fails. v2 announces each
// change of cgroup.events to poll(2). v1 announces nothing, so there it
// looks again after 0.1, 0.2, … up to 20 ms.
func (g *Group) await(ctx context.Context, done func() (bool, error)) error {
	events := -1
	if g.l.trees[g.l.trackTree].v2 {
		fd, err := open(g.track()+"/cgroup.events", unix.O_RDONLY)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		events = fd
	}
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if events >= 0 { // only a reader is told of the next change
			var b [256]byte
			if _, err := unix.Pread(events, b[:], 0); err != nil {
				return pathError("read", "cgroup.events", err)
			}
		}
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fault.Wrap(fault.Unavailable, "", err)
		}
		if events >= 0 {
			waitEvent(ctx, events)
			continue
		}
		sleep(ctx, pause)
	}
}

// waitEvent returns when the file changed, at the latest after 50 ms: poll(2)
// cannot see ctx being cancelled.
func waitEvent(ctx context.Context, fd int) {
	limit := 50 * time.Millisecond
	if d, ok := ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(d), time.Millisecond))
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
	_, _ = unix.Poll(fds, int(limit.Milliseconds())) // EINTR: the caller looks again
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Kill sends a signal, by its Linux number, to every process of the group. SIGKILL also returns only when
// the group is empty (of all but zombies) or ctx ends (fault.Unavailable), wins
// against fork bombs, and ends a frozen group. Other signals go once to each
// process there is and leave a frozen group frozen. An empty or missing group is
// success.
func (g *Group) Kill(ctx context.Context, sig int) error {
	var err error
	switch {
	case unix.Signal(sig) != unix.SIGKILL:
		err = g.signal(unix.Signal(sig))
	case g.l.trees[g.l.trackTree].v2:
		err = g.killV2(ctx)
	default:
		err = g.killV1(ctx)
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("cgroup %s: kill: %w", g.Name(), err)
	}
	return nil
}

// killV2 uses cgroup.kill (Linux 5.14), which no fork escapes.
func (g *Group) killV2(ctx context.Context) error {
	if err := writeFile(g.track()+"/cgroup.kill", "1"); err != nil {
		return err
	}
	return g.await(ctx, func() (bool, error) {
		populated, err := g.event("populated")
		return !populated, err
	})
}

// killV1 freezes (children of a freezing group are born frozen), kills what is
// there and thaws, because a frozen v1 process cannot die; what forked before
// the freezer reached it is met in the next round.
func (g *Group) killV1(ctx context.Context) error {
	file, on, off := g.freezing()
	return g.await(ctx, func() (bool, error) {
		pids, err := procs(g.track(), nil)
		if err != nil {
			return gone(err), err
		}
		if len(pids) > 1 && file != "" {
			if err := writeFile(file, on); err != nil && !gone(err) {
				return false, err
			}
			if pids, err = procs(g.track(), nil); err != nil {
				return gone(err), errors.Join(err, writeFile(file, off))
			}
		}
		err = signalAll(pids, unix.SIGKILL)
		if file != "" {
			if e := g.thawTree(file, off); e != nil && !gone(e) {
				err = errors.Join(err, e)
			}
		}
		return len(pids) == 0, err
	})
}

// thawTree thaws the group and whatever sub-group froze itself.
func (g *Group) thawTree(file, off string) error {
	err := writeFile(file, off)
	children, e := subdirs(g.track())
	for _, c := range children {
		err = errors.Join(err, writeFile(c+"/freezer.state", off))
	}
	return errors.Join(err, e)
}

func (g *Group) signal(sig unix.Signal) error {
	pids, err := procs(g.track(), nil)
	if err != nil {
		return err
	}
	return signalAll(pids, sig)
}

// signalAll sends sig; a process that is gone is fine.
func signalAll(pids []int, sig unix.Signal) error {
	var errs error
	for _, pid := range pids {
		if err := unix.Kill(pid, sig); err != nil && err != unix.ESRCH {
			errs = errors.Join(errs, fault.Wrap(kind(err), fmt.Sprintf("pid %d", pid), err))
		}
	}
	return errs
}

// Remove deletes the group and all groups below it from every tree, deepest
// first. It is idempotent. A group that is still in use (a dying process leaves a
// moment after its parent is told) is tried again until ctx ends, then the
// result is fault.Conflict. Parents that Create made go with the last group below
// them; a Remove that a crash cut short is completed by another.
func (g *Group) Remove(ctx context.Context) error {
	for _, dir := range g.own() {
		err := remove(dir)
		for pause := 200 * time.Microsecond; errors.Is(err, unix.EBUSY) && ctx.Err() == nil; pause = min(2*pause, 50*time.Millisecond) {
			sleep(ctx, pause)
			err = remove(dir)
		}
		if err != nil {
			return fault.Wrap(kind(err), "cgroup "+g.Name()+": remove", err)
		}
	}
	if g.sub != "" {
		return nil
	}
	for _, t := range g.l.trees {
		if err := t.leave(g.rel); err != nil {
			return fault.Wrap(kind(err), "cgroup "+g.Name()+": remove parents", err)
		}
	}
	return nil
}

// Remove removes the group at rel as Group.Remove does, whether or not it is there.
func (l *Layout) Remove(ctx context.Context, rel string) error {
	if err := check(rel); err != nil {
		return err
	}
	return (&Group{l: l, rel: rel}).Remove(ctx)
}

func remove(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || err == unix.ENOENT {
		return nil
	}
	if err != unix.EBUSY && err != unix.ENOTEMPTY {
		return pathError("rmdir", dir, err)
	}
	children, e := subdirs(dir)
	if e != nil {
		if gone(e) {
			return nil
		}
		return e
	}
	for _, c := range children {
		if err := remove(c); err != nil {
			return err
		}
	}
	if err = unix.Rmdir(dir); err == unix.ENOENT {
		return nil
	}
	return pathError("rmdir", dir, err)
}
