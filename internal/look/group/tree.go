package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
)

// Group is one control group: the same path in every hierarchy that has it. What a
// hierarchy does not tell is absent.
type Group struct {
	Path string `json:"path"`
	// What says whose group it is where its name tells: "carob pod …", "docker
	// container …"; ID is whose.
	What string `json:"what,omitempty"`
	ID   string `json:"id,omitempty"`
	// Only lists the controllers of the hierarchies that have the group, unless all
	// that have groups of their own do.
	Only      []string  `json:"only,omitempty"`
	Processes []Process `json:"processes,omitempty"`
	Memory    *Memory   `json:"memory,omitempty"`
	CPU       *CPU      `json:"cpu,omitempty"`
	Cpuset    *Cpuset   `json:"cpuset,omitempty"`
	Pids      *Pids     `json:"pids,omitempty"`
	IO        *IO       `json:"io,omitempty"`
	Pressure  *Pressure `json:"pressure,omitempty"`
	Frozen    bool      `json:"frozen,omitempty"`
	Children  []*Group  `json:"children,omitempty"`

	in    []bool // by hierarchy
	fewer bool   // has a cpuset in effect that its parent has not
}

// Process is a member of a group. On a host with several hierarchies it is listed once,
// in the deepest group it is in.
type Process struct {
	PID     int    `json:"pid"`
	Command string `json:"command"`
	// Kernel is true for a thread of the kernel.
	Kernel bool `json:"kernel,omitempty"`
}

// Memory is in bytes; a limit that is nil is none. WorkingSet is use without the inactive
// file cache, as Kubernetes counts it. Swap is swap alone in both versions.
type Memory struct {
	Usage      uint64  `json:"usage"`
	WorkingSet uint64  `json:"workingSet"`
	Peak       uint64  `json:"peak,omitempty"`
	Swap       uint64  `json:"swap"`
	Limit      *uint64 `json:"limit,omitempty"`
	High       *uint64 `json:"high,omitempty"`
	SwapLimit  *uint64 `json:"swapLimit,omitempty"`
	Low        uint64  `json:"low,omitempty"`
	Min        uint64  `json:"min,omitempty"`
	// OOMKills counts processes killed for want of memory, in v1 of this group
	// alone; AtLimit how often the limit was met.
	OOMKills uint64 `json:"oomKills"`
	AtLimit  uint64 `json:"atLimit"`
}

// CPU is in nanoseconds and CPUs; a nil quota is none.
type CPU struct {
	Usage            uint64   `json:"usage"`
	Quota            *float64 `json:"quota,omitempty"`
	Weight           uint64   `json:"weight,omitempty"` // v2's cpu.weight, 1 to 10000
	Shares           uint64   `json:"shares,omitempty"` // v1's cpu.shares
	Periods          uint64   `json:"periods"`
	ThrottledPeriods uint64   `json:"throttledPeriods"`
	Throttled        uint64   `json:"throttled"`
}

// Cpuset has the lists as asked for and as they are in effect.
type Cpuset struct {
	CPUs          string `json:"cpus,omitempty"`
	EffectiveCPUs string `json:"effectiveCpus"`
	Mems          string `json:"mems,omitempty"`
	EffectiveMems string `json:"effectiveMems"`
}

// Pids counts tasks, threads included. Refused counts forks that met the limit.
type Pids struct {
	Current uint64  `json:"current"`
	Limit   *uint64 `json:"limit,omitempty"`
	Refused uint64  `json:"refused"`
}

// IO is what went to and from block devices, in bytes.
type IO struct {
	Read    uint64 `json:"read"`
	Written uint64 `json:"written"`
}

// Pressure exists on v2 (Linux 4.20) where the kernel has it on.
type Pressure struct {
	CPU    *Stall `json:"cpu,omitempty"`
	Memory *Stall `json:"memory,omitempty"`
	IO     *Stall `json:"io,omitempty"`
}

// Tree reads the group at a path and all below it. No such group is a fault.NotFound; a
// done ctx ends it early with ctx's error.
func (h *Host) Tree(ctx context.Context, from string) (*Group, error) {
	top, err := h.Group(from)
	if err != nil {
		return nil, err
	}
	w := walk{h: h, groups: map[string]*Group{}, at: map[int]place{}}
	for i := range h.Hierarchies {
		if top.Paths[i] == "" {
			continue
		}
		if err := w.hierarchy(ctx, i, top.Name); err != nil {
			return nil, err
		}
	}
	w.link(top.Name)
	for pid, at := range w.at {
		if p, there := h.process(pid); there {
			g := w.groups[at.path]
			g.Processes = append(g.Processes, p)
		}
	}
	for p, g := range w.groups {
		if up := w.groups[path.Dir(p)]; up != nil && g.Cpuset != nil && up.Cpuset != nil {
			g.fewer = g.Cpuset.EffectiveCPUs != up.Cpuset.EffectiveCPUs
		}
		slices.SortFunc(g.Children, func(a, b *Group) int { return cmp.Compare(a.Path, b.Path) })
		slices.SortFunc(g.Processes, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	}
	return w.groups[top.Name], ctx.Err()
}

// link puts groups below each other and fills in what their files say.
func (w *walk) link(top string) {
	for p, g := range w.groups {
		if p != top {
			up := w.groups[path.Dir(p)]
			up.Children = append(up.Children, g)
		}
		w.fill(g)
	}
	for _, g := range w.groups {
		g.What, g.ID = g.what()
	}
}

// walk collects the groups of all hierarchies by path.
type walk struct {
	h      *Host
	groups map[string]*Group
	at     map[int]place
}

// place is the deepest group that a process was found in so far.
type place struct {
	path  string
	depth int
}

func (w *walk) hierarchy(ctx context.Context, i int, p string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir := w.h.root + w.h.Hierarchies[i].Dir + p
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.h.refused(dir, err) // gone is gone
		if p == "/" || w.groups[path.Dir(p)] == nil {
			return fmt.Errorf("cgroups: %w", err)
		}
		return nil
	}
	g := w.groups[p]
	if g == nil {
		g = &Group{Path: p, in: make([]bool, len(w.h.Hierarchies))}
		w.groups[p] = g
	}
	g.in[i] = true
	for _, pid := range w.h.procs(dir) {
		if d := depth(p); d > w.at[pid].depth {
			w.at[pid] = place{p, d}
		}
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := w.hierarchy(ctx, i, path.Join(p, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// depth is 1 for the root.
func depth(p string) int {
	if p == "/" {
		return 1
	}
	return 1 + strings.Count(p, "/")
}

// procs lists the members of a group. A threaded v2 group names no processes, only
// threads (cgroups(7)).
func (h *Host) procs(dir string) []int {
	b, err := os.ReadFile(dir + "/cgroup.procs")
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		b, err = os.ReadFile(dir + "/cgroup.threads")
	}
	h.refused(dir+"/cgroup.procs", err)
	return pids(string(b))
}

// refused remembers a read that failed for want of privilege.
func (h *Host) refused(file string, err error) {
	if errors.Is(err, fs.ErrPermission) {
		h.deny(strings.TrimPrefix(file, h.root))
	}
}

// kthreadd is the parent of all threads of the kernel.
const kthreadd = 2

// process reads a process's command line; its name in brackets when it has none, as ps
// shows it. False when it has ended meanwhile.
func (h *Host) process(pid int) (Process, bool) {
	dir := fmt.Sprintf("%s/proc/%d/", h.root, pid)
	b, err := os.ReadFile(dir + "cmdline")
	if line := strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " ")); err == nil && line != "" {
		return Process{PID: pid, Command: line}, true
	}
	b, err = os.ReadFile(dir + "stat")
	name, rest, ok := strings.Cut(string(b), "(")
	if end := strings.LastIndex(rest, ")"); ok && err == nil && end >= 0 {
		name, rest = rest[:end], rest[end+1:]
	}
	f := strings.Fields(rest)
	if len(f) < 2 {
		return Process{}, false
	}
	return Process{pid, "[" + name + "]", pid == kthreadd || f[1] == strconv.Itoa(kthreadd)}, true
}

// what says whose group it is, by the patterns of the engines, and the ID. Only the
// group of a thing itself is named, not what is below it.
func (g *Group) what() (words, id string) {
	t, up := look.ReadPath(g.Path), look.ReadPath(path.Dir(g.Path))
	switch {
	case t.ID != "" && t.ID != up.ID && t.Shim:
		return t.Engine + "'s monitor of " + short(t.ID), ""
	case t.ID != "" && t.ID != up.ID && g.holds(t.ID): // the path alone does not tell it from a container
		return strings.TrimSpace(t.Engine + " pod " + short(t.ID)), t.ID
	case t.ID != "" && t.ID != up.ID:
		return strings.TrimSpace(t.Engine + " container " + short(t.ID)), t.ID
	case t.ID == "" && t.Pod != "" && t.Pod != up.Pod:
		return strings.TrimSpace(t.Engine + " pod " + short(t.Pod)), t.Pod
	}
	return "", ""
}

// holds reports whether groups of containers of this pod are below.
func (g *Group) holds(pod string) bool {
	return slices.ContainsFunc(g.Children, func(c *Group) bool { return look.ReadPath(c.Path).Pod == pod })
}

// Call gives groups the names that people know, by ID.
func (g *Group) Call(names map[string]string) {
	if name := names[g.ID]; name != "" && g.ID != "" {
		g.What = name
	}
	for _, c := range g.Children {
		c.Call(names)
	}
}

// short is an identifier as people write it; a UID of Kubernetes has no short form.
func short(id string) string {
	if len(id) == 64 {
		return id[:12]
	}
	return id
}
