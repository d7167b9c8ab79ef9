package ocispec

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

func TestRootless(t *testing.T) {
	for _, uid := range []int{0, 1000} {
		s, err := parse(t, func(s *specs.Spec) { Rootless(s, uid, uid) })
		if err != nil {
			t.Fatal(err)
		}
		if got := OwnRoot(s, uid, uid) == nil; got != (uid != 0) {
			t.Errorf("for user %d: %v", uid, OwnRoot(s, uid, uid))
		}
		InUsers(s)
		if Own(s, specs.UserNamespace) || len(s.Linux.UIDMappings)+len(s.Linux.GIDMappings) > 0 || !New(s, specs.MountNamespace) {
			t.Errorf("for user %d, in the namespace: %+v", uid, s.Linux)
		}
	}
}

func TestOwnRoot(t *testing.T) {
	one := func(inside, outside uint32) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: inside, HostID: outside, Size: 1}}
	}
	for _, c := range []struct {
		users, groups []specs.LinuxIDMapping
		want          string
	}{
		{one(0, 1000), one(0, 100), ""},
		{append(one(1, 100000), one(0, 1000)...), one(0, 100), ""},
		{one(0, 1001), one(0, 100), "linux.uidMappings"},
		{one(1, 1000), one(0, 100), "linux.uidMappings"},
		{one(0, 1000), one(0, 1000), "linux.gidMappings"},
	} {
		s := Default()
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
		s.Linux.UIDMappings, s.Linux.GIDMappings = c.users, c.groups
		err := OwnRoot(s, 1000, 100)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !fault.Is(err, fault.Unsupported)) {
			t.Errorf("%v, %v: %v, want %q", c.users, c.groups, err, c.want)
		}
	}
}
