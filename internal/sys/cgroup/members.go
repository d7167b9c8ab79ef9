package cgroup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// members are the processes of a group, as the tree that tracks them sees them.
type members struct {
	dir string
	v2  bool
	// freezer is the file that stops them and on and off its words; empty on a host
	// without one.
	freezer, on, off string
}

func (g *Group) members() members {
	m := members{dir: g.track(), v2: g.l.trees[g.l.trackTree].v2}
	if m.v2 {
		m.freezer, m.on, m.off = m.dir+"/cgroup.freeze", "1", "0"
		return m
	}
	if dir := g.Path("freezer"); dir != "" && (g.sub == "" || dir == m.dir) {
		m.freezer, m.on, m.off = dir+"/freezer.state", "FROZEN", "THAWED"
	}
	return m
}

// frozen reports whether all are stopped.
func (m members) frozen() (bool, error) {
	if m.freezer == "" {
		return false, nil
	}
	if m.v2 {
		return m.event("frozen")
	}
	s, err := readFile(m.freezer)
	return strings.TrimSpace(s) == m.on, err
}

// event reads one flag of v2's cgroup.events.
func (m members) event(name string) (bool, error) {
	b, err := readInto(m.dir+"/cgroup.events", make([]byte, 0, 128))
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
func (m members) await(ctx context.Context, done func() (bool, error)) error {
	events := -1
	if m.v2 {
		fd, err := open(m.dir+"/cgroup.events", unix.O_RDONLY)
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

// killV2 uses cgroup.kill (Linux 5.14), which no fork escapes.
func (m members) killV2(ctx context.Context) error {
	if err := writeFile(m.dir+"/cgroup.kill", "1"); err != nil {
		return err
	}
	return m.await(ctx, func() (bool, error) {
		populated, err := m.event("populated")
		return !populated, err
	})
}

// killV1 freezes (children of a freezing group are born frozen), kills what is
// there and thaws, because a frozen v1 process cannot die; what forked before
// the freezer reached it is met in the next round.
func (m members) killV1(ctx context.Context) error {
	return m.await(ctx, func() (bool, error) {
		pids, err := procs(m.dir, nil)
		if err != nil {
			return gone(err), err
		}
		if len(pids) > 1 && m.freezer != "" {
			if err := writeFile(m.freezer, m.on); err != nil && !gone(err) {
				return false, err
			}
			if pids, err = procs(m.dir, nil); err != nil {
				return gone(err), errors.Join(err, writeFile(m.freezer, m.off))
			}
		}
		err = signalAll(pids, unix.SIGKILL)
		if m.freezer != "" {
			if e := m.thawTree(); e != nil && !gone(e) {
				err = errors.Join(err, e)
			}
		}
		return len(pids) == 0, err
	})
}

// thawTree thaws the group and whatever sub-group froze itself.
func (m members) thawTree() error {
	err := writeFile(m.freezer, m.off)
	children, e := subdirs(m.dir)
	for _, c := range children {
		err = errors.Join(err, writeFile(c+"/freezer.state", m.off))
	}
	return errors.Join(err, e)
}

func (m members) signal(sig unix.Signal) error {
	pids, err := procs(m.dir, nil)
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
