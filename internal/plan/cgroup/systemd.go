package cgroup

import (
	"fmt"
	"path"
	"strings"

	"carob/internal/fault"
)

// maxUnitName is systemd's limit, with the suffix; it is also what a directory's name
// can hold.
const maxUnitName = 255

// unitName reports whether s can be the name of a unit (VALID_CHARS in systemd's
// unit-name.c) that is its cgroup's name, too. Nothing in such a name can end a
// component of a path.
func unitName(s string) bool {
	if s == "" || len(s) > maxUnitName || kernelsOwn(s) {
		return false
	}
	for _, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune(`:-_.\`, r) {
			return false
		}
	}
	return true
}

// kernelsOwn reports whether a unit's name could be a file's of the cgroup file system.
// systemd puts an underscore before such names (cg_needs_escape), so that the cgroup is
// not called as the unit is; nobody needs them.
func kernelsOwn(s string) bool {
	switch strings.TrimSuffix(s, path.Ext(s)) {
	case "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "hugetlb", "rdma", "misc", "freezer":
		return true
	}
	return s[0] == '_' || s[0] == '.' || strings.HasPrefix(s, "cgroup.")
}

// ExpandSlice returns the cgroup path of a slice: the dashes in its name are its
// place in the tree, so that a-b.slice is /a.slice/a-b.slice (systemd.slice(5)).
// "-.slice" is the root, "". Whatever is no name of a slice is fault.Invalid.
func ExpandSlice(slice string) (string, error) {
	if slice == "-.slice" {
		return "", nil
	}
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || !unitName(slice) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("%.80q is no name of a slice", slice))
	}
	var full strings.Builder
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '-' {
			continue
		}
		part := name[:i] + ".slice"
		if i == 0 || name[i-1] == '-' || !unitName(part) {
			return "", fault.New(fault.Invalid, fmt.Sprintf("%.80q: %.80q is no name of a slice", slice, part))
		}
		full.WriteString("/" + part)
	}
	return full.String(), nil
}

// Unit is a cgroup that systemd makes: a scope or a slice.
type Unit struct {
	// Slice is the parent's name, not its path: "a-b.slice".
	Slice string
	// Name is the unit's own, with its suffix: "runc-foo.scope".
	Name string
}

// ParseUnit reads the linux.cgroupsPath that OCI runtimes take with --systemd-cgroup:
// "slice:prefix:name" is the scope prefix-name.scope in slice, which is system.slice
// when empty, as in runc and crun. Without a prefix it is name.scope, and a name that
// ends with ".slice" is the unit itself. All else is fault.Invalid.
func ParseUnit(cgroupsPath string) (Unit, error) {
	part := strings.Split(cgroupsPath, ":")
	if len(part) != 3 || part[2] == "" {
		return Unit{}, invalid("linux.cgroupsPath", "%.80q is not slice:prefix:name, as systemd's cgroups are named", cgroupsPath)
	}
	u := Unit{Slice: part[0], Name: part[2]}
	if u.Slice == "" {
		u.Slice = "system.slice"
	}
	switch {
	case strings.HasSuffix(part[2], ".slice"):
	case part[1] == "":
		u.Name += ".scope"
	default:
		u.Name = part[1] + "-" + part[2] + ".scope"
	}
	if _, err := u.Path(); err != nil {
		return Unit{}, fault.Wrap(fault.Invalid, "linux.cgroupsPath", err)
	}
	return u, nil
}

// Path returns the unit's cgroup, a path below the root of the hierarchy.
func (u Unit) Path() (string, error) {
	parent, err := ExpandSlice(u.Slice)
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(u.Name, ".slice") {
		full, err := ExpandSlice(u.Name)
		if err == nil && full != parent+"/"+u.Name {
			err = fault.New(fault.Invalid, fmt.Sprintf("%.80q is not in %.80q: its name says where it is", u.Name, u.Slice))
		}
		return full, err
	}
	if !strings.HasSuffix(u.Name, ".scope") || !unitName(u.Name) {
		return "", fault.New(fault.Invalid, fmt.Sprintf("%.80q is no name of a scope", u.Name))
	}
	return parent + "/" + u.Name, nil
}
