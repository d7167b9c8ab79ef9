// Package ocispec reads the configuration of an OCI bundle and refuses what cannot be
// honoured, by the name of its field, before anything has been made. It is strict where
// the specification says MUST, and where a mistake would let a container see or change
// what is the host's. It does no I/O besides the reader it is given.
package ocispec

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// Limit is the most that a configuration may have, in bytes. The largest that engines
// write have a seccomp profile of some 100 KB.
const Limit = 8 << 20

// Read reads a document of at most Limit bytes into v.
func Read(r io.Reader, v any) error {
	text, err := io.ReadAll(io.LimitReader(r, Limit+1))
	if err != nil {
		return err
	}
	if len(text) > Limit {
		return fault.New(fault.Invalid, fmt.Sprintf("is larger than %d MiB", Limit>>20))
	}
	return decode(text, v)
}

// Parse reads a config.json and checks it. Fields that a caller may count on are there
// afterwards: Process, Root, Linux and Linux.Resources are never nil.
func Parse(r io.Reader) (*specs.Spec, error) {
	s := &specs.Spec{}
	if err := Read(r, s); err != nil {
		return nil, err
	}
	if s.Linux == nil {
		s.Linux = &specs.Linux{}
	}
	if s.Linux.Resources == nil {
		s.Linux.Resources = &specs.LinuxResources{}
	}
	return s, check(s)
}

func invalid(field, format string, args ...any) error {
	return fault.New(fault.Invalid, field+": "+fmt.Sprintf(format, args...))
}

func unsupported(field, why string) error { return fault.New(fault.Unsupported, field+": "+why) }

// refusal is a reason against a configuration.
type refusal struct {
	when bool
	err  error
}

// first returns the first reason that holds.
func first(all ...refusal) error {
	for _, r := range all {
		if r.when {
			return r.err
		}
	}
	return nil
}

func check(s *specs.Spec) error {
	if !strings.HasPrefix(s.Version, "1.") {
		return invalid("ociVersion", "%.40q is not a version 1", s.Version)
	}
	for _, f := range []func(*specs.Spec) error{
		root, process, namespaces, names, sysctls, mounts, devices, hooks, seccomp, intelRdt, rest,
	} {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

func root(s *specs.Spec) error {
	switch {
	case s.Root == nil || s.Root.Path == "":
		return invalid("root", "Root must be specified")
	case hasNUL(s.Root.Path):
		return invalid("root.path", "a NUL byte")
	}
	switch s.Linux.RootfsPropagation {
	case "", "private", "slave", "shared", "unbindable", "rprivate", "rslave", "rshared", "runbindable":
		return nil
	}
	return invalid("linux.rootfsPropagation", "%.40q is unknown", s.Linux.RootfsPropagation)
}

// New tells whether the container gets a namespace of this kind newly, and Path where it
// takes one from.
func New(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind && n.Path == "" })
}

// Own tells whether the container has a namespace of this kind that is not the runtime's.
func Own(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}

func namespaces(s *specs.Spec) error {
	seen := map[specs.LinuxNamespaceType]bool{}
	for i, n := range s.Linux.Namespaces {
		field := fmt.Sprintf("linux.namespaces[%d]", i)
		switch n.Type {
		case "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time":
		default:
			return invalid(field, "type %.40q is unknown", n.Type)
		}
		switch {
		case seen[n.Type]:
			return invalid(field, "a second %s namespace", n.Type)
		case n.Path != "" && (!path.IsAbs(n.Path) || hasNUL(n.Path)):
			return invalid(field, "path %.80q is not absolute", n.Path)
		case n.Type == "mount" && n.Path != "" && New(s, "user"):
			return unsupported(field, "root of a new user namespace can mount nothing in a mount namespace that is there already")
		}
		seen[n.Type] = true
	}
	if !seen["mount"] {
		return unsupported("linux.namespaces", "a container without a mount namespace of its own is not supported")
	}
	return mappings(s)
}

func mappings(s *specs.Spec) error {
	l, made := s.Linux, New(s, "user")
	mapped := len(l.UIDMappings) > 0 || len(l.GIDMappings) > 0
	err := first(
		refusal{made && (len(l.UIDMappings) == 0 || len(l.GIDMappings) == 0), invalid("linux.uidMappings", "a new user namespace needs uidMappings and gidMappings")},
		refusal{mapped && !Own(s, "user"), invalid("linux.uidMappings", "mappings without a user namespace")},
		refusal{len(l.TimeOffsets) > 0 && !New(s, "time"), invalid("linux.timeOffsets", "offsets need a new time namespace")},
	)
	if err != nil {
		return err
	}
	if err := offsets(l.TimeOffsets); err != nil {
		return err
	}
	if err := idRanges("linux.uidMappings", l.UIDMappings); err != nil {
		return err
	}
	return idRanges("linux.gidMappings", l.GIDMappings)
}

func offsets(all map[string]specs.LinuxTimeOffset) error {
	for clock, o := range all {
		if clock != "monotonic" && clock != "boottime" {
			return invalid("linux.timeOffsets", "clock %.40q is neither monotonic nor boottime", clock)
		}
		if o.Nanosecs > 999999999 {
			return invalid("linux.timeOffsets", "%d nanoseconds are more than a second", o.Nanosecs)
		}
	}
	return nil
}

// idRanges: the kernel takes 340 lines, and no range may pass the last id (an overflow
// would wrap to root).
func idRanges(field string, ranges []specs.LinuxIDMapping) error {
	if len(ranges) > 340 {
		return invalid(field, "%d ranges, the kernel takes 340", len(ranges))
	}
	for _, r := range ranges {
		last := uint64(1<<32 - 1)
		if r.Size == 0 || uint64(r.HostID)+uint64(r.Size) > last || uint64(r.ContainerID)+uint64(r.Size) > last {
			return invalid(field, "the range %d %d %d is empty or passes the last id", r.ContainerID, r.HostID, r.Size)
		}
	}
	return nil
}

func names(s *specs.Spec) error {
	for _, n := range [...]struct{ field, value string }{{"hostname", s.Hostname}, {"domainname", s.Domainname}} {
		switch {
		case n.value == "":
		case !Own(s, "uts"):
			return invalid(n.field, "unable to set %s without a private UTS namespace", n.field)
		case len(n.value) > 64 || hasNUL(n.value):
			return invalid(n.field, "%.80q is longer than 64 bytes or holds a NUL", n.value)
		}
	}
	return nil
}

// sysctls lets only those through that belong to a namespace of the container: any other
// would change the host (CVE-2022-0532).
func sysctls(s *specs.Spec) error {
	for key, value := range s.Linux.Sysctl {
		field := fmt.Sprintf("linux.sysctl: %.80q", key)
		kind := sysctlNamespace(strings.ReplaceAll(key, "/", "."))
		switch {
		case strings.Contains(key, "..") || hasNUL(key) || hasNUL(value):
			return invalid(field, "is no sysctl")
		case kind == "":
			return invalid(field, "is not in a separate kernel namespace")
		case !Own(s, kind):
			return invalid(field, "is not allowed in the host's %s namespace", kind)
		}
	}
	return nil
}

// Sets tells whether a sysctl of a namespace of this kind is asked for.
func Sets(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for key := range s.Linux.Sysctl {
		if sysctlNamespace(strings.ReplaceAll(key, "/", ".")) == kind {
			return true
		}
	}
	return false
}

func sysctlNamespace(key string) specs.LinuxNamespaceType {
	switch {
	case strings.HasPrefix(key, "net."):
		return specs.NetworkNamespace
	case strings.HasPrefix(key, "fs.mqueue."):
		return specs.IPCNamespace
	case key == "kernel.domainname":
		return specs.UTSNamespace
	}
	switch key {
	case "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
		"kernel.shm_rmid_forced":
		return specs.IPCNamespace
	}
	return ""
}

func hasNUL(s string) bool { return strings.ContainsRune(s, 0) }
