package pod

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

var (
	mappingA = status.IDMapping{HostID: 1 << 20, Size: 1 << 16}
	mappingB = status.IDMapping{HostID: 1 << 21, Size: 1 << 16}
)

// peers are a and a2 in user namespace A, b in B, h in the host's.
func peers(ref string) (peer, error) {
	for _, p := range []peer{{"a", "a", mappingA}, {"a2", "a2", mappingA}, {"b", "b", mappingB}, {id: "h", title: "h"}} {
		if p.id == ref {
			return p, nil
		}
	}
	return peer{}, notFound("container", ref)
}

func TestPlanPod(t *testing.T) {
	of := spec.OfContainer
	for _, tt := range []struct {
		name  string
		asked spec.Namespaces
		want  spec.Namespaces // only kinds that are not own
		ids   status.IDMapping
		fresh bool
		kind  fault.Kind
		word  string
	}{
		{name: "defaults", fresh: true},
		{name: "shared pid", asked: spec.Namespaces{PID: spec.OfPod}, want: spec.Namespaces{PID: spec.OfPod}, fresh: true},
		{name: "no network", asked: spec.Namespaces{Net: spec.None}, want: spec.Namespaces{Net: spec.None}, fresh: true},
		{name: "host net", asked: spec.Namespaces{Net: spec.Host}, want: spec.Namespaces{Net: spec.Host, User: spec.Host}},
		{name: "host pid and ipc", asked: spec.Namespaces{PID: spec.Host, IPC: spec.Host}, want: spec.Namespaces{PID: spec.Host, IPC: spec.Host, User: spec.Host}},
		{name: "host user", asked: spec.Namespaces{User: spec.Host}, want: spec.Namespaces{User: spec.Host}},
		{name: "own user, host uts", asked: spec.Namespaces{User: spec.Own, UTS: spec.Host}, want: spec.Namespaces{UTS: spec.Host}, fresh: true},
		{name: "own user, host net", asked: spec.Namespaces{User: spec.Own, Net: spec.Host}, kind: fault.Unsupported, word: "net namespace"},
		{name: "joins a", asked: spec.Namespaces{Net: of("a"), IPC: of("a2")}, want: spec.Namespaces{Net: of("a"), IPC: of("a2"), User: of("a")}, ids: mappingA},
		{name: "joins a, host uts", asked: spec.Namespaces{Net: of("a"), UTS: spec.Host}, want: spec.Namespaces{Net: of("a"), UTS: spec.Host, User: of("a")}, ids: mappingA},
		{name: "joins a, host net", asked: spec.Namespaces{IPC: of("a"), Net: spec.Host}, kind: fault.Unsupported, word: "container a"},
		{name: "joins a with own user", asked: spec.Namespaces{Net: of("a"), User: spec.Own}, kind: fault.Unsupported, word: "foreign user namespace"},
		{name: "joins a from the host's", asked: spec.Namespaces{Net: of("a"), User: spec.Host}, want: spec.Namespaces{Net: of("a"), User: spec.Host}},
		{name: "joins a and b", asked: spec.Namespaces{Net: of("a"), IPC: of("b")}, kind: fault.Unsupported, word: "nobody join both"},
		{name: "joins h", asked: spec.Namespaces{Net: of("h")}, want: spec.Namespaces{Net: of("h"), User: spec.Host}},
		{name: "user of a", asked: spec.Namespaces{User: of("a")}, want: spec.Namespaces{User: of("a")}, ids: mappingA},
		{name: "user of a, net of b", asked: spec.Namespaces{User: of("a"), Net: of("b")}, kind: fault.Unsupported, word: "another user namespace"},
		{name: "user of a, host pid", asked: spec.Namespaces{User: of("a"), PID: spec.Host}, kind: fault.Unsupported, word: "pid namespace"},
		{name: "nobody", asked: spec.Namespaces{Net: of("x")}, kind: fault.NotFound, word: "net namespace"},
		{name: "pod of a pod", asked: spec.Namespaces{Net: spec.OfPod}, kind: fault.Invalid, word: "not possible for a sandbox"},
		{name: "no pid", asked: spec.Namespaces{PID: spec.None}, kind: fault.Invalid, word: "pid"},
		{name: "user none", asked: spec.Namespaces{User: spec.None}, kind: fault.Invalid, word: "user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := planPod(tt.asked, peers)
			if tt.word != "" {
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.word) {
					t.Errorf("error %v, want %v with %q", err, tt.kind, tt.word)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			for _, k := range spec.Kinds() {
				want = want.With(k, want.Mode(k).Or(spec.Own))
			}
			if d := cmp.Diff(want, got.modes); d != "" {
				t.Error(d)
			}
			if got.ids != tt.ids || got.fresh != tt.fresh {
				t.Errorf("ids %v, fresh %v", got.ids, got.fresh)
			}
		})
	}
}

func TestPlanContainer(t *testing.T) {
	of := spec.OfContainer
	own := spec.Namespaces{Net: spec.Own, IPC: spec.Own, UTS: spec.Own, PID: spec.Own, User: spec.Own, Cgroup: spec.Own}
	hostUser := own.With("user", spec.Host)
	for _, tt := range []struct {
		name           string
		asked, sandbox spec.Namespaces
		ids            status.IDMapping
		want           spec.Namespaces // only kinds that are not the pod's
		kind           fault.Kind
		word           string
	}{
		{name: "defaults", sandbox: own, ids: mappingA, want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Own}},
		{name: "shared pid", sandbox: own.With("pid", spec.OfPod), ids: mappingA, want: spec.Namespaces{Cgroup: spec.Own}},
		{name: "pid not shared", asked: spec.Namespaces{PID: spec.OfPod}, sandbox: own, ids: mappingA, kind: fault.Invalid, word: "does not share"},
		{name: "host cgroup of the pod", sandbox: own.With("cgroup", spec.Host), ids: mappingA, want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Host}},
		{name: "own net", asked: spec.Namespaces{Net: spec.Own}, sandbox: own, ids: mappingA, want: spec.Namespaces{Net: spec.Own, PID: spec.Own, Cgroup: spec.Own}},
		{name: "user own is the pod's", asked: spec.Namespaces{User: spec.Own}, sandbox: own, ids: mappingA, want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Own}},
		{name: "user own, pod host", asked: spec.Namespaces{User: spec.Own}, sandbox: hostUser, kind: fault.Unsupported, word: "ask for it at the pod"},
		{name: "user host, pod own", asked: spec.Namespaces{User: spec.Host}, sandbox: own, ids: mappingA, kind: fault.Unsupported, word: "ask for it at the pod"},
		{name: "host net in own user", asked: spec.Namespaces{Net: spec.Host}, sandbox: own, ids: mappingA, kind: fault.Unsupported, word: "net namespace"},
		{name: "host net", asked: spec.Namespaces{Net: spec.Host}, sandbox: hostUser, want: spec.Namespaces{Net: spec.Host, PID: spec.Own, Cgroup: spec.Own}},
		{name: "host net of a host net pod", asked: spec.Namespaces{Net: spec.Host}, sandbox: hostUser.With("net", spec.Host), want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Own}},
		{name: "joins a neighbour", asked: spec.Namespaces{PID: of("a")}, sandbox: own, ids: mappingA, want: spec.Namespaces{PID: of("a"), Cgroup: spec.Own}},
		{name: "joins a stranger", asked: spec.Namespaces{PID: of("b")}, sandbox: own, ids: mappingA, kind: fault.Unsupported, word: "another user namespace"},
		{name: "joins from the host's", asked: spec.Namespaces{UTS: of("b")}, sandbox: hostUser, want: spec.Namespaces{UTS: of("b"), PID: spec.Own, Cgroup: spec.Own}},
		{name: "user of a neighbour", asked: spec.Namespaces{User: of("a2")}, sandbox: own, ids: mappingA, want: spec.Namespaces{PID: spec.Own, Cgroup: spec.Own}},
		{name: "user of a stranger", asked: spec.Namespaces{User: of("b")}, sandbox: hostUser, kind: fault.Unsupported, word: "user namespace"},
		{name: "pid none", asked: spec.Namespaces{PID: spec.None}, sandbox: own, ids: mappingA, kind: fault.Invalid, word: "pid"},
		{name: "nonsense", asked: spec.Namespaces{Net: "x"}, sandbox: own, ids: mappingA, kind: fault.Invalid, word: "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := planContainer(tt.asked, tt.sandbox, tt.ids, peers)
			if tt.word != "" {
				if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.word) {
					t.Errorf("error %v, want %v with %q", err, tt.kind, tt.word)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			for _, k := range spec.Kinds() {
				want = want.With(k, want.Mode(k).Or(spec.OfPod))
			}
			if d := cmp.Diff(want, got.modes); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSysctls(t *testing.T) {
	own := spec.Namespaces{Net: spec.Own, IPC: spec.Own}
	for _, tt := range []struct {
		name, value string
		sandbox     spec.Namespaces
		word        string
	}{
		{"net.ipv4.ip_unprivileged_port_start", "0", own, ""},
		{"kernel.shm_rmid_forced", "1", own, ""},
		{"kernel.sem", "1 2 3 4", own, ""},
		{"fs.mqueue.msg_max", "9", own, ""},
		{"net.core.somaxconn", "1", own.With("net", spec.Host), "does not have a net namespace"},
		{"net.core.somaxconn", "1", own.With("net", spec.OfContainer("x")), "somebody else's"},
		{"kernel.msgmax", "1", own.With("ipc", spec.Host), "does not have a ipc namespace"},
		{"kernel.core_pattern", "|/x", own, "would change the host"},
		{"kernel.shmxyz", "1", own, "would change the host"},
		{"kernel.hostname", "x", own, "hostname"},
		{"net..x", "1", own, "not a sysctl"},
		{"net.ipv4/../../kernel.core_pattern", "1", own, "not a sysctl"},
		{"net.x", "1\n2", own, "new line"},
		{"kernel.shmmax", "1+\x00", own, "NUL"}, // CVE-2022-0532's way: one value smuggles another
	} {
		err := checkSysctls(map[string]string{tt.name: tt.value}, tt.sandbox)
		if (err == nil) != (tt.word == "") || err != nil && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.word)) {
			t.Errorf("%q=%q: %v, want %q", tt.name, tt.value, err, tt.word)
		}
	}
}

func TestEtcFiles(t *testing.T) {
	hosts := hostsFile("web", []string{"10.0.0.2"}, []spec.HostAlias{{IP: "1.2.3.4", Hostnames: []string{"a", "b"}}})
	for _, line := range []string{"127.0.0.1\tlocalhost\n", "10.0.0.2\tweb\n", "1.2.3.4\ta b\n"} {
		if !strings.Contains(hosts, line) {
			t.Errorf("no line %q in %q", line, hosts)
		}
	}
	if h := hostsFile("web", nil, nil); !strings.Contains(h, "127.0.1.1\tweb\n") {
		t.Errorf("%q", h)
	}
	got, err := resolvFile(spec.DNS{Nameservers: []string{"9.9.9.9"}, Searches: []string{"x.org", "y"}, Options: []string{"ndots:5"}})
	if want := "nameserver 9.9.9.9\nsearch x.org y\noptions ndots:5\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []spec.DNS{{Nameservers: []string{"x"}}, {Searches: []string{"a\nnameserver 6.6.6.6"}}, {Options: []string{""}}} {
		if _, err := resolvFile(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	text, ok := reachable("# local\nnameserver 127.0.0.53\nsearch x\n")
	if ok || text != "# local\nsearch x\n" {
		t.Errorf("%q %v", text, ok)
	}
	if _, ok := reachable("nameserver ::1\nnameserver 1.1.1.1\n"); !ok {
		t.Error("a server that is reachable")
	}
	if checkHosts([]spec.HostAlias{{IP: "1.1.1.1", Hostnames: []string{"a\n6.6.6.6 b"}}}) == nil || checkHosts([]spec.HostAlias{{IP: "x"}}) == nil {
		t.Error("a line of somebody else's")
	}
}

func TestImageVolumes(t *testing.T) {
	set := func(paths ...string) map[string]struct{} {
		m := map[string]struct{}{}
		for _, p := range paths {
			m[p] = struct{}{}
		}
		return m
	}
	got, err := imageVolumes(set("/data", "/var/lib/", "/mine"), []spec.Mount{{Type: spec.Bind, Target: "/mine/"}})
	if err != nil || len(got) != 2 || got[0].Target != "/data" || got[1].Target != "/var/lib" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"data", "/", "/../etc", "/a/../..", "/proc", "/sys/fs", "/dev/x", "/a\x00", "", "/a\nb"} {
		if _, err := imageVolumes(set(bad), nil); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var many []string
	for i := range maxImageVolumes + 1 {
		many = append(many, "/v"+strings.Repeat("x", i))
	}
	if _, err := imageVolumes(set(many...), nil); !fault.Is(err, fault.Invalid) {
		t.Error("too many:", err)
	}
}

func TestDifferences(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	u := func(v uint64) *uint64 { return &v }
	modes := spec.Namespaces{Net: spec.OfPod, IPC: spec.OfPod, UTS: spec.OfPod, PID: spec.Own, User: spec.OfPod, Cgroup: spec.Own}
	base := func() (expectation, status.Observed) {
		return expectation{
				world: &specs.Spec{
					Process: &specs.Process{NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_KILL"}}},
					Linux:   &specs.Linux{Seccomp: &specs.LinuxSeccomp{}},
				},
				modes:        modes,
				sandboxModes: spec.Namespaces{Net: spec.Own, IPC: spec.Own, UTS: spec.Own, PID: spec.Own, User: spec.Own},
				sandbox:      map[string]string{"net": "net:[2]", "ipc": "ipc:[2]", "uts": "uts:[2]", "pid": "pid:[1]", "user": "user:[2]"},
				host:         map[string]string{"net": "net:[1]", "ipc": "ipc:[1]", "uts": "uts:[1]", "pid": "pid:[1]", "user": "user:[1]", "cgroup": "cgroup:[1]"},
				resources: &specs.LinuxResources{
					Memory: &specs.LinuxMemory{Limit: n(268435456 + 100), Swap: n(-1)},
					CPU:    &specs.LinuxCPU{Quota: n(50000), Cpus: "0-1", Shares: u(512)},
					Pids:   &specs.LinuxPids{Limit: n(10)},
				},
				mapping: mappingA,
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
		edit func(*expectation, *status.Observed)
		want string
	}{
		{"as asked", func(*expectation, *status.Observed) {}, ""},
		{"memory", func(_ *expectation, o *status.Observed) { o.Resources.Memory.Limit = n(4096) }, "resources.memory.limit: asked 268435556, kernel shows 4096"},
		{"cpu", func(_ *expectation, o *status.Observed) { o.Resources.CPU.Quota = n(-1) }, "resources.cpu.quota: asked 50000/100000, kernel shows -1/50000"},
		{"shares", func(_ *expectation, o *status.Observed) { o.Resources.CPU.Shares = u(1024) }, "cpu.shares"},
		{"cpus", func(_ *expectation, o *status.Observed) { o.Resources.CPU.Cpus = "0" }, "cpu.cpus: asked 0-1"},
		{"pids", func(_ *expectation, o *status.Observed) { o.Resources.Pids.Limit = n(-1) }, "pids.limit"},
		{"unread", func(_ *expectation, o *status.Observed) { *o = status.Observed{NoNewPrivs: true, SeccompMode: 2} }, ""},
		{"net of the host", func(_ *expectation, o *status.Observed) { o.Namespaces["net"] = "net:[1]" }, "namespaces.net: asked pod net:[2], kernel shows net:[1]"},
		{"pid of the host", func(_ *expectation, o *status.Observed) { o.Namespaces["pid"] = "pid:[1]" }, "namespaces.pid: asked own, kernel shows the host's"},
		{"own net is the pod's", func(e *expectation, _ *status.Observed) { e.modes.Net = spec.Own }, "namespaces.net: asked own, kernel shows the pod's"},
		{"host net is not", func(e *expectation, _ *status.Observed) { e.modes.Net = spec.Host }, "namespaces.net: asked host"},
		{"capability more", func(_ *expectation, o *status.Observed) { o.Capabilities["bounding"] = "chown kill sys_admin" }, "capabilities.bounding: kernel shows +SYS_ADMIN"},
		{"capability less", func(_ *expectation, o *status.Observed) { o.Capabilities["bounding"] = "chown" }, "-KILL"},
		{"new privileges", func(_ *expectation, o *status.Observed) { o.NoNewPrivs = false }, "noNewPrivileges"},
		{"seccomp", func(_ *expectation, o *status.Observed) { o.SeccompMode = 0 }, "seccomp: asked a filter, kernel shows mode 0"},
		{"user map", func(_ *expectation, o *status.Observed) { o.UIDMap = "0 0 4294967295" }, "uidMap: asked 0 1048576 65536"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want, seen := base()
			tt.edit(&want, &seen)
			got := differences(want, seen)
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	host := map[string]string{"net": "net:[1]", "ipc": "ipc:[1]"}
	got := podDifferences(spec.Namespaces{Net: spec.Own, IPC: spec.Host}, host, status.Observed{Namespaces: map[string]string{"net": "net:[1]", "ipc": "ipc:[2]"}})
	if len(got) != 2 {
		t.Errorf("%q", got)
	}
	if got := cpuList("3,0-1, x,5-4\n"); !slices.Equal(got, []int{0, 1, 3}) {
		t.Errorf("%v", got)
	}
}

func TestChecks(t *testing.T) {
	negative := -1
	long := 1 << 40
	for name, p := range map[string]spec.Pod{
		"name":        {Name: "a/b"},
		"dash":        {Name: "-a"},
		"namespace":   {Name: "a", Namespace: "../x"},
		"uid":         {Name: "a", UID: "a/b"},
		"hostname":    {Name: "a", Hostname: strings.Repeat("x", 65)},
		"parent":      {Name: "a", CgroupParent: "/a/../.."},
		"relative":    {Name: "a", CgroupParent: "a"},
		"shm":         {Name: "a", ShmSize: -1},
		"stop":        {Name: "a", StopTimeout: &long},
		"long name":   {Name: strings.Repeat("x", 254)},
		"host alias":  {Name: "a", Hosts: []spec.HostAlias{{IP: "x"}}},
		"nameservers": {Name: "a", DNS: &spec.DNS{Nameservers: []string{"x"}}},
	} {
		if err := checkPod(&p); !fault.Is(err, fault.Invalid) {
			t.Errorf("pod %s: %v", name, err)
		}
	}
	good := spec.Pod{Name: "a", StopTimeout: &negative, CgroupParent: "/kubepods.slice/x"}
	if err := checkPod(&good); err != nil || good.Namespace != "default" {
		t.Error(err, good.Namespace)
	}
	if err := checkPod(&spec.Pod{Handler: "runsc"}); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
	for name, c := range map[string]spec.Container{
		"no image":  {},
		"name":      {Image: "i", Name: "a b"},
		"signal":    {Image: "i", StopSignal: "NOPE"},
		"policy":    {Image: "i", Restart: spec.Restart{Policy: "sometimes"}},
		"retries":   {Image: "i", Restart: spec.Restart{Policy: spec.RestartAlways, MaxRetries: 3}},
		"rm":        {Image: "i", AutoRemove: true, Restart: spec.Restart{Policy: spec.RestartAlways}},
		"log":       {Image: "i", LogPath: "x/../y"},
		"cgroup":    {Image: "i", CgroupParent: "/a\n"},
		"hostname":  {Image: "i", Hostname: "a b"},
		"too long":  {Image: "i", StopTimeout: &long},
		"negative":  {Image: "i", Restart: spec.Restart{Policy: spec.RestartOnFailure, MaxRetries: -1}},
		"long host": {Image: "i", Hostname: strings.Repeat("x", 65)},
	} {
		if err := checkContainer(&c); !fault.Is(err, fault.Invalid) {
			t.Errorf("container %s: %v", name, err)
		}
	}
	if h := hostnameOf(strings.Repeat("x", 62) + "-y"); len(h) != 62 {
		t.Errorf("hostname %q", h)
	}
}

func TestGeneratedNames(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		n := freeName(func(n string) bool { return seen[n] })
		if seen[n] || checkName("pod", n) != nil {
			t.Fatalf("name %q", n)
		}
		seen[n] = true
	}
	if n := suggestName(9, newID()); len(strings.Split(n, "-")) != 3 {
		t.Errorf("name %q", n)
	}
}
