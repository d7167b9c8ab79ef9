package oci

import (
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/host"
	"carob/internal/plan/ident"
	"carob/internal/spec"
	"carob/internal/status"

	"github.com/google/go-cmp/cmp"
)

// plain is a small request that is right; tests bend it.
func plain() Request {
	return Request{
		Pod:       &spec.Pod{},
		Container: &spec.Container{Image: "web"},
		Image:     v1.ImageConfig{Cmd: []string{"true"}},
		Facts:     host.Facts{CPUs: 2, SwapAccounting: true, OOMScoreAdjMin: -1000, Kernel: host.Version{Major: 6, Minor: 18}},
		Namespaces: spec.Namespaces{Net: spec.OfPod, IPC: spec.OfPod, UTS: spec.OfPod,
			PID: spec.Own, User: spec.OfPod, Cgroup: spec.Own},
		Identity: ident.Identity{Home: "/root"},
	}
}

func ptr[T any](v T) *T { return &v }

func TestRefusals(t *testing.T) {
	memory := func(m specs.LinuxMemory) func(*Request) {
		return func(r *Request) { r.Container.Resources = &specs.LinuxResources{Memory: &m} }
	}
	cpu := func(c specs.LinuxCPU) func(*Request) {
		return func(r *Request) { r.Container.Resources = &specs.LinuxResources{CPU: &c} }
	}
	mounts := func(m ...spec.Mount) func(*Request) { return func(r *Request) { r.Container.Mounts = m } }
	tests := []struct {
		name string
		bend func(*Request)
		kind fault.Kind
		want string
	}{
		{"no command", func(r *Request) { r.Image.Cmd = nil }, fault.Invalid, "image web has no command: give one"},
		{"empty command", func(r *Request) { r.Container.Command = []string{""} }, fault.Invalid, "no command"},
		{"NUL in args", func(r *Request) { r.Container.Args = []string{"a\x00"} }, fault.Invalid, "command: word 0"},
		{"relative directory", func(r *Request) { r.Container.WorkingDir = "tmp" }, fault.Invalid, `working directory "tmp"`},
		{"env without a name", func(r *Request) { r.Container.Env = []string{"=x"} }, fault.Invalid, `env "=x"`},
		{"hostname with a newline", func(r *Request) { r.Hostname = "a\nb" }, fault.Invalid, `hostname "a\nb"`},
		{"long hostname", func(r *Request) { r.Hostname = strings.Repeat("a", 65) }, fault.Invalid, "longer than 64"},
		{"root refused", func(r *Request) { r.Container.Security.NonRoot = true }, fault.Invalid, "must not run as root"},
		{"unknown capability", func(r *Request) { r.Container.Security.CapAdd = []string{"FLY"} }, fault.Invalid, "FLY"},
		{"unknown rlimit", func(r *Request) { r.Container.Rlimits = []specs.POSIXRlimit{{Type: "nofile"}} }, fault.Invalid, `rlimit "nofile"`},
		{"soft above hard", func(r *Request) { r.Container.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 2, Hard: 1}} }, fault.Invalid, "above hard limit"},
		{"rlimit twice", func(r *Request) {
			r.Container.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_CORE"}}
		}, fault.Invalid, "asked for twice"},
		{"oom score", func(r *Request) { r.Container.OOMScoreAdj = ptr(1001) }, fault.Invalid, "1001 is not from -1000 to 1000"},
		{"default apparmor", func(r *Request) { r.Container.Security.AppArmor = "default" }, fault.Unsupported, "AppArmor"},
		{"default apparmor not loaded", func(r *Request) { r.Facts.AppArmor = true; r.Container.Security.AppArmor = "default" }, fault.Unsupported, "apparmor_parser"},
		{"apparmor", func(r *Request) { r.Container.Security.AppArmor = "x" }, fault.Unsupported, "AppArmor"},
		{"selinux", func(r *Request) { r.Container.Security.SELinux = "a:b:c:d" }, fault.Unsupported, "SELinux"},
		{"seccomp word", func(r *Request) { r.Container.Security.Seccomp = "strict" }, fault.Invalid, `seccomp "strict"`},

		{"memory", memory(specs.LinuxMemory{Limit: ptr(int64(100))}), fault.Invalid, "memory limit 100 is below 512KiB"},
		{"swap alone", memory(specs.LinuxMemory{Swap: ptr(int64(1 << 20))}), fault.Invalid, "needs a memory limit"},
		{"swap below memory", memory(specs.LinuxMemory{Limit: ptr(int64(2 << 20)), Swap: ptr(int64(1 << 20))}), fault.Invalid, "below the memory limit"},
		{"negative memory", memory(specs.LinuxMemory{Limit: ptr(int64(-2))}), fault.Invalid, "or -1"},
		{"reservation", memory(specs.LinuxMemory{Limit: ptr(int64(1 << 20)), Reservation: ptr(int64(2 << 20))}), fault.Invalid, "reservation"},
		{"swappiness", memory(specs.LinuxMemory{Swappiness: ptr(uint64(101))}), fault.Invalid, "swappiness 101"},
		{"too many cpus", cpu(specs.LinuxCPU{Quota: ptr(int64(250000))}), fault.Invalid, "2.5 cpus: range of CPUs is from 0.01 to 2"},
		{"too few cpus", cpu(specs.LinuxCPU{Quota: ptr(int64(999))}), fault.Invalid, "range of CPUs"},
		{"period", cpu(specs.LinuxCPU{Period: ptr(uint64(10))}), fault.Invalid, "cpu period 10"},
		{"cpuset", cpu(specs.LinuxCPU{Cpus: "0-"}), fault.Invalid, `cpuset cpus "0-"`},
		{"mems", cpu(specs.LinuxCPU{Mems: "0,,1"}), fault.Invalid, `cpuset mems "0,,1"`},
		{"io weight", func(r *Request) {
			r.Container.Resources = &specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(5))}}
		}, fault.Invalid, "weight 5"},
		{"device access", func(r *Request) {
			r.Container.Devices = []spec.Device{{Source: "/dev/kvm", Access: "rx"}}
			r.Devices = []specs.LinuxDevice{{Path: "/dev/kvm", Type: "c"}}
		}, fault.Invalid, `access "rx"`},
		{"device path", func(r *Request) { r.Devices = []specs.LinuxDevice{{Path: "/dev/../etc", Type: "c"}} }, fault.Invalid, "device"},
		{"device type", func(r *Request) { r.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "p"}} }, fault.Invalid, "neither"},

		{"relative target", mounts(spec.Mount{Type: spec.Tmpfs, Target: "tmp"}), fault.Invalid, `mount "tmp": the target is not`},
		{"dotdot", mounts(spec.Mount{Type: spec.Tmpfs, Target: "/a/../../b"}), fault.Invalid, `mount "/a/../../b"`},
		{"root", mounts(spec.Mount{Type: spec.Tmpfs, Target: "//."}), fault.Invalid, "over the root"},
		{"proc", mounts(spec.Mount{Type: spec.Tmpfs, Target: "/proc/"}), fault.Invalid, `mount "/proc/"`},
		{"below proc", mounts(spec.Mount{Type: spec.Bind, Source: "/x", Target: "/proc/self/attr"}), fault.Invalid, "/proc/self/attr"},
		{"sys", mounts(spec.Mount{Type: spec.Bind, Source: "/sys", Target: "/sys"}), fault.Invalid, `mount "/sys"`},
		{"twice", mounts(spec.Mount{Type: spec.Tmpfs, Target: "/a"}, spec.Mount{Type: spec.Tmpfs, Target: "/a/"}), fault.Invalid, "mount /a: asked for twice"},
		{"type", mounts(spec.Mount{Type: "nfs", Target: "/a"}), fault.Invalid, `type "nfs"`},
		{"source", mounts(spec.Mount{Type: spec.Bind, Source: "x", Target: "/a"}), fault.Invalid, `mount /a: source "x"`},
		{"propagation", mounts(spec.Mount{Type: spec.Bind, Source: "/x", Target: "/a", Propagation: "z"}), fault.Invalid, `propagation "z"`},
		{"bind option", mounts(spec.Mount{Type: spec.Bind, Source: "/x", Target: "/a", Options: []string{"size=1"}}), fault.Invalid, `option "size=1"`},
		{"smuggled option", mounts(spec.Mount{Type: spec.Bind, Source: "/x", Target: "/a", Options: []string{SubPathOption + "../.."}}), fault.Invalid, "option"},
		{"subpath", mounts(spec.Mount{Type: spec.Bind, Source: "/x", Target: "/a", SubPath: "b/../../c"}), fault.Invalid, "subpath"},
		{"absolute subpath", mounts(spec.Mount{Type: spec.Bind, Source: "/x", Target: "/a", SubPath: "/c"}), fault.Invalid, "subpath"},
		{"create", mounts(spec.Mount{Type: spec.Bind, Source: "/x", Target: "/a", Create: "socket"}), fault.Invalid, `create "socket"`},
		{"size of a bind", mounts(spec.Mount{Type: spec.Bind, Source: "/x", Target: "/a", Size: 1}), fault.Invalid, "for tmpfs"},
		{"tmpfs option", mounts(spec.Mount{Type: spec.Tmpfs, Target: "/a", Options: []string{"size=1,uid=0"}}), fault.Invalid, "option"},
		{"tmpfs source", mounts(spec.Mount{Type: spec.Tmpfs, Source: "/x", Target: "/a"}), fault.Invalid, "no source"},
		{"tmpfs mode", mounts(spec.Mount{Type: spec.Tmpfs, Target: "/a", Mode: 0o10000}), fault.Invalid, "mode 10000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := plain()
			tt.bend(&r)
			out, err := Container(r)
			if err == nil {
				t.Fatalf("planned %+v", out)
			}
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: %q, want %v: …%q…", fault.KindOf(err), err, tt.kind, tt.want)
			}
		})
	}
}

func TestMemorySwap(t *testing.T) {
	const mega = int64(1 << 20)
	tests := []struct {
		name       string
		asked      specs.LinuxMemory
		accounting bool
		want       *int64
		kind       fault.Kind
	}{
		{"twice the memory", specs.LinuxMemory{Limit: ptr(mega)}, true, ptr(2 * mega), 0},
		{"not accounted", specs.LinuxMemory{Limit: ptr(mega)}, false, nil, 0},
		{"unlimited", specs.LinuxMemory{Limit: ptr(mega), Swap: ptr(int64(-1))}, true, ptr(int64(-1)), 0},
		{"unlimited, not accounted", specs.LinuxMemory{Limit: ptr(mega), Swap: ptr(int64(-1))}, false, nil, 0},
		{"given", specs.LinuxMemory{Limit: ptr(mega), Swap: ptr(mega)}, true, ptr(mega), 0},
		{"given, not accounted", specs.LinuxMemory{Limit: ptr(mega), Swap: ptr(mega)}, false, ptr(mega), 0}, // plan/cgroup refuses it
		{"no overflow", specs.LinuxMemory{Limit: ptr(int64(1) << 62)}, true, ptr(int64(-1)), 0},
		{"no limit", specs.LinuxMemory{Limit: ptr(int64(-1))}, true, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := plain()
			r.Facts.SwapAccounting = tt.accounting
			r.Container.Resources = &specs.LinuxResources{Memory: &tt.asked}
			before := tt.asked
			out, err := Container(r)
			if fault.KindOf(err) != tt.kind {
				t.Fatal(err)
			}
			if err != nil {
				return
			}
			if d := cmp.Diff(tt.want, out.Linux.Resources.Memory.Swap); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(before, *r.Container.Resources.Memory); d != "" {
				t.Errorf("the request changed: %s", d)
			}
		})
	}
}

// TestKubernetesCPULimit: a manifest's limit may be above the host's CPUs.
func TestKubernetesCPULimit(t *testing.T) {
	r := plain()
	r.Pod.Owner = "cri"
	r.Container.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(6400000)), Period: ptr(uint64(100000))}}
	if _, err := Container(r); err != nil {
		t.Error(err)
	}
}

func TestEnvironment(t *testing.T) {
	r := plain()
	r.Container.TTY = true
	r.Hostname = "box"
	r.Image.Env = []string{"A=image", "B=image", "word", "A=again", "=x"}
	r.Container.Env = []string{"C=1", "B=request", "PATH", "C=2", "TERM=vt100", "EMPTY=", "D=x=y"}
	out, err := Container(r)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"HOSTNAME=box", "TERM=vt100", "A=again", "B=request", "C=2", "EMPTY=", "D=x=y", "HOME=/root"}
	if d := cmp.Diff(want, out.Process.Env); d != "" {
		t.Error(d)
	}
}

func TestCommand(t *testing.T) {
	tests := []struct {
		name                           string
		entrypoint, cmd, command, args []string
		want                           string
	}{
		{"image", []string{"e"}, []string{"c"}, nil, nil, "e c"},
		{"args replace cmd", []string{"e"}, []string{"c"}, nil, []string{"a"}, "e a"},
		{"command drops cmd", []string{"e"}, []string{"c"}, []string{"x"}, nil, "x"},
		{"both", []string{"e"}, []string{"c"}, []string{"x"}, []string{"a"}, "x a"},
		{"cmd alone", nil, []string{"c", "d"}, nil, nil, "c d"},
		{"args alone", nil, nil, nil, []string{"a"}, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := command(&spec.Container{Command: tt.command, Args: tt.args}, tt.entrypoint, tt.cmd)
			if err != nil || strings.Join(got, " ") != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestWorkingDir(t *testing.T) {
	for _, tt := range []struct{ asked, image, want string }{
		{"", "", "/"}, {"", "app", "/app"}, {"", "/srv/../x/", "/x"}, {"", "../..", "/"}, {"/tmp/", "/x", "/tmp"},
	} {
		if got, err := workingDir(tt.asked, tt.image); err != nil || got != tt.want {
			t.Errorf("workingDir(%q, %q) = %q, %v; want %q", tt.asked, tt.image, got, err, tt.want)
		}
	}
}

// TestIPCOfPod follows a container in the pod's IPC namespace to whoever owns it.
func TestIPCOfPod(t *testing.T) {
	for _, tt := range []struct {
		pod, container spec.Mode
		want           string
	}{
		{spec.Own, spec.OfPod, ShmSource}, {"", spec.OfPod, ShmSource}, {spec.Host, spec.OfPod, "/dev/shm"}, {spec.None, spec.OfPod, ""},
		{spec.Own, spec.Own, "shm"}, {spec.None, spec.OfContainer("a"), ShmSource}, {spec.OfContainer("a"), spec.OfPod, ShmSource},
	} {
		r := plain()
		r.Pod.Namespaces.IPC, r.Namespaces.IPC = tt.pod, tt.container
		out, err := Container(r)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, m := range out.Mounts {
			if m.Destination == "/dev/shm" {
				got = m.Source
			}
		}
		if got != tt.want {
			t.Errorf("pod %q, container %q: /dev/shm from %q, want %q", tt.pod, tt.container, got, tt.want)
		}
	}
}

// TestPlansAreApart: two plans of one request and the request itself share nothing
// that a handler may change.
func TestPlansAreApart(t *testing.T) {
	r := plain()
	r.IDs = status.IDMapping{HostID: 100000, Size: 65536}
	r.Container.Resources = &specs.LinuxResources{Devices: make([]specs.LinuxDeviceCgroup, 0, 8)}
	b := New()
	one, err := b.Container(r)
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Container(r)
	if err != nil {
		t.Fatal(err)
	}
	one.Process.Env[0], one.Process.Args[0] = "X=1", "changed"
	one.Process.Capabilities.Bounding[0] = "changed"
	one.Mounts[0].Options[0] = "changed"
	one.Linux.UIDMappings[0].HostID = 0
	one.Linux.Resources.Devices[0].Allow = true
	three, err := b.Container(r)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(two, three); d != "" {
		t.Error(d)
	}
	if one.Linux.Seccomp != two.Linux.Seccomp {
		t.Error("the default profile was made twice")
	}
}

func TestSignal(t *testing.T) {
	for name, want := range map[string]int{
		"TERM": 15, "SIGTERM": 15, "sigkill": 9, "9": 9, "64": 64, "RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX": 64, "RTMAX-1": 63,
		"SYS": 31, "POLL": 29, "IO": 29, "CLD": 17, "HUP": 1,
	} {
		if got, err := Signal(name); err != nil || got != want {
			t.Errorf("Signal(%q) = %d, %v; want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"", "0", "65", "-1", "+9", "SIG", "SIGSIGTERM", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN++1", "RTMIN+", "TERM\n", "1e1"} {
		if got, err := Signal(name); !fault.Is(err, fault.Invalid) {
			t.Errorf("Signal(%q) = %d, %v", name, got, err)
		}
	}
}

func TestOpenFiles(t *testing.T) {
	asked := specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 5, Hard: 6}
	other := specs.POSIXRlimit{Type: "RLIMIT_CORE"}
	for _, tt := range []struct {
		name  string
		most  uint64
		asked []specs.POSIXRlimit
		want  []specs.POSIXRlimit
	}{
		{"plenty", 1 << 20, nil, []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 524288}}},
		{"the host has less", 20000, nil, []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 20000}}},
		{"the host has little", 100, nil, []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 100}}},
		{"asked for", 20000, []specs.POSIXRlimit{asked}, []specs.POSIXRlimit{asked}},
		{"beside another", 20000, []specs.POSIXRlimit{other}, []specs.POSIXRlimit{other, {Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 20000}}},
		{"not known", 0, []specs.POSIXRlimit{other}, []specs.POSIXRlimit{other}},
	} {
		r := plain()
		r.Facts.MaxOpenFiles, r.Container.Rlimits = tt.most, tt.asked
		s, err := Container(r)
		if err != nil {
			t.Fatal(tt.name, err)
		}
		if d := cmp.Diff(tt.want, s.Process.Rlimits); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

// TestAppArmorProfile: who asks for nothing is confined where that is possible, and who
// asks to be or not to be gets that.
func TestAppArmorProfile(t *testing.T) {
	for _, x := range []struct {
		asked              string
		privileged, loaded bool
		want               string
	}{
		{"", false, true, "carob-default"},
		{"", false, false, ""},
		{"", true, true, ""},
		{"default", false, true, "carob-default"},
		{"default", true, true, "carob-default"},
		{"unconfined", false, true, ""},
		{"web", false, true, "web"},
		{"web", true, false, "web"},
	} {
		r := plain()
		r.Facts.AppArmor, r.Facts.DefaultProfile = true, x.loaded
		r.Container.Security = spec.Security{AppArmor: x.asked, Privileged: x.privileged}
		if got, err := newPlanner(&r).appArmor(); err != nil || got != x.want {
			t.Errorf("%q, privileged %t, loaded %t: %q, %v, want %q", x.asked, x.privileged, x.loaded, got, err, x.want)
		}
	}
}

// TestSELinux: what a container is labelled with, and what of its mounts is relabelled.
func TestSELinux(t *testing.T) {
	const process, file = "system_u:system_r:container_t:s0", "system_u:object_r:container_file_t:s0"
	for _, x := range []struct {
		name                 string
		change               func(*Request)
		wantProcess, wantMnt string
	}{
		{"plain", func(*Request) {}, process + ":c1,c2", file + ":c1,c2"},
		{"privileged", func(r *Request) { r.Container.Security = spec.Security{Privileged: true, SELinux: "::spc_t:"} }, "", file + ":c1,c2"},
		{"host pid", func(r *Request) { r.Namespaces.PID = spec.Host }, "", file + ":c1,c2"},
		{"the pod has the host's ipc", func(r *Request) { r.Namespaces.IPC, r.Pod.Namespaces.IPC = spec.OfPod, spec.Host }, "", file + ":c1,c2"},
		{"host pid, asked", func(r *Request) { r.Namespaces.PID, r.Pod.SELinux = spec.Host, ":::s0:c9" }, process + ":c9", file + ":c9"},
		{"no policy for containers", func(r *Request) { r.Facts.SELinuxProcess, r.Facts.SELinuxFile = "", "" }, "", ""},
		{"disable without SELinux", func(r *Request) { r.Facts.SELinux, r.Container.Security.SELinux = false, "disable" }, "", ""},
	} {
		r := plain()
		r.Facts.SELinux, r.Facts.SELinuxProcess, r.Facts.SELinuxFile, r.Level = true, process, file, "s0:c1,c2"
		x.change(&r)
		s, err := Container(r)
		if err != nil || s.Process.SelinuxLabel != x.wantProcess || s.Linux.MountLabel != x.wantMnt {
			t.Errorf("%s: %v, %+v", x.name, err, s)
		}
	}
	r := plain()
	r.Facts.SELinux, r.Facts.SELinuxProcess, r.Facts.SELinuxFile, r.Level = true, process, file, "s0:c1,c2"
	r.Volumes = map[string]string{"/volume": "/v"}
	r.Container.Mounts = []spec.Mount{
		{Type: spec.Bind, Source: "/a", Target: "/plain"}, {Type: spec.Volume, Source: "v", Target: "/volume"},
		{Type: spec.Bind, Source: "/a", Target: "/shared", Relabel: spec.RelabelShared},
		{Type: spec.Bind, Source: "/a", Target: "/private", Relabel: spec.RelabelPrivate},
	}
	s, err := Container(r)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"/plain": "", "/volume": LabelOption + file, "/shared": RelabelOption + file, "/private": RelabelOption + file + ":c1,c2"}
	for _, m := range s.Mounts {
		got := ""
		for _, o := range m.Options {
			if strings.HasPrefix(o, LabelOption) || strings.HasPrefix(o, RelabelOption) {
				got = o
			}
		}
		if asked, ok := want[m.Destination]; ok && got != asked {
			t.Errorf("%s: %q, want %q", m.Destination, got, asked)
		}
	}
	r.Facts.SELinuxFile = ""
	if _, err := Container(r); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "relabel") {
		t.Errorf("no label to give: %v", err)
	}
	r.Facts.SELinux = false
	if _, err := Container(r); err != nil {
		t.Errorf("without SELinux: %v", err)
	}
}
