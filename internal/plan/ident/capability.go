package ident

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// defaults is what Docker leaves a container's root.
func defaults() []string {
	return []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}

// Capabilities returns the sets of a container's first process if it is root:
// Docker's defaults plus add without drop, or everything if privileged. Names are
// taken with and without "CAP_", in any case; ALL stands for all; an unknown one is
// fault.Invalid. An explicit add survives "drop ALL", an explicit drop "add ALL".
// Inheritable and ambient are empty: a file with inheritable capabilities must
// not give them back to a user without any (CVE-2022-24769). All lists are sorted.
func Capabilities(add, drop []string, privileged bool) (*specs.LinuxCapabilities, error) {
	added, addAll, err := names("cap-add", add)
	if err != nil {
		return nil, err
	}
	dropped, dropAll, err := names("cap-drop", drop)
	if err != nil {
		return nil, err
	}
	var set []string
	switch {
	case privileged:
		set = All()
	case addAll:
		set = All()
	case dropAll:
	default:
		set = defaults()
	}
	if dropAll && (privileged || addAll) {
		set = nil // "drop ALL" leaves only what is named
	}
	set = slices.DeleteFunc(append(set, added...), func(c string) bool {
		return slices.Contains(dropped, c)
	})
	slices.Sort(set)
	set = slices.Compact(set)
	return &specs.LinuxCapabilities{Bounding: set, Effective: slices.Clone(set), Permitted: slices.Clone(set)}, nil
}

// Within leaves out what the runtime itself does not hold, as a process can give
// away only what it has: of a privileged container silently, for that means all
// there is; what was asked for by name is fault.Unsupported. has tells by number.
func Within(c *specs.LinuxCapabilities, has func(int) bool, asked []string) (*specs.LinuxCapabilities, error) {
	named, _, err := names("cap-add", asked)
	if err != nil {
		return nil, err
	}
	lacks := func(name string) bool {
		n, ok := Number(name)
		return ok && !has(n)
	}
	for _, name := range named {
		if lacks(name) {
			return nil, fault.New(fault.Unsupported, "capability "+name+": this host does not give it to carob itself")
		}
	}
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Permitted, &c.Inheritable, &c.Ambient} {
		*set = slices.DeleteFunc(slices.Clone(*set), lacks)
	}
	return c, nil
}

// WithAmbient adds capabilities to every set, so that they stay over execve whoever the
// user is. An unknown one is fault.Invalid.
func WithAmbient(c *specs.LinuxCapabilities, ambient []string) (*specs.LinuxCapabilities, error) {
	named, all, err := names("ambient capability", ambient)
	if err != nil || !all && len(named) == 0 {
		return c, err
	}
	if all {
		named = All()
	}
	slices.Sort(named)
	out := &specs.LinuxCapabilities{Inheritable: slices.Compact(named), Ambient: slices.Clone(named)}
	out.Bounding, out.Effective, out.Permitted = union(c.Bounding, named), union(c.Effective, named), union(c.Permitted, named)
	return out, nil
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// ForUser returns the sets for a uid: a user other than root keeps only the
// bounding set, so that no program it starts has anything before it execs a
// file with capabilities. What stands in ambient stays usable.
func ForUser(c *specs.LinuxCapabilities, uid uint32) *specs.LinuxCapabilities {
	out := &specs.LinuxCapabilities{
		Bounding:    slices.Clone(c.Bounding),
		Effective:   slices.Clone(c.Effective),
		Inheritable: slices.Clone(c.Inheritable),
		Permitted:   slices.Clone(c.Permitted),
		Ambient:     slices.Clone(c.Ambient),
	}
	if uid != 0 {
		out.Effective, out.Permitted = slices.Clone(c.Ambient), slices.Clone(c.Ambient)
	}
	return out
}

// All returns every capability that carob knows, sorted by name.
func All() []string {
	var out []string
	for _, c := range capability.ListKnown() {
		out = append(out, full(c.String()))
	}
	slices.Sort(out)
	return out
}

// Number returns a capability's number in the kernel by its full name.
func Number(name string) (int, bool) {
	for _, c := range capability.ListKnown() {
		if bare, ok := strings.CutPrefix(name, prefix); ok && strings.EqualFold(bare, c.String()) {
			return int(c), true
		}
	}
	return 0, false
}

const prefix = "CAP_"

func full(name string) string { return prefix + strings.ToUpper(name) }

// names brings capability names into one form and splits ALL off.
func names(what string, in []string) (out []string, all bool, err error) {
	if len(in) == 0 {
		return nil, false, nil
	}
	known := All()
	for _, n := range in {
		up := strings.ToUpper(n)
		if up == "ALL" || up == prefix+"ALL" {
			all = true
			continue
		}
		up = prefix + strings.TrimPrefix(up, prefix)
		if !slices.Contains(known, up) {
			return nil, false, fault.New(fault.Invalid, fmt.Sprintf("%s: %.80q is no capability", what, n))
		}
		out = append(out, up)
	}
	return out, all, nil
}
