package oci

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/spec"
)

// deviceRules are the devices cgroup's rules: everything for a privileged
// container of the host's user namespace; else nothing but the harmless nodes, the
// making of any node (using it is another thing), and what was asked for.
func (l limits) deviceRules() ([]specs.LinuxDeviceCgroup, error) {
	if l.privileged && !l.mapped {
		return []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, nil
	}
	const wild = -1
	out := make([]specs.LinuxDeviceCgroup, 0, 12+len(l.r.Devices))
	out = append(out, specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"})
	for _, d := range [...]struct {
		kind         string
		major, minor int64
		access       string
	}{
		{"c", wild, wild, "m"}, {"b", wild, wild, "m"},
		{"c", 1, 3, "rwm"},      // null
		{"c", 1, 5, "rwm"},      // zero
		{"c", 1, 7, "rwm"},      // full
		{"c", 1, 8, "rwm"},      // random
		{"c", 1, 9, "rwm"},      // urandom
		{"c", 5, 0, "rwm"},      // tty
		{"c", 5, 1, "rwm"},      // console
		{"c", 5, 2, "rwm"},      // ptmx
		{"c", 136, wild, "rwm"}, // pts
	} {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: d.kind, Access: d.access}
		if d.major != wild {
			rule.Major = &d.major
		}
		if d.minor != wild {
			rule.Minor = &d.minor
		}
		out = append(out, rule)
	}
	for _, d := range l.r.Devices {
		access, err := l.access(d.Path)
		if err != nil {
			return nil, err
		}
		if access == spec.NoAccess {
			continue
		}
		out = append(out, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: access})
	}
	return out, nil
}

// access finds what the request allows on a resolved node: a request for a
// directory speaks of every node below it, the nearest request decides.
func (l limits) access(node string) (string, error) {
	access, best := "", -1
	for _, d := range l.c.Devices {
		target := d.Target
		if target == "" {
			target = d.Source
		}
		target = path.Clean(target)
		if (node == target || strings.HasPrefix(node, target+"/")) && len(target) > best {
			best, access = len(target), d.Access
		}
	}
	switch access {
	case "":
		return "rwm", nil
	case spec.NoAccess:
		return access, nil
	}
	for i := range len(access) {
		if strings.IndexByte("rwm", access[i]) < 0 || strings.IndexByte(access, access[i]) != i {
			return "", fault.New(fault.Invalid, "device "+clip(node)+": access \""+clip(access)+"\" is not made of r, w and m")
		}
	}
	return access, nil
}

// checkDevices checks the nodes that are made besides the OCI's default ones.
func checkDevices(devices []specs.LinuxDevice) error {
	seen := make(map[string]bool, len(devices))
	for _, d := range devices {
		cause := checkNode(d)
		if seen[d.Path] {
			cause = "asked for twice"
		}
		if cause != "" {
			return fault.New(fault.Invalid, "device \""+clip(d.Path)+"\": "+cause)
		}
		seen[d.Path] = true
	}
	return nil
}

// checkNode says what is wrong with a node.
func checkNode(d specs.LinuxDevice) string {
	switch {
	case !path.IsAbs(d.Path) || !plainPath(d.Path) || path.Clean(d.Path) != d.Path || d.Path == "/":
		return "the target is not a clean absolute path"
	case strings.HasPrefix(d.Path, "/proc/") || strings.HasPrefix(d.Path, "/sys/"):
		return "no node is made in the kernel's file systems"
	case d.Type != "c" && d.Type != "b":
		return "neither a character nor a block device"
	case uint64(d.Major) >= 1<<12 || uint64(d.Minor) >= 1<<20: // the kernel's dev_t
		return fmt.Sprintf("%d:%d is no device number", d.Major, d.Minor)
	}
	return ""
}
