package sample

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/recorded"
)

var ids = strings.NewReplacer("$D", strings.Repeat("d", 64), "$A", strings.Repeat("a", 64), "$B", strings.Repeat("b", 64), "$C", strings.Repeat("c", 64))

// table is a pod of carob with two containers of which one is stopped, a container of
// Docker in the host's network, and an unshared shell.
const table = `
1 0 0 1 / /sbin/init
  mountinfo: $MOUNTS
  net/dev: eth0: 7000 1 0 0 0 0 0 0 8000 1 0 0 0 0 0 0\nveth1: 100 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n
30 1 100000 30 / carob-pod dddddddddddd
  mnt=15 uts=16 ipc=17 net=14 user=13
  fd/2: -> /run/carob/pods/$D/supervisor.log
  net/dev: lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\neth0: 1000 1 0 0 0 0 0 0 2000 1 0 0 0 0 0 0\n
  stat: 30 (carob-pod) S 1 30 30 0 -1 0 0 0 0 0 3 4 0 0 20 0 1 0 30 0 0
  io: read_bytes: 4096\nwrite_bytes: 0\n
31 30 100000 31,1 /carob/$D/$A httpd
  mnt=19 pid=20 uts=16 ipc=17 net=14 user=13
32 30 100000 32,1 /carob/$D/$B sleep 9
  mnt=21 pid=22 uts=16 ipc=17 net=14 user=13
  stat: 32 (sleep) T 30 32 32 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 32 0 0
  status: Name:\tsleep\nState:\tT (stopped)\nPid:\t32\nPPid:\t30\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nThreads:\t1\n
50 1 0 50,1 /docker/$C nginx
  mnt=51 pid=52 uts=53 ipc=54
70 1 0 70 / unshared
  mnt=71 net=72
`

// host writes the table with files of cgroups below a root.
func host(t *testing.T, mountinfo string, files map[string]string) string {
	t.Helper()
	text := strings.NewReplacer("$MOUNTS", mountinfo, `\t`, "\t").Replace(ids.Replace(table))
	processes, err := recorded.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := recorded.Write(root, processes); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		file := filepath.Join(root, ids.Replace(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(ids.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const mountsV2 = `20 1 8:1 / / rw - ext4 /dev/sda rw\n30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw`

// filesV2 are the groups of the table on a host with cgroup v2.
func filesV2() map[string]string {
	const cg, state = "sys/fs/cgroup", "run/carob/state"
	return map[string]string{
		cg + "/cgroup.controllers":            "memory cpu pids io\n",
		cg + "/carob/$D/cpu.stat":             "usage_usec 9000\nnr_periods 40\nnr_throttled 10\nthrottled_usec 5\n",
		cg + "/carob/$D/memory.stat":          "inactive_file 1000\n",
		cg + "/carob/$D/memory.current":       "9000\n",
		cg + "/carob/$D/memory.max":           "402653184\n",
		cg + "/carob/$D/pids.current":         "7\n",
		cg + "/carob/$D/$A/cpu.stat":          "usage_usec 5000\nnr_periods 20\nnr_throttled 5\nthrottled_usec 5\n",
		cg + "/carob/$D/$A/cpu.max":           "30000 100000\n",
		cg + "/carob/$D/$A/cpu.pressure":      "some avg10=12.50 avg60=1.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		cg + "/carob/$D/$A/memory.stat":       "inactive_file 500\n",
		cg + "/carob/$D/$A/memory.current":    "4000\n",
		cg + "/carob/$D/$A/memory.max":        "268435456\n",
		cg + "/carob/$D/$A/pids.current":      "3\n",
		cg + "/carob/$D/$A/pids.max":          "64\n",
		cg + "/carob/$D/$A/io.stat":           "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=1 wios=2\n",
		cg + "/carob/$D/$B/cgroup.events":     "populated 1\nfrozen 0\n",
		cg + "/docker/$C/cgroup.events":       "populated 1\nfrozen 1\n",
		state + "/pod/$D.json":                `{"status":{"id":"$D","name":"foo","namespace":"default"}}`,
		state + "/container/$A.json":          `{"status":{"id":"$A","name":"app","podID":"$D"}}`,
		state + "/container/$B.json":          `{"status":{"id":"$B","name":"sidecar","podID":"$D"}}`,
		"proc/stat":                           "cpu  10 0 0 90 0 0 0 0 0 0\ncpu0 10 0 0 90 0 0 0 0 0 0\n",
		"proc/meminfo":                        "MemTotal: 1000 kB\nMemAvailable: 400 kB\n",
		"proc/loadavg":                        "0.10 0.20 0.30 1/100 4242\n",
		"proc/sys/kernel/hostname":            "box\n",
		"proc/pressure/memory":                "some avg10=3.00 avg60=1.00 avg300=0.00 total=5\n",
		"sys/devices/virtual/net/veth1/flags": "0x1003\n",
	}
}

func read(t *testing.T, root string) (*Sample, *Reader) {
	t.Helper()
	r, err := New(root, []string{"/run/carob"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// thing finds a thing by name and kind.
func (s *Sample) thing(t *testing.T, kind, name string) Thing {
	t.Helper()
	for _, th := range s.Things {
		if th.Kind == kind && th.Name == name {
			return th
		}
	}
	t.Fatalf("no %s %s in %+v", kind, name, s.Things)
	return Thing{}
}

func to[T any](v T) *T { return &v }

func TestReadV2(t *testing.T) {
	s, _ := read(t, host(t, mountsV2, filesV2()))
	app := s.thing(t, look.ClassContainer, "app")
	want := Use{
		From: ids.Replace("/carob/$D/$A"), CPU: to(uint64(5_000_000)), Quota: to(0.3), Periods: 20, Throttled: 5,
		Memory: to(uint64(3500)), Limit: to(uint64(268435456)), Read: to(uint64(101)), Written: to(uint64(202)),
		Pids: to(uint64(3)), PidsLimit: to(uint64(64)), Pressure: &group.Pressure{CPU: &group.Stall{Some10: 12.5, Some60: 1}},
	}
	if d := cmp.Diff(want, app.Use); d != "" {
		t.Errorf("app (-want +got):\n%s", d)
	}
	pod := s.thing(t, ThingPod, "foo")
	if pod.Key != app.Pod || pod.Engine != look.Carob || pod.PID != 30 || *pod.Use.Memory != 8000 || *pod.Use.Pids != 7 || pod.Processes != 3 {
		t.Errorf("pod: %+v", pod)
	}
	// A sandbox has no group of its own: its processes say what they know.
	sandbox := s.thing(t, look.ClassSandbox, "sandbox")
	if u := sandbox.Use; u.From != "" || *u.CPU != 70_000_000 || *u.Read != 4096 || *u.Written != 0 || u.Limit != nil {
		t.Errorf("sandbox: %+v", u)
	}
	for name, state := range map[string]string{"app": Running, "sidecar": Stopped, "cccccccccccc": Paused} {
		if got := s.thing(t, look.ClassContainer, name).State; got != state {
			t.Errorf("%s is %s, want %s", name, got, state)
		}
	}
	shell := s.thing(t, look.ClassGroup, "unshared:70")
	if shell.Key != "group:70@70" || shell.Pod != "" {
		t.Errorf("group: %+v", shell)
	}
	if got := s.Nets[14]; got != (Net{1000, 2000}) {
		t.Errorf("the pod's network: %v", got)
	}
	if got := s.Nets[s.Machine.NS[look.Net]]; got != (Net{7000, 8000}) {
		t.Errorf("the host's network, veth1 counted too: %v", got)
	}
	m := s.Machine
	m.NS = look.NS{}
	if d := cmp.Diff(Machine{
		Name: "box", CPUs: 1, Busy: 10, Total: 100, Memory: 1000 << 10, Available: 400 << 10, Load: "0.10 0.20 0.30", Processes: 6,
		Pressure: group.Pressure{Memory: &group.Stall{Some10: 3, Some60: 1}},
	}, m); d != "" {
		t.Errorf("machine (-want +got):\n%s", d)
	}
}

// TestReadHybrid has the container's groups in v1 and leaves everybody in the root of
// v2: what that one counts is not the container's.
func TestReadHybrid(t *testing.T) {
	mounts := `20 1 8:1 / / rw - ext4 /dev/sda rw\n` +
		`30 20 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 20 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n` +
		`32 20 0:28 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n33 20 0:29 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n` +
		`34 20 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`
	root := host(t, mounts, map[string]string{
		"sys/fs/cgroup/unified/cpu.pressure":                   "some avg10=80.00 avg60=1.00 avg300=0.00 total=5\n",
		"sys/fs/cgroup/memory/docker/$C/memory.usage_in_bytes": "9000\n",
		"sys/fs/cgroup/memory/docker/$C/memory.limit_in_bytes": "10000\n",
		"sys/fs/cgroup/memory/docker/$C/memory.stat":           "total_inactive_file 2000\n",
		"sys/fs/cgroup/cpu/docker/$C/cpu.stat":                 "nr_periods 4\nnr_throttled 1\nthrottled_time 7\n",
		"sys/fs/cgroup/cpu/docker/$C/cpu.cfs_quota_us":         "50000\n",
		"sys/fs/cgroup/cpu/docker/$C/cpu.cfs_period_us":        "100000\n",
		"sys/fs/cgroup/cpuacct/docker/$C/cpuacct.usage":        "123456\n",
		"sys/fs/cgroup/freezer/docker/$C/freezer.state":        "FROZEN\n",
		"sys/devices/virtual/net/veth1/flags":                  "0x1003\n",
	})
	group := ids.Replace("/docker/$C")
	file := filepath.Join(root, "proc/50/cgroup")
	if err := os.WriteFile(file, []byte("4:freezer:"+group+"\n3:cpuacct:"+group+"\n2:cpu:"+group+"\n1:memory:"+group+"\n0::/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, _ := read(t, root)
	c := s.thing(t, look.ClassContainer, "cccccccccccc")
	if d := cmp.Diff(Use{
		From: group, CPU: to(uint64(123456)), Quota: to(0.5), Periods: 4, Throttled: 1, Memory: to(uint64(7000)), Limit: to(uint64(10000)),
	}, c.Use); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if c.State != Paused || c.Engine != look.Docker {
		t.Errorf("%s of %s", c.State, c.Engine)
	}
}

func TestDetails(t *testing.T) {
	s, r := read(t, host(t, mountsV2, filesV2()))
	app := s.thing(t, look.ClassContainer, "app")
	d := r.Details(app.Key)
	if d.Name != "foo/app" || d.Engine != look.Carob || d.PID != 31 || d.Command != "httpd" || d.Gone {
		t.Errorf("app: %+v", d)
	}
	if got := strings.Join(d.Limits, "\n"); !strings.Contains(got, "memory: 256MiB, set by its own group") {
		t.Errorf("limits: %s", got)
	}
	for _, n := range d.Namespaces {
		if n.Kind == look.Net && (n.Inode != 14 || n.Host || !strings.Contains(strings.Join(n.With, " "), "foo/sidecar")) {
			t.Errorf("net: %+v", n)
		}
		if n.Kind == look.Time && !n.Host {
			t.Errorf("time: %+v", n)
		}
	}
	if got := strings.Join(d.Processes, "\n"); !strings.Contains(got, "httpd") || strings.Contains(got, "sleep") {
		t.Errorf("processes: %s", got)
	}
	if len(d.Findings) == 0 || d.Needs == "" {
		t.Errorf("security: %+v, %q", d.Findings, d.Needs)
	}
	pod := r.Details(app.Pod)
	of := map[string]bool{}
	for i, f := range pod.Findings {
		of[f.Of] = true
		if i > 0 && f.Severity > pod.Findings[i-1].Severity {
			t.Errorf("%v stands below %v", f, pod.Findings[i-1])
		}
	}
	if pod.Is != look.ThingPod || !of["foo/app"] || !of["foo/sidecar"] {
		t.Errorf("pod: %s, findings of %v", pod.Is, of)
	}
	if d := r.Details("container:none"); !d.Gone {
		t.Errorf("of nothing: %+v", d)
	}
}

func TestDetailsBeforeRead(t *testing.T) {
	r, err := New(host(t, mountsV2, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Details("container:x"); !d.Gone {
		t.Errorf("%+v", d)
	}
}

// TestNoCgroups reads a host on which no cgroups are mounted.
func TestNoCgroups(t *testing.T) {
	s, _ := read(t, host(t, `20 1 8:1 / / rw - ext4 /dev/sda rw`, nil))
	if u := s.thing(t, look.ClassContainer, "cccccccccccc").Use; u.From != "" || u.Memory == nil {
		t.Errorf("%+v", u)
	}
}

func TestCancelled(t *testing.T) {
	r, err := New(host(t, mountsV2, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNoProc(t *testing.T) {
	if _, err := New(t.TempDir(), nil); err == nil {
		t.Error("no error without proc")
	}
}
