// Package cgroup makes, limits, watches, kills and removes control groups: v1,
// v2 and hosts that mix them, through the cgroup file systems directly. What is
// written is decided by internal/plan/cgroup; this package carries it out and
// takes it back when a later step is refused.
//
// A Group is the same relative path in every hierarchy that is mounted with a
// controller, plus systemd's named one. On a hybrid host a v2 hierarchy that has
// none of the controllers cpu, cpuset, io, memory and pids is left alone: joining
// it takes a global lock for 7–16 ms and would buy hugetlb at most (see docs/adr/0004).
// Nobody joins by pid for the same reason: an Entry holds fds to which a process writes
// "0", or, on v2, the directory that it is cloned into.
//
// The package keeps no state but mount points, and nothing open but the device programs
// of v2, for as long as the process lives; what it has to know
// of a parent is written on it (see Layout.Keep). It takes no locks. Concurrent calls
// are safe on different groups; on one group the caller orders them. After a crash,
// groups found by Open are as good as those of Create.
package cgroup

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/mountinfo"
	plan "carob/internal/plan/cgroup"
)

// Mode says which versions a host has mounted.
type Mode string

// The modes, as shown to users. Hybrid is any mixture of v1 and v2.
const (
	ModeNone   Mode = "none"
	ModeV1     Mode = "v1"
	ModeHybrid Mode = "hybrid"
	ModeV2     Mode = "v2"
)

// hierarchy is one mounted tree.
type hierarchy struct {
	dir         string
	v2          bool
	controllers []string // by their v2 names; empty for name=systemd
}

// Layout is what is mounted on a host. It does not change after Detect and Keep.
type Layout struct {
	mode      Mode
	trees     []hierarchy
	host      plan.Host
	trackTree int // index of the tree that Procs and Sub use
	keep      string

	programs programs
}

// Detect reads /proc/self/mountinfo and the v2 root's controllers, once. A host
// without any cgroup file system is a fault.Unsupported.
func Detect() (*Layout, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cgroup layout: %w", err)
	}
	defer f.Close()
	mounts, err := parseMounts(f)
	if err != nil {
		return nil, fmt.Errorf("cgroup layout: %w", err)
	}
	v2 := func(dir string) ([]string, error) {
		b, err := os.ReadFile(dir + "/cgroup.controllers")
		return strings.Fields(string(b)), err
	}
	return newLayout(mounts, v2)
}

// mountPoint is one cgroup mount of mountinfo.
type mountPoint struct {
	dir     string
	v2      bool
	options []string
}

// v1Names are the v1 controllers that a Group uses, with their v2 names.
// cpuacct is part of cpu in v2 but may be a tree of its own in v1.
var v1Names = [...][2]string{
	{"memory", "memory"}, {"cpu", "cpu"}, {"cpuacct", "cpuacct"}, {"cpuset", "cpuset"}, {"pids", "pids"},
	{"blkio", "io"}, {"devices", "devices"}, {"freezer", "freezer"}, {"hugetlb", "hugetlb"},
	{"net_cls", "net_cls"}, {"net_prio", "net_prio"}, {"perf_event", "perf_event"}, {"rdma", "rdma"},
}

// parseMounts finds the cgroup mounts in a mountinfo (proc_pid_mountinfo(5)).
func parseMounts(r io.Reader) ([]mountPoint, error) {
	var out []mountPoint
	s := mountinfo.Scanner(r)
	for s.Scan() {
		if !bytes.Contains(s.Bytes(), []byte(" - cgroup")) { // a host has hundreds of others
			continue
		}
		if m, ok := mountinfo.Parse(s.Text()); ok && (m.Type == "cgroup" || m.Type == "cgroup2") {
			out = append(out, mountPoint{dir: m.Point, v2: m.Type == "cgroup2", options: m.Super})
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("mountinfo: %w", err)
	}
	return out, nil
}

// newLayout keeps the first mount of each controller.
func newLayout(mounts []mountPoint, v2Controllers func(dir string) ([]string, error)) (*Layout, error) {
	l := &Layout{host: plan.Host{}}
	seen := map[string]bool{}
	var v1, v2 bool
	for _, m := range mounts {
		switch {
		case !m.v2:
			v1 = l.addV1(m, seen) || v1
		case !v2:
			v2 = true
			if err := l.addV2(m.dir, v2Controllers); err != nil {
				return nil, err
			}
		}
	}
	l.mode = map[[2]bool]Mode{{false, false}: ModeNone, {true, false}: ModeV1, {true, true}: ModeHybrid, {false, true}: ModeV2}[[2]bool{v1, v2}]
	if l.mode == ModeNone {
		return nil, fault.New(fault.Unsupported, "cgroup layout: no cgroup file system is mounted on this host")
	}
	if l.mode == ModeHybrid {
		l.leaveMinorV2()
	}
	if l.host["devices"] == plan.None && slices.ContainsFunc(l.trees, func(t hierarchy) bool { return t.v2 }) {
		l.host["devices"] = plan.V2
	}
	l.trackTree = l.chooseTracking()
	return l, nil
}

// leaveMinorV2 drops a v2 tree that is not worth joining beside v1.
func (l *Layout) leaveMinorV2() {
	for _, c := range [...]string{"cpu", "cpuset", "io", "memory", "pids"} {
		if l.host[c] == plan.V2 {
			return
		}
	}
	l.trees = slices.DeleteFunc(l.trees, func(t hierarchy) bool { return t.v2 })
	maps.DeleteFunc(l.host, func(_ string, v plan.Version) bool { return v == plan.V2 })
}

func (l *Layout) addV2(dir string, controllers func(string) ([]string, error)) error {
	names, err := controllers(dir)
	if err != nil {
		return fmt.Errorf("cgroup layout: %w", err)
	}
	for _, n := range names {
		l.host[n] = plan.V2
	}
	l.trees = append(l.trees, hierarchy{dir: dir, v2: true, controllers: names})
	return nil
}

// addV1 reports whether the mount is a hierarchy that groups are made in.
func (l *Layout) addV1(m mountPoint, seen map[string]bool) bool {
	tree := hierarchy{dir: m.dir}
	if slices.Contains(m.options, "name=systemd") && !seen["systemd"] {
		seen["systemd"] = true
		l.trees = append(l.trees, tree)
		return true
	}
	for _, n := range v1Names {
		if slices.Contains(m.options, n[0]) && !seen[n[0]] {
			seen[n[0]] = true
			tree.controllers = append(tree.controllers, n[1])
			l.host[n[1]] = plan.V1
		}
	}
	if len(tree.controllers) == 0 {
		return false
	}
	l.trees = append(l.trees, tree)
	return true
}

// chooseTracking prefers v2 (it can kill a tree in one write), then the freezer,
// then systemd's, then whatever there is.
func (l *Layout) chooseTracking() int {
	best, rank := 0, 0
	for i, t := range l.trees {
		r := 1
		switch {
		case t.v2:
			r = 4
		case slices.Contains(t.controllers, "freezer"):
			r = 3
		case len(t.controllers) == 0:
			r = 2
		}
		if r > rank {
			best, rank = i, r
		}
	}
	return best
}

// Tracking names the v1 hierarchy in which a Sub is a group of its own, as in
// /proc/PID/cgroup: "freezer", "name=systemd". It is "" where that is cgroup v2.
func Tracking(l *Layout) string {
	t := l.trees[l.trackTree]
	switch {
	case t.v2:
		return ""
	case len(t.controllers) > 0:
		return t.controllers[0]
	}
	return "name=systemd"
}

// Mode returns which versions the host has mounted.
func (l *Layout) Mode() Mode { return l.mode }

// Controllers returns the sorted names of the controllers that limits can use, by
// their v2 names ("io" for blkio).
func (l *Layout) Controllers() []string {
	out := make([]string, 0, len(l.host))
	for c := range l.host {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// Version returns in which version of hierarchy a controller is, by its v2 name.
func (l *Layout) Version(controller string) plan.Version { return l.host[controller] }
