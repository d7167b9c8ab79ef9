package asked

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/nri/pkg/api"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"

	"carob/internal/fault"
	"carob/internal/spec"
)

func ptr[T any](v T) *T { return &v }

// empty is what the library returns when no plugin wants anything.
func empty() *api.ContainerAdjustment {
	return &api.ContainerAdjustment{
		Annotations: map[string]string{}, Mounts: []*api.Mount{}, Env: []*api.KeyValue{}, Hooks: &api.Hooks{}, Rlimits: []*api.POSIXRlimit{},
		Linux: &api.LinuxContainerAdjustment{Resources: &api.LinuxResources{Memory: &api.LinuxMemory{}, Cpu: &api.LinuxCPU{}, Unified: map[string]string{}}},
	}
}

func TestNothing(t *testing.T) {
	for _, a := range []*api.ContainerAdjustment{nil, {}, empty()} {
		if got, cdi, err := Adjust(&spec.Container{}, a); got != nil || cdi != nil || err != nil {
			t.Errorf("%v: %+v, %v, %v", a, got, cdi, err)
		}
	}
	if l, err := Limits(empty().Linux.Resources); l != nil || err != nil {
		t.Errorf("no limits: %+v, %v", l, err)
	}
}

// TestAdjust: one of everything, on a request that stays as it is.
func TestAdjust(t *testing.T) {
	asked := spec.Container{
		Command: []string{"sh"}, Args: []string{"-c", "x"}, Env: []string{"A=1"}, Annotations: map[string]string{"a": "1", "b": "2"},
		Mounts:    []spec.Mount{{Type: spec.Bind, Source: "/x", Target: "/gone"}, {Type: spec.Bind, Source: "/y", Target: "/stays"}},
		Devices:   []spec.Device{{Source: "/dev/gone"}},
		Rlimits:   []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Hard: 1, Soft: 1}},
		Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5))}, Memory: &specs.LinuxMemory{Limit: ptr(int64(7))}},
	}
	before, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	a := empty()
	a.SetArgs([]string{"new"})
	a.AddEnv("B", "2")
	a.RemoveEnv("A")
	a.AddAnnotation("c", "3")
	a.RemoveAnnotation("a")
	a.AddMount(&api.Mount{Source: "/z", Destination: "/new", Type: "bind", Options: []string{"rbind"}})
	a.RemoveMount("/gone")
	a.AddDevice(&api.LinuxDevice{Path: "/dev/new", Type: "b", Major: 8, Minor: 1})
	a.RemoveDevice("/dev/gone")
	a.AddRlimit("RLIMIT_CORE", 9, 8)
	a.AddHooks(&api.Hooks{Poststop: []*api.Hook{{Path: "/h", Args: []string{"h"}}}})
	a.AddCDIDevice(&api.CDIDevice{Name: "v.example/x=y"})
	a.SetLinuxMemoryLimit(9)
	a.SetLinuxOomScoreAdj(ptr(5))
	a.SetLinuxIOPriority(&api.LinuxIOPriority{Class: api.IOPrioClass_IOPRIO_CLASS_IDLE})
	got, cdi, err := Adjust(&asked, a)
	if err != nil {
		t.Fatal(err)
	}
	want := &spec.Container{
		Command: []string{"new"}, Env: []string{"A=1", "B=2", "A"}, Annotations: map[string]string{"b": "2", "c": "3"},
		Mounts:      []spec.Mount{{Type: spec.Bind, Source: "/y", Target: "/stays"}, {Type: spec.Bind, Source: "/z", Target: "/new"}},
		Devices:     []spec.Device{{Source: "/dev/new", Access: "rwm", Node: &specs.LinuxDevice{Path: "/dev/new", Type: "b", Major: 8, Minor: 1}}},
		Rlimits:     []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Hard: 9, Soft: 8}},
		Hooks:       &specs.Hooks{Poststop: []specs.Hook{{Path: "/h", Args: []string{"h"}}}},
		Resources:   &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(5))}, Memory: &specs.LinuxMemory{Limit: ptr(int64(9))}},
		OOMScoreAdj: ptr(5), IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_IDLE},
	}
	if d := cmp.Diff(want, got); d != "" || len(cdi) != 1 || cdi[0] != "v.example/x=y" {
		t.Errorf("CDI %q\n%s", cdi, d)
	}
	if after, err := json.Marshal(asked); err != nil || string(after) != string(before) {
		t.Errorf("the request has become %s", after)
	}
}

// TestRefused: what a request has no word for is refused by NRI's name.
func TestRefused(t *testing.T) {
	for field, a := range map[string]*api.ContainerAdjustment{
		"linux.cgroups_path":                {Linux: &api.LinuxContainerAdjustment{CgroupsPath: "/x"}},
		"linux.namespaces":                  {Linux: &api.LinuxContainerAdjustment{Namespaces: []*api.LinuxNamespace{{Type: "net"}}}},
		"linux.sysctl":                      {Linux: &api.LinuxContainerAdjustment{Sysctl: map[string]string{"a": "b"}}},
		"linux.net_devices":                 {Linux: &api.LinuxContainerAdjustment{NetDevices: map[string]*api.LinuxNetDevice{"a": {}}}},
		"linux.rdt":                         {Linux: &api.LinuxContainerAdjustment{Rdt: &api.LinuxRdt{ClosId: &api.OptionalString{Value: "x"}}}},
		"linux.resources.blockio_class":     {Linux: &api.LinuxContainerAdjustment{Resources: &api.LinuxResources{BlockioClass: &api.OptionalString{Value: "x"}}}},
		"linux.resources.devices":           {Linux: &api.LinuxContainerAdjustment{Resources: &api.LinuxResources{Devices: []*api.LinuxDeviceCgroup{{Allow: true}}}}},
		"linux.seccomp_policy.listener":     {Linux: &api.LinuxContainerAdjustment{SeccompPolicy: &api.LinuxSeccomp{ListenerPath: "/x"}}},
		`mount "/a": type "nfs"`:            {Mounts: []*api.Mount{{Destination: "/a", Type: "nfs"}}},
		"mounts: -/dev: the request has no": {Mounts: []*api.Mount{{Destination: "-/dev"}}},
		"linux.devices: -/dev/x":            {Linux: &api.LinuxContainerAdjustment{Devices: []*api.LinuxDevice{{Path: "-/dev/x"}}}},
	} {
		got, _, err := Adjust(&spec.Container{}, a)
		if got != nil || !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %+v, %v", field, got, err)
		}
	}
}

func TestSeccomp(t *testing.T) {
	got, _, err := Adjust(&spec.Container{}, &api.ContainerAdjustment{Linux: &api.LinuxContainerAdjustment{SeccompPolicy: &api.LinuxSeccomp{
		DefaultAction: "SCMP_ACT_ERRNO", DefaultErrno: &api.OptionalUInt32{Value: 38}, Architectures: []string{"SCMP_ARCH_X86_64"},
		Syscalls: []*api.LinuxSyscall{{Names: []string{"read"}, Action: "SCMP_ACT_ALLOW"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var profile specs.LinuxSeccomp
	if err := json.Unmarshal([]byte(got.Security.Seccomp), &profile); err != nil {
		t.Fatal(err)
	}
	if profile.DefaultAction != specs.ActErrno || *profile.DefaultErrnoRet != 38 || profile.Syscalls[0].Names[0] != "read" {
		t.Errorf("%+v", profile)
	}
}

func TestUnset(t *testing.T) {
	a := empty()
	Unset(a, []string{"A=1", "B=2", "C"}, []string{"B=3", "D=4"})
	if len(a.Env) != 2 || a.Env[0].Key != "-A" || a.Env[1].Key != "-C" {
		t.Errorf("%v", a.Env)
	}
}

// FuzzAdjust: whatever a plugin sends is an error or a request, and no crash.
func FuzzAdjust(f *testing.F) {
	a := empty()
	a.SetArgs([]string{"x"})
	a.RemoveMount("/x")
	a.AddDevice(&api.LinuxDevice{Path: "/dev/x"})
	seed, err := proto.Marshal(a)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, message []byte) {
		a := &api.ContainerAdjustment{}
		if proto.Unmarshal(message, a) != nil {
			return
		}
		if got, _, err := Adjust(&spec.Container{}, a); got != nil && err != nil {
			t.Errorf("%+v and %v", got, err)
		}
	})
}
