package cgroup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
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

// absent returns what it means that a file of the group could not be read: nothing where
// only the file is not there, which is a kernel or a tree without it; that the group does
// not exist, when it went before the file was opened or, ENODEV, since; else err.
func absent(g *Group, err error) error {
	switch {
	case !gone(err):
		return err
	case errors.Is(err, fs.ErrNotExist) && slices.ContainsFunc(g.own(), exists):
		return nil
	}
	return pathError("read", g.track(), unix.ENOENT)
}

// Freeze stops every process of the group and returns when all are stopped. When
// ctx ends first the group is thawed again and the result is
// fault.Unavailable. A host without a freezer is fault.Unsupported.
func (g *Group) Freeze(ctx context.Context) error {
	m := g.members()
	if m.freezer == "" {
		return fault.New(fault.Unsupported, "cgroup "+g.Name()+": freeze: no freezer on this host")
	}
	if err := writeFile(m.freezer, m.on); err != nil {
		return fault.Wrap(kind(err), "cgroup "+g.Name()+": freeze", err)
	}
	err := m.await(ctx, func() (bool, error) {
		frozen, err := m.frozen()
		if err == nil && !frozen && !m.v2 {
			// A v1 task in vfork or ptrace may miss the first order: give it again.
			err = writeFile(m.freezer, m.on)
		}
		return frozen, err
	})
	if err == nil {
		return nil
	}
	return errors.Join(fmt.Errorf("cgroup %s: freeze: %w", g.Name(), err), writeFile(m.freezer, m.off))
}

// Thaw lets a frozen group run again. Thawing what is not frozen succeeds.
func (g *Group) Thaw(ctx context.Context) error {
	m := g.members()
	if m.freezer == "" {
		return fault.New(fault.Unsupported, "cgroup "+g.Name()+": thaw: no freezer on this host")
	}
	if err := writeFile(m.freezer, m.off); err != nil {
		return fault.Wrap(kind(err), "cgroup "+g.Name()+": thaw", err)
	}
	err := m.await(ctx, func() (bool, error) {
		frozen, err := m.frozen()
		return !frozen, err
	})
	if err != nil {
		return fmt.Errorf("cgroup %s: thaw: %w", g.Name(), err)
	}
	return nil
}

// Frozen reports whether every process of the group is stopped by the freezer.
// A group that is still freezing is not.
func (g *Group) Frozen() (bool, error) { return g.members().frozen() }

// Kill sends a signal, by its Linux number, to every process of the group. SIGKILL also returns only when
// the group is empty (of all but zombies) or ctx ends (fault.Unavailable), wins
// against fork bombs, and ends a frozen group. Other signals go once to each
// process there is and leave a frozen group frozen. An empty or missing group is
// success.
func (g *Group) Kill(ctx context.Context, sig int) error {
	var err error
	m := g.members()
	switch {
	case unix.Signal(sig) != unix.SIGKILL:
		err = m.signal(unix.Signal(sig))
	case m.v2:
		err = m.killV2(ctx)
	default:
		err = m.killV1(ctx)
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("cgroup %s: kill: %w", g.Name(), err)
	}
	return nil
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
