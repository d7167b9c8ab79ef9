package drift

import (
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/spec"
	"carob/internal/status"
)

func TestDifferences(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	u := func(v uint64) *uint64 { return &v }
	modes := spec.Namespaces{Net: spec.OfPod, IPC: spec.OfPod, UTS: spec.OfPod, PID: spec.Own, User: spec.OfPod, Cgroup: spec.Own}
	base := func() (Expectation, status.Observed) {
		return Expectation{
				World: &specs.Spec{
					Process: &specs.Process{NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}}},
					Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{}, Resources: &specs.LinuxResources{
						Memory: &specs.LinuxMemory{Limit: n(268435456 + 100), Swap: n(-1)},
						CPU:    &specs.LinuxCPU{Quota: n(50000), Cpus: "0-1", Shares: u(512)},
						Pids:   &specs.LinuxPids{Limit: n(10)},
					}},
				},
				Modes:        modes,
				SandboxModes: spec.Namespaces{Net: spec.Own, IPC: spec.Own, UTS: spec.Own, PID: spec.Own, User: spec.Own},
				Sandbox:      map[string]string{"net": "net:[2]", "ipc": "ipc:[2]", "uts": "uts:[2]", "pid": "pid:[1]", "user": "user:[2]"},
				Host:         map[string]string{"net": "net:[1]", "ipc": "ipc:[1]", "uts": "uts:[1]", "pid": "pid:[1]", "user": "user:[1]", "cgroup": "cgroup:[1]"},
				Page:         4096,
				Mapping:      status.IDMapping{HostID: 1 << 20, Size: 1 << 16},
			}, status.Observed{
				Namespaces: map[string]string{"net": "net:[2]", "ipc": "ipc:[2]", "uts": "uts:[2]", "pid": "pid:[3]", "user": "user:[2]", "cgroup": "cgroup:[3]"},
				Resources: &specs.LinuxResources{
					Memory: &specs.LinuxMemory{Limit: n(268435456), Swap: n(9223372036854771712)},
					CPU:    &specs.LinuxCPU{Quota: n(25000), Period: u(50000), Cpus: "0,1", Shares: u(512)},
					Pids:   &specs.LinuxPids{Limit: n(10)},
				},
				Capabilities: map[string]string{"bounding": "CAP_KILL,CAP_CHOWN"},
				NoNewPrivs:   true, SeccompMode: 2, UIDMap: "         0    1048576      65536\n",
			}
	}
	for _, tt := range []struct {
		name string
		edit func(*Expectation, *status.Observed)
		want string
	}{
		{"as asked", func(*Expectation, *status.Observed) {}, ""},
		{"memory", func(_ *Expectation, o *status.Observed) { o.Resources.Memory.Limit = n(4096) }, "resources.memory.limit: asked 268435556, kernel shows 4096"},
		{"cpu", func(_ *Expectation, o *status.Observed) { o.Resources.CPU.Quota = n(-1) }, "resources.cpu.quota: asked 50000/100000, kernel shows -1/50000"},
		{"shares", func(_ *Expectation, o *status.Observed) { o.Resources.CPU.Shares = u(1024) }, "cpu.shares"},
		{"cpus", func(_ *Expectation, o *status.Observed) { o.Resources.CPU.Cpus = "0" }, "cpu.cpus: asked 0-1"},
		{"pids", func(_ *Expectation, o *status.Observed) { o.Resources.Pids.Limit = n(-1) }, "pids.limit"},
		{"unread", func(_ *Expectation, o *status.Observed) { *o = status.Observed{NoNewPrivs: true, SeccompMode: 2} }, ""},
		{"net of the host", func(_ *Expectation, o *status.Observed) { o.Namespaces["net"] = "net:[1]" }, "namespaces.net: asked pod net:[2], kernel shows net:[1]"},
		{"pid of the host", func(_ *Expectation, o *status.Observed) { o.Namespaces["pid"] = "pid:[1]" }, "namespaces.pid: asked own, kernel shows the host's"},
		{"own net is the pod's", func(e *Expectation, _ *status.Observed) { e.Modes.Net = spec.Own }, "namespaces.net: asked own, kernel shows the pod's"},
		{"host net is not", func(e *Expectation, _ *status.Observed) { e.Modes.Net = spec.Host }, "namespaces.net: asked host"},
		{"capability more", func(_ *Expectation, o *status.Observed) { o.Capabilities["bounding"] = "chown kill sys_admin" }, "capabilities.bounding: kernel shows +SYS_ADMIN"},
		{"capability less", func(_ *Expectation, o *status.Observed) { o.Capabilities["bounding"] = "chown" }, "-KILL"},
		{"new privileges", func(_ *Expectation, o *status.Observed) { o.NoNewPrivs = false }, "noNewPrivileges"},
		{"seccomp", func(_ *Expectation, o *status.Observed) { o.SeccompMode = 0 }, "seccomp: asked a filter, kernel shows mode 0"},
		{"user map", func(_ *Expectation, o *status.Observed) { o.UIDMap = "0 0 4294967295" }, "uidMap: asked 0 1048576 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, seen := base()
			tt.edit(&want, &seen)
			got := Of(want, seen)
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	host := map[string]string{"net": "net:[1]", "ipc": "ipc:[1]"}
	got := OfPod(spec.Namespaces{Net: spec.Own, IPC: spec.Host}, host, status.Observed{Namespaces: map[string]string{"net": "net:[1]", "ipc": "ipc:[2]"}})
	if len(got) != 2 {
		t.Errorf("%q", got)
	}
	if got := cpuList("3,0-1, x,5-4\n"); !slices.Equal(got, []int{0, 1, 3}) {
		t.Errorf("%v", got)
	}
}
