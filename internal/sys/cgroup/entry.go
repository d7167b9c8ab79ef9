package cgroup

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Entry is the way into a group. Its owner closes it.
type Entry struct {
	// Files are open for writing: whoever writes "0" to each becomes a member. They are
	// `tasks` on v1 (10–45 µs where cgroup.procs takes 7–16 ms on an idle host, Linux
	// 6.18) and cgroup.procs on v2. A v1 `tasks` moves the writing thread alone: the
	// writer must have only one.
	Files []*os.File
	// Dir is the directory that a process can be cloned into (CLONE_INTO_CGROUP), which is
	// the fast way on v2. It is nil where v1 hierarchies have a say.
	Dir *os.File
}

// Close closes the files.
func (e Entry) Close() {
	for _, f := range e.Files {
		f.Close()
	}
	if e.Dir != nil {
		e.Dir.Close()
	}
}

// Entry opens the way into the group.
func (g *Group) Entry() (Entry, error) { return entry(g, g.dir) }

// EntryBelow is Entry into groups below this one, which exist: per v1 controller, by the
// name that /proc/PID/cgroup has for it, or "" for every tree. What is not named is entered
// at this group itself. A controller that the host has no v1 hierarchy of, and a path that leads
// out of the group, are fault.Invalid.
func EntryBelow(g *Group, subs map[string]string) (Entry, error) {
	below := make([]string, len(g.l.trees))
	for controller, sub := range subs {
		if slices.Contains(strings.Split(sub, "/"), "..") {
			return Entry{}, fault.New(fault.Invalid, fmt.Sprintf("bad sub cgroup path: %.80q", sub))
		}
		found := false
		for i, t := range g.l.trees {
			if controller != "" && !t.has(controller) {
				continue
			}
			if found = true; below[i] != "" && below[i] != sub {
				return Entry{}, fault.New(fault.Invalid, fmt.Sprintf("controller %.40q: is in one hierarchy with another that has another path", controller))
			}
			below[i] = sub
		}
		if !found {
			return Entry{}, fault.New(fault.Invalid, fmt.Sprintf("unknown controller %.40q", controller))
		}
	}
	return entry(g, func(i int) string { return path.Join(g.dir(i), below[i]) })
}

// has tells whether a hierarchy is the v1 one of a controller by its v1 name.
func (t hierarchy) has(controller string) bool {
	if t.v2 {
		return false
	}
	if controller == "name=systemd" {
		return len(t.controllers) == 0
	}
	return slices.ContainsFunc(v1Names[:], func(n [2]string) bool { return n[0] == controller && slices.Contains(t.controllers, n[1]) })
}

// entry opens the way into the group's directories.
func entry(g *Group, dir func(tree int) string) (e Entry, err error) {
	defer func() {
		if err != nil {
			e.Close()
			e, err = Entry{}, fault.Wrap(kind(err), "cgroup "+g.Name()+": entry", err)
		}
	}()
	for i, t := range g.l.trees {
		name := dir(i) + "/tasks"
		if t.v2 {
			name = dir(i) + "/cgroup.procs"
		}
		fd, err := open(name, unix.O_WRONLY)
		if err != nil {
			return e, err
		}
		e.Files = append(e.Files, os.NewFile(uintptr(fd), name))
	}
	if g.l.mode == ModeV2 {
		name := dir(g.l.trackTree)
		fd, err := open(name, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return e, err
		}
		e.Dir = os.NewFile(uintptr(fd), name)
	}
	return e, nil
}

// Home is where one more process of a container goes: the group at rel, or on cgroup v2,
// where a container that may write its groups can have made that one a parent, in which
// no process can be, or have left it, the group that its first process is in.
func Home(l *Layout, rel string, first int) (*Group, error) {
	g, err := l.Open(rel)
	if l.mode != ModeV2 || err != nil && !fault.Is(err, fault.NotFound) {
		return g, err
	}
	if err == nil {
		if passed, _ := readFile(g.track() + "/cgroup.subtree_control"); strings.TrimSpace(passed) == "" {
			return g, nil
		}
	}
	text, err := readFile(fmt.Sprintf("/proc/%d/cgroup", first))
	if err != nil {
		return nil, fault.Wrap(kind(err), "cgroup of process", err)
	}
	_, at, _ := strings.Cut(strings.TrimSpace(text), "0::")
	return l.Open(at)
}
