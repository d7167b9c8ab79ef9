package bundle

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/oci"
	"carob/internal/spec"

	"github.com/google/go-cmp/cmp"
)

func planned() *specs.Spec {
	return &specs.Spec{
		Version: "1.3.0", Root: &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{Args: []string{"true"}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev/shm", Type: "bind", Source: oci.ShmSource, Options: []string{"bind", "rw"}},
			{Destination: "/v", Type: "bind", Source: "/host/v", Options: []string{"rbind", "ro", oci.TopOption, oci.SubPathOption + "a/b", oci.CreateOption + "dir"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup"},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/carob/x",
			Namespaces:  []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}},
		},
	}
}

func TestConfig(t *testing.T) {
	s := planned()
	got, err := Config(Request{
		Spec: s, Rootfs: "/r/rootfs", Namespaces: Namespaces(s, nil, 7), Binds: map[int]string{2: "/r/mounts/2"}, Shm: "/r/shm",
		Features: Features{Runtime: "runc"}, Hostname: "box",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != Version || got.Root.Path != "/r/rootfs" || !got.Root.Readonly || got.Hostname != "" {
		t.Errorf("%+v", got)
	}
	wantNS := []specs.LinuxNamespace{
		{Type: specs.MountNamespace}, {Type: specs.PIDNamespace},
		{Type: specs.NetworkNamespace, Path: "/proc/7/ns/net"}, {Type: specs.IPCNamespace, Path: "/proc/7/ns/ipc"},
		{Type: specs.UTSNamespace, Path: "/proc/7/ns/uts"},
	}
	if d := cmp.Diff(wantNS, got.Linux.Namespaces); d != "" {
		t.Error("namespaces:", d)
	}
	want := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev/shm", Type: "bind", Source: "/r/shm", Options: []string{"bind", "rw"}},
		{Destination: "/v", Type: "bind", Source: "/r/mounts/2", Options: []string{"rbind", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup"},
	}
	if d := cmp.Diff(want, got.Mounts); d != "" {
		t.Error("mounts:", d)
	}
	if d := cmp.Diff(planned(), s); d != "" {
		t.Error("the plan has changed:", d)
	}
}

func TestConfigForGVisor(t *testing.T) {
	s := planned()
	got, err := Config(Request{Spec: s, Features: Features{Runtime: "runsc", Sentry: true}, Hostname: "box", Annotations: ContainerAnnotations("abc")})
	if err != nil {
		t.Fatal(err)
	}
	if got.Hostname != "box" || got.Annotations["io.kubernetes.cri.sandbox-id"] != "abc" {
		t.Errorf("hostname %q, annotations %v", got.Hostname, got.Annotations)
	}
	for _, m := range got.Mounts {
		if m.Type == "cgroup" {
			t.Error("the host's cgroups are mounted")
		}
	}
}

func TestNamespacesJoinedAndFresh(t *testing.T) {
	s := planned()
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	got := Namespaces(s, map[string]int{"ipc": 9, "pid": 8, "user": 3}, 7)
	// A fresh one is not joined, whatever else was said of it.
	want := map[string]string{"ipc": "/proc/9/ns/ipc", "uts": "/proc/7/ns/uts"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		features Features
		bend     func(*specs.Spec)
		want     string
	}{
		"apparmor":       {Features{NoAppArmor: true}, func(s *specs.Spec) { s.Process.ApparmorProfile = "x" }, "AppArmor"},
		"selinux":        {Features{NoSELinux: true}, func(s *specs.Spec) { s.Process.SelinuxLabel = "x" }, "SELinux"},
		"seccomp":        {Features{NoSeccomp: true}, func(s *specs.Spec) { s.Linux.Seccomp = &specs.LinuxSeccomp{} }, "seccomp"},
		"gVisor devices": {Features{Sentry: true}, func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x"}} }, "devices"},
		"gVisor label":   {Features{Sentry: true}, func(s *specs.Spec) { s.Process.SelinuxLabel = "x" }, "SELinux"},
	} {
		s := planned()
		test.bend(s)
		_, err := Config(Request{Spec: s, Features: test.features})
		if !fault.Is(err, fault.Unsupported) || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if s = planned(); s != nil {
			if _, err := Config(Request{Spec: s, Features: test.features}); err != nil {
				t.Errorf("%s: refused without it: %v", name, err)
			}
		}
	}
}

// TestDefaultProfile: a runtime without AppArmor is not asked for carob's default profile,
// which nobody has asked for by name, and the plan keeps it.
func TestDefaultProfile(t *testing.T) {
	for _, x := range []struct {
		features Features
		want     string
	}{{Features{}, oci.AppArmorProfile}, {Features{Sentry: true}, ""}, {Features{NoAppArmor: true}, ""}} {
		s := planned()
		s.Process.ApparmorProfile = oci.AppArmorProfile
		config, err := Config(Request{Spec: s, Features: x.features})
		if err != nil || config.Process.ApparmorProfile != x.want || s.Process.ApparmorProfile != oci.AppArmorProfile {
			t.Errorf("%+v: %+v, %v, want %q", x.features, config, err, x.want)
		}
	}
}

func TestAdmit(t *testing.T) {
	gvisor, runc := Features{Sentry: true}, Features{}
	for name, test := range map[string]struct {
		f    Features
		n    spec.Namespaces
		want string // of the error, or the user namespace
	}{
		"unsaid":            {runc, spec.Namespaces{}, "host"},
		"host":              {runc, spec.Namespaces{User: spec.Host}, "host"},
		"own":               {runc, spec.Namespaces{User: spec.Own}, string(spec.Own)},
		"own, shared pid":   {runc, spec.Namespaces{User: spec.Own, PID: spec.OfPod}, "pid namespace"},
		"gVisor own":        {gvisor, spec.Namespaces{User: spec.Own}, "user namespace"},
		"another's":         {runc, spec.Namespaces{User: spec.OfContainer("x")}, "user namespace"},
		"shared pid":        {runc, spec.Namespaces{PID: spec.OfPod}, "host"},
		"gVisor":            {gvisor, spec.Namespaces{Net: spec.Host, UTS: spec.Host}, "host"},
		"gVisor shared pid": {gvisor, spec.Namespaces{PID: spec.OfPod}, "pid namespace"},
		"gVisor host pid":   {gvisor, spec.Namespaces{PID: spec.Host}, "pid namespace"},
		"gVisor host ipc":   {gvisor, spec.Namespaces{IPC: spec.Host}, "ipc namespace"},
		"gVisor joins":      {gvisor, spec.Namespaces{Net: spec.OfContainer("x")}, "net namespace"},
	} {
		p := spec.Pod{Handler: "h", Namespaces: test.n}
		err := test.f.Admit(&p)
		switch {
		case err == nil:
			if string(p.Namespaces.User) != test.want {
				t.Errorf("%s: admitted with user %q, want %q", name, p.Namespaces.User, test.want)
			}
		case !fault.Is(err, fault.Unsupported) || !strings.HasPrefix(err.Error(), test.want):
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestIdentify(t *testing.T) {
	for text, want := range map[string]Features{
		"runc version 1.1.5+ds1\ncommit: x\n": {Runtime: "runc", Version: "1.1.5+ds1"},
		"crun version 1.8.1\n":                {Runtime: "crun", Version: "1.8.1"},
		"runsc version 0.0~20221219.0\nspec:": {Runtime: "runsc", Version: "0.0~20221219.0", Sentry: true},
	} {
		got, err := Identify(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "hello", " version 1", "a b version 1", strings.Repeat("x", 300) + " version 1"} {
		if got, err := Identify(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestReadFeatures(t *testing.T) {
	var f Features
	if err := f.Read([]byte(`{"ociVersionMin":"1.0.0","linux":{"seccomp":{"enabled":false},"apparmor":{"enabled":true},"selinux":{}}}`)); err != nil {
		t.Fatal(err)
	}
	if !f.NoSeccomp || f.NoAppArmor || f.NoSELinux {
		t.Errorf("%+v", f)
	}
	if err := f.Read([]byte("{")); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

// TestImageMount: an image's layers are mounted by carob, and bound.
func TestImageMount(t *testing.T) {
	s := planned()
	s.Mounts = []specs.Mount{{Destination: "/i", Type: "overlay", Source: "overlay", Options: []string{"nosuid", "lowerdir=/a:/b", oci.SubPathOption + "x"}}}
	if !Prepared(s.Mounts[0]) {
		t.Error("is not prepared")
	}
	got, err := Config(Request{Spec: s, Binds: map[int]string{0: "/r/mounts/0"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []specs.Mount{{Destination: "/i", Type: "bind", Source: "/r/mounts/0", Options: []string{"nosuid", "rbind", "ro"}}}
	if d := cmp.Diff(want, got.Mounts); d != "" {
		t.Error(d)
	}
}
