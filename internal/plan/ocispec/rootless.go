package ocispec

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Rootless makes a configuration one without a cgroup of its own, for root of a user
// namespace in which no other ids are mapped; or, with the ids of a user who is root of
// none, one with a user namespace in which that is root.
func Rootless(s *specs.Spec, uid, gid int) {
	s.Linux.Resources = nil
	for i := range s.Mounts {
		m := &s.Mounts[i]
		m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return o == "gid=5" })
	}
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Type == "cgroup" })
	if uid != 0 {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(uid), Size: 1}}
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(gid), Size: 1}}
	}
}

// OwnRoot tells whether a user who is root nowhere can make the container: in a new user
// namespace whose root is that user.
func OwnRoot(s *specs.Spec, uid, gid int) error {
	if !New(s, specs.UserNamespace) {
		return unsupported("linux.namespaces", "rootless container requires user namespaces: without root a new one is needed (carob-oci spec --rootless)")
	}
	for _, m := range []struct {
		field  string
		id     int
		ranges []specs.LinuxIDMapping
	}{{"linux.uidMappings", uid, s.Linux.UIDMappings}, {"linux.gidMappings", gid, s.Linux.GIDMappings}} {
		if !slices.ContainsFunc(m.ranges, func(r specs.LinuxIDMapping) bool { return r.ContainerID == 0 && int(r.HostID) == m.id }) {
			return unsupported(m.field, fmt.Sprintf("without root, the container's 0 must be the caller's own %d", m.id))
		}
	}
	return nil
}

// InUsers makes a configuration that asks for a new user namespace one for a runtime that
// is in it already.
func InUsers(s *specs.Spec) {
	s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
}
