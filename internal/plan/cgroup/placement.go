package cgroup

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"carob/internal/fault"
	"carob/internal/host"
	"carob/internal/spec"
)

// Driver is who makes the cgroup of a pod, by the kubelet's and Docker's words.
type Driver string

// The drivers. Auto is a wish: Place makes one of the others of it.
const (
	Auto     Driver = "auto"
	Cgroupfs Driver = "cgroupfs"
	Systemd  Driver = "systemd"
)

const (
	ownParent = "/carob"        // of pods that name none, with plain files
	container = "machine.slice" // where systemd.special(7) has containers
	scopeMark = "carob-"        // before a pod's ID in its scope's name
)

// Placement decides which cgroups pods and containers get. The zero value is the
// driver cgroupfs on a host with cgroup v1.
type Placement struct {
	// Driver is Systemd when parents can be slices.
	Driver Driver
	parent string // of pods that name none
	v2     bool
}

// Place decides about a host. Auto is systemd's driver where systemd runs and the
// hierarchy is the unified one, but pods that name no slice stay out of it: they are made
// with plain files, without a call to systemd. What the host cannot do is
// fault.Unsupported.
func Place(wish Driver, f host.Facts) (Placement, error) {
	p := Placement{Driver: Cgroupfs, parent: ownParent, v2: f.CgroupMode == "v2"}
	can := f.Systemd && p.v2
	switch wish {
	case Cgroupfs:
	case Auto:
		if can {
			p.Driver = Systemd
		}
	case Systemd:
		if !f.Systemd {
			return p, fault.New(fault.Unsupported, "cgroup driver systemd: this host does not run systemd")
		}
		if !can {
			return p, fault.New(fault.Unsupported, "cgroup driver systemd: needs the unified hierarchy, this host has cgroup "+f.CgroupMode)
		}
		p.Driver, p.parent = Systemd, container
	default:
		return p, fault.New(fault.Invalid, fmt.Sprintf("cgroup driver %.40q: unknown (cgroupfs, systemd, auto)", wish))
	}
	return p, nil
}

// Scopes reports whether pods that name no parent get scopes.
func (p Placement) Scopes() bool { return isSlice(p.parent) }

// isSlice reports whether a parent is in systemd's form: a slice's name, or its path as
// the kubelet gives it.
func isSlice(parent string) bool { return strings.HasSuffix(parent, ".slice") }

// CheckParent refuses a parent that is neither an absolute cgroup path that stays where
// it says nor the name of a slice.
func CheckParent(p string) error {
	if p == "" {
		return nil
	}
	if isSlice(p) && !strings.Contains(p, "/") {
		_, err := ExpandSlice(p)
		return fault.Wrap(fault.Invalid, "cgroup parent", err)
	}
	if !path.IsAbs(p) || path.Clean(p) != p || len(p) > 2048 || strings.ContainsAny(p, "\x00\n") {
		return fault.New(fault.Invalid, fmt.Sprintf("cgroup parent %.100q: not an absolute path without \"..\", doubled slashes or new lines, nor the name of a slice", p))
	}
	return nil
}

// Pod returns the cgroup of a pod: ID below its parent, or, when the parent is a slice,
// ID in the scope that systemd makes for the pod there. The scope itself has no limits:
// systemd would write its own into it again with each daemon-reload. A solo pod with
// cgroup v1 or a path as its parent has no cgroup of its own: "".
func (p Placement) Pod(s *spec.Pod, id string) (string, error) {
	parent := cmp.Or(s.CgroupParent, p.parent, ownParent)
	if isSlice(parent) && (p.Driver == Systemd || !path.IsAbs(parent)) {
		if p.Driver != Systemd {
			return "", fault.New(fault.Unsupported, fmt.Sprintf("cgroup parent %.80q: a slice is systemd's, and this daemon's cgroup driver is cgroupfs", parent))
		}
		slice, err := sliceAt(parent)
		return slice + "/" + scopeMark + id + ".scope/" + id, err
	}
	if s.Solo && (s.CgroupParent != "" || !p.v2) {
		return "", nil
	}
	return path.Join(parent, id), nil
}

// sliceAt returns the path of a slice that is given by name or path.
func sliceAt(parent string) (string, error) {
	full, err := ExpandSlice(path.Base(parent))
	if err == nil && path.IsAbs(parent) && full != parent {
		err = fault.New(fault.Invalid, fmt.Sprintf("the slice is at %q", full))
	}
	return full, fault.Wrap(fault.Invalid, fmt.Sprintf("cgroup parent %.80q", parent), err)
}

// Container returns the cgroup of a container in a pod with this cgroup.
func (p Placement) Container(pod *spec.Pod, group string, s *spec.Container, id string) (string, error) {
	if isSlice(s.CgroupParent) && (p.Driver == Systemd || !path.IsAbs(s.CgroupParent)) {
		return "", fault.New(fault.Unsupported, fmt.Sprintf("cgroup parent %.80q: a pod has one scope, its containers are in no other slice", s.CgroupParent))
	}
	return path.Join(cmp.Or(s.CgroupParent, group, pod.CgroupParent, p.parent, ownParent), id), nil
}

// Scope returns the scope of a pod that the cgroup is in, by its path. Whether there is
// one is the same for every daemon, whatever its driver.
func Scope(group string) (Unit, bool) {
	parts := strings.Split(group, "/")
	for i := 1; i < len(parts)-1; i++ {
		if parts[i] != scopeMark+parts[i+1]+".scope" || !isID(parts[i+1]) {
			continue
		}
		u := Unit{Slice: cmp.Or(parts[i-1], "-.slice"), Name: parts[i]}
		full, err := u.Path()
		return u, err == nil && full == strings.Join(parts[:i+1], "/")
	}
	return Unit{}, false
}

// isID reports whether s is the ID of a pod, and never a name that a user chose.
func isID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
