package adjust

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

func ptr[T any](v T) *T { return &v }

func TestMount(t *testing.T) {
	for _, test := range []struct {
		in   specs.Mount
		want spec.Mount
	}{
		{specs.Mount{Source: "/a", Destination: "/b", Options: []string{"rbind", "ro", "nosuid"}}, spec.Mount{ReadOnly: true, ReadOnlyTop: true, Options: []string{"nosuid"}}},
		{specs.Mount{Source: "/a", Destination: "/b", Type: "none", Options: []string{"rbind", "rro", "rslave"}}, spec.Mount{ReadOnly: true, Propagation: "rslave"}},
		{specs.Mount{Source: "/a", Destination: "/b", Type: "bind", Options: []string{"bind", "ro", "rw", "idmap"}}, spec.Mount{NonRecursive: true}},
	} {
		test.want.Type, test.want.Source, test.want.Target = spec.Bind, "/a", "/b"
		got, err := Mount(test.in)
		if d := cmp.Diff(test.want, got); err != nil || d != "" {
			t.Errorf("%+v: %v\n%s", test.in, err, d)
		}
	}
	tmp, err := Mount(specs.Mount{Source: "tmpfs", Destination: "/t", Type: "tmpfs", Options: []string{"size=1m", "ro"}})
	if d := cmp.Diff(spec.Mount{Type: spec.Tmpfs, Target: "/t", ReadOnly: true, Options: []string{"size=1m"}}, tmp); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	_, err = Mount(specs.Mount{Destination: "/b", Type: "nfs"})
	if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "nfs") {
		t.Errorf("nfs: %v", err)
	}
}

// TestEdits: additions go where a request has a place for them, in the place of what is there,
// and the request that they start from stays as it is.
func TestEdits(t *testing.T) {
	asked := spec.Container{
		Env: []string{"A=1"}, Groups: []string{"5"},
		Mounts:  []spec.Mount{{Type: spec.Bind, Source: "/x", Target: "/b/"}, {Type: spec.Bind, Source: "/y", Target: "/c"}},
		Devices: []spec.Device{{Source: "/dev/zero", Target: "/dev/one"}, {Source: "/dev/two"}},
		Hooks:   &specs.Hooks{Poststop: []specs.Hook{{Path: "/old"}}},
	}
	before := asked
	before.Mounts = append([]spec.Mount(nil), asked.Mounts...)
	before.Devices = append([]spec.Device(nil), asked.Devices...)
	one := specs.LinuxDevice{Path: "/dev/one", Type: "c", Major: 10, Minor: 1}
	two := specs.LinuxDevice{Path: "/dev/two", Type: "c", Major: 10, Minor: 2}
	got := asked
	err := Edits(&got, &specs.Spec{
		Process: &specs.Process{Env: []string{"A=2"}, User: specs.User{AdditionalGids: []uint32{7}}},
		Mounts:  []specs.Mount{{Source: "/a", Destination: "/b", Options: []string{"rbind"}}},
		Hooks:   &specs.Hooks{Poststop: []specs.Hook{{Path: "/new"}}},
		Linux: &specs.Linux{
			Devices: []specs.LinuxDevice{one, two},
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{
				{Allow: true, Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(1)), Access: "r"},
				{Allow: true, Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(2)), Access: ""},
			}},
		},
	})
	want := spec.Container{
		Env: []string{"A=1", "A=2"}, Groups: []string{"5", "7"},
		Mounts:  []spec.Mount{{Type: spec.Bind, Source: "/y", Target: "/c"}, {Type: spec.Bind, Source: "/a", Target: "/b"}},
		Devices: []spec.Device{{Source: "/dev/one", Access: "r", Node: &one}, {Source: "/dev/two", Access: spec.NoAccess, Node: &two}},
		Hooks:   &specs.Hooks{Poststop: []specs.Hook{{Path: "/old"}, {Path: "/new"}}},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	if d := cmp.Diff(before, asked); d != "" {
		t.Error("the request has changed\n" + d)
	}
	for field, l := range map[string]*specs.Linux{
		"intelRdt": {IntelRdt: &specs.LinuxIntelRdt{}}, "netDevices": {NetDevices: map[string]specs.LinuxNetDevice{"a": {}}},
	} {
		if err := Edits(&got, &specs.Spec{Linux: l}); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestNode: owners inside the pod's user namespace are others outside.
func TestNode(t *testing.T) {
	d := spec.Device{Node: &specs.LinuxDevice{Path: "/dev/x", GID: ptr(uint32(5))}}
	got, err := Node(d, status.IDMapping{HostID: 1000, Size: 10})
	if err != nil || *got.UID != 1000 || *got.GID != 1005 || *d.Node.GID != 5 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Node(d, status.IDMapping{}); err != nil || *got.UID != 0 || *got.GID != 5 {
		t.Errorf("in the host's: %+v, %v", got, err)
	}
	if _, err := Node(d, status.IDMapping{HostID: 1000, Size: 5}); !fault.Is(err, fault.Invalid) {
		t.Errorf("an owner that the namespace does not have: %v", err)
	}
}

func TestLimits(t *testing.T) {
	quota := func(n int64) *specs.LinuxResources { return &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &n}} }
	var c status.Container
	asked := quota(1000)
	if Limits(&c, asked, asked); c.Adjusted != nil || *c.Spec.Resources.CPU.Quota != 1000 {
		t.Errorf("as asked: %+v", c)
	}
	if Limits(&c, quota(2000), quota(3000)); *c.Wish().Resources.CPU.Quota != 3000 || *c.Spec.Resources.CPU.Quota != 2000 {
		t.Errorf("otherwise: %+v", c)
	}
	asked = quota(4000)
	if Limits(&c, asked, asked); *c.Wish().Resources.CPU.Quota != 4000 || *c.Spec.Resources.CPU.Quota != 4000 {
		t.Errorf("as asked again: %+v", c)
	}
}
