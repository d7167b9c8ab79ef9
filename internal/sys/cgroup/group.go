package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	plan "carob/internal/plan/cgroup"
)

// Group is one cgroup: the same path in every tree of the layout, or, made by Sub
// on a v1 host, in the tracking tree only. The value holds no fds.
type Group struct {
	l   *Layout
	rel string // "/pods/x"
	sub string // "/exec-1" below rel, in the tracking tree; "" for a full group
}

// maxPath keeps rel, a mount point and a file name below PATH_MAX.
const maxPath = 2048

// check refuses what must not become part of a directory name. A component that
// begins with "cgroup." could be, or become in a later kernel, a file.
func check(rel string) error {
	bad := func(why string) error {
		return fault.New(fault.Invalid, fmt.Sprintf("cgroup path %.80q: %s", rel, why))
	}
	switch {
	case !strings.HasPrefix(rel, "/"):
		return bad("is not absolute")
	case len(rel) > maxPath:
		return bad("is too long")
	case strings.ContainsAny(rel, "\x00\n"):
		return bad("holds a NUL or a newline")
	case rel == "/":
		return bad("is the root")
	}
	for part := range strings.SplitSeq(rel[1:], "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return bad("has an empty, . or .. component")
		case len(part) > 255:
			return bad("has a component above 255 bytes")
		case strings.HasPrefix(part, "cgroup."):
			return bad("has a component that begins with cgroup.")
		}
	}
	return nil
}

// Create makes the group in every tree, with missing parents, and sets its
// limits. On v2 it enables the controllers of the layout in every parent that has
// them; a parent that refuses (it holds processes itself) matters only if a limit
// needs that controller. A group that exists already is fault.Exists; a limit
// that cannot be honoured is an error naming its OCI field. On failure nothing
// that Create made remains.
//
// A parent that Create makes is removed by the last Remove below it, see Keep for
// another; a Create beside such a Remove makes it again.
func (l *Layout) Create(rel string, res *specs.LinuxResources) (*Group, error) {
	g := &Group{l: l, rel: rel}
	if err := check(rel); err != nil {
		return nil, err
	}
	writes, err := plan.Limits(res, specs.LinuxResources{}, l.host)
	if err != nil {
		return nil, fmt.Errorf("cgroup %s: %w", rel, err)
	}
	var made []string
	err = l.make(rel, &made)
	if err == nil {
		err = (&change{g: g}).carryOut(writes, res)
	}
	if err == nil {
		return g, nil
	}
	for _, dir := range slices.Backward(made) {
		if e := unix.Rmdir(dir); e != nil && e != unix.ENOENT && e != unix.EBUSY && e != unix.ENOTEMPTY {
			err = errors.Join(err, pathError("rmdir", dir, e))
		}
	}
	for _, t := range l.trees { // a parent that neighbours made and have left meanwhile
		err = errors.Join(err, t.leave(rel))
	}
	return nil, fmt.Errorf("cgroup %s: %w", rel, err)
}

// Complete makes the group in the trees that lack it: who made it used fewer
// controllers. Whoever calls it gives the group its limits, and removes it.
func Complete(g *Group) error {
	for _, t := range g.l.trees {
		var made []string
		err := g.l.mkdirs(t, g.rel, &made)
		if fault.Is(err, fault.Exists) {
			continue
		}
		if err == nil {
			err = t.prepare(g.rel)
		}
		if err != nil {
			return fmt.Errorf("cgroup %s: %w", g.Name(), err)
		}
	}
	return nil
}

// Open returns a group that exists. Some trees may lack it (it was half removed,
// or its owner uses fewer controllers); no tree at all having it is
// fault.NotFound.
func (l *Layout) Open(rel string) (*Group, error) {
	if err := check(rel); err != nil {
		return nil, err
	}
	for _, t := range l.trees {
		if _, err := os.Lstat(t.dir + rel); err == nil {
			return &Group{l: l, rel: rel}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "cgroup "+rel+": no such group")
}

// make creates a group's directories and appends each to made, parents first.
func (l *Layout) make(rel string, made *[]string) error {
	for _, t := range l.trees {
		if err := l.mkdirs(t, rel, made); err != nil {
			return err
		}
		if err := t.prepare(rel); err != nil {
			return err
		}
	}
	return nil
}

// prepare lets processes join a new directory, and limits be set there.
func (t hierarchy) prepare(rel string) error {
	if t.v2 {
		return t.delegate(rel)
	}
	if slices.Contains(t.controllers, "cpuset") {
		return inheritCpuset(t.dir, rel)
	}
	return nil
}

// inheritCpuset copies cpus and mems from the parent where they are empty: on v1
// nothing can join a cpuset without both.
func inheritCpuset(root, rel string) error {
	for _, file := range [...]string{"/cpuset.cpus", "/cpuset.mems"} {
		if _, err := inheritFile(root, rel, file); err != nil {
			return err
		}
	}
	return nil
}

func inheritFile(root, rel, file string) (string, error) {
	text, err := readFile(root + rel + file)
	text = strings.TrimSpace(text)
	if err != nil || text != "" || rel == "" {
		return text, err
	}
	if text, err = inheritFile(root, strings.TrimSuffix(path.Dir(rel), "/"), file); err != nil {
		return "", err
	}
	return text, writeFile(root+rel+file, text)
}

// delegate enables the tree's controllers in every directory above rel.
func (t hierarchy) delegate(rel string) error {
	if err := t.enable(t.dir); err != nil {
		return err
	}
	for parent := range parents(rel) {
		if err := t.enable(t.dir + parent); err != nil {
			return err
		}
	}
	return nil
}

// enable passes the tree's controllers down to the children of dir, those it can:
// other refusals show later, as a missing file of the limit that needs the
// controller. It reads first: a write that changes nothing still takes the global
// lock, as does each of several.
func (t hierarchy) enable(dir string) error {
	file := dir + "/cgroup.subtree_control"
	on, err := readFile(file)
	if err != nil {
		return err
	}
	have := strings.Fields(on)
	var missing []string
	for _, c := range t.controllers {
		if !slices.Contains(have, c) && wanted(c) {
			missing = append(missing, "+"+c)
		}
	}
	if len(missing) == 0 || busy(dir) {
		return nil
	}
	err = writeFile(file, strings.Join(missing, " "))
	if err == nil {
		return nil
	}
	for _, c := range missing { // one of them is refused
		if err := writeFile(file, c); kind(err) == fault.Denied {
			return fault.Wrap(fault.Denied, "", err)
		}
	}
	return nil
}

// busy reports whether a group has processes of its own and is not the root of all.
// Such a group must be left as it is. The kernel refuses it memory and io (EBUSY), but
// not the threaded controllers cpu, cpuset and pids: with one of those it becomes
// the root of a threaded tree, and its children groups that no process can join
// ("domain invalid", cgroups(7)).
func busy(dir string) bool {
	if !exists(dir + "/cgroup.type") { // only the root of all has none
		return false
	}
	procs, err := readFile(dir + "/cgroup.procs")
	return err == nil && procs != ""
}

// wanted leaves out controllers for which a group has neither limits nor numbers.
func wanted(controller string) bool {
	switch controller {
	case "cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma":
		return true
	}
	return false
}

// dir returns the group's directory in a tree. A Sub shares its parent's
// directory everywhere but in the tracking tree.
func (g *Group) dir(i int) string {
	if g.sub != "" && i == g.l.trackTree {
		return g.l.trees[i].dir + g.rel + g.sub
	}
	return g.l.trees[i].dir + g.rel
}

func (g *Group) track() string { return g.dir(g.l.trackTree) }

// own returns the directories that belong to this group alone.
func (g *Group) own() []string {
	if g.sub != "" {
		return []string{g.track()}
	}
	out := make([]string, len(g.l.trees))
	for i := range g.l.trees {
		out[i] = g.dir(i)
	}
	return out
}

// Name returns the group's path relative to the trees' roots.
func (g *Group) Name() string { return g.rel + g.sub }

// Path returns the absolute directory that holds a controller's files, by its v2
// name, or "" if the host has no such controller. An empty name asks for the
// tree that tracks processes. It is for display and tests.
func (g *Group) Path(controller string) string {
	if controller == "" {
		return g.track()
	}
	for i, t := range g.l.trees {
		if slices.Contains(t.controllers, controller) || (t.v2 && controller == "devices") {
			return g.dir(i)
		}
	}
	return ""
}

// Admit lets a user clone processes into the group, from groups below it and into those
// of them that admit it too (Documentation/admin-guide/cgroup-v2.rst, "Delegation
// Containment"). Limits stay out of the user's reach, and so do groups that do not admit
// it. Where v1 hierarchies have a say, nobody is cloned into a group and Admit does
// nothing.
func (l *Layout) Admit(g *Group, uid int) error {
	if l.mode != ModeV2 {
		return nil
	}
	name := g.track() + "/cgroup.procs"
	if err := unix.Lchown(name, uid, -1); err != nil {
		return fault.Wrap(kind(err), "cgroup "+g.Name()+": admit "+strconv.Itoa(uid), pathError("chown", name, err))
	}
	return nil
}

// OOMFile opens the file with the group's count of OOM kills, the number in its
// line "oom_kill N": memory.oom_control on v1, memory.events on v2. It can
// be read again and again with pread. The caller closes it. Without a memory
// controller, on the host or in the group's parent, it is fault.Unsupported.
func (g *Group) OOMFile() (*os.File, error) {
	dir := g.Path("memory")
	if dir == "" {
		return nil, fault.New(fault.Unsupported, "cgroup "+g.Name()+": no memory controller on this host")
	}
	name := dir + "/memory.oom_control"
	if g.l.host["memory"] == plan.V2 {
		name = dir + "/memory.events"
	}
	fd, err := open(name, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) && exists(dir) {
		return nil, fault.New(fault.Unsupported, "cgroup "+g.Name()+": the parent group does not pass the memory controller down")
	}
	if err != nil {
		return nil, fault.Wrap(kind(err), "cgroup "+g.Name()+": OOM file", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Sub makes a child that only tracks processes, for an exec with a deadline: all
// limits and numbers stay the parent's. On v2 it is a child directory without
// controllers, on v1 a child in one tree (freezer, else systemd's), and its
// Entry holds that child's file beside the parent's others. A v2 parent
// may have no controllers enabled for its children.
func (g *Group) Sub(name string) (*Group, error) {
	sub := &Group{l: g.l, rel: g.rel, sub: g.sub + "/" + name}
	if strings.Contains(name, "/") {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("cgroup %s: sub-group %.80q holds a slash", g.Name(), name))
	}
	if err := check(sub.Name()); err != nil {
		return nil, err
	}
	dir := sub.track()
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return nil, fault.Wrap(kind(err), "cgroup "+sub.Name(), pathError("mkdir", dir, err))
	}
	t := g.l.trees[g.l.trackTree]
	if slices.Contains(t.controllers, "cpuset") && !t.v2 {
		if err := inheritCpuset(t.dir, sub.Name()); err != nil {
			return nil, errors.Join(fmt.Errorf("cgroup %s: %w", sub.Name(), err), unix.Rmdir(dir))
		}
	}
	return sub, nil
}
