package group

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/look/ink"
)

var (
	pod     = strings.Repeat("d", 64)
	app     = strings.Repeat("a", 64)
	sidecar = strings.Repeat("b", 64)
)

// record writes files below a directory of its own; $P, $A and $S stand for a pod, its
// app and its sidecar.
func record(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	names := strings.NewReplacer("$P", pod, "$A", app, "$S", sidecar)
	for name, text := range files {
		file := filepath.Join(root, names.Replace(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(names.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func open(t *testing.T, root string) *Host {
	t.Helper()
	h, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// v2 is a host with the unified hierarchy and the article's pod: 256 MiB for the app,
// 128 MiB for the sidecar, 300 MiB and half a CPU for the pod.
func v2() map[string]string {
	const c = "sys/fs/cgroup"
	return map[string]string{
		"proc/self/mountinfo":                    "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
		"proc/meminfo":                           "MemTotal:        4000000 kB\nMemFree: 1 kB\n",
		"proc/sys/kernel/pid_max":                "4194304\n",
		"sys/devices/system/cpu/online":          "0-3\n",
		c + "/cgroup.controllers":                "cpuset cpu io memory pids\n",
		c + "/cgroup.procs":                      "1\n2\n0\n",
		c + "/memory.stat":                       "anon 1000\nfile 2000\nkernel 24\n",
		c + "/cpu.stat":                          "usage_usec 9000000\n",
		c + "/cpuset.cpus.effective":             "0-3\n",
		c + "/cpuset.mems.effective":             "0\n",
		c + "/carob/cgroup.procs":                "",
		c + "/carob/cpuset.cpus.effective":       "0-3\n",
		c + "/carob/$P/cgroup.procs":             "",
		c + "/carob/$P/memory.max":               "314572800\n",
		c + "/carob/$P/memory.current":           "209715200\n",
		c + "/carob/$P/memory.stat":              "anon 1\ninactive_file 104857600\n",
		c + "/carob/$P/memory.events":            "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\n",
		c + "/carob/$P/memory.swap.max":          "0\n",
		c + "/carob/$P/memory.swap.current":      "0\n",
		c + "/carob/$P/memory.high":              "293601280\n",
		c + "/carob/$P/cpu.max":                  "50000 100000\n",
		c + "/carob/$P/cpu.weight":               "100\n",
		c + "/carob/$P/cpu.stat":                 "usage_usec 2000000\nnr_periods 200\nnr_throttled 50\nthrottled_usec 1500000\n",
		c + "/carob/$P/cpu.pressure":             "some avg10=12.50 avg60=3.00 avg300=1.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		c + "/carob/$P/memory.pressure":          "some avg10=0.10 avg60=0.00 avg300=0.00 total=9\n",
		c + "/carob/$P/cgroup.events":            "populated 1\nfrozen 0\n",
		c + "/carob/$P/cpuset.cpus.effective":    "0-1\n",
		c + "/carob/$P/cpuset.mems.effective":    "0\n",
		c + "/carob/$P/pids.current":             "3\n",
		c + "/carob/$P/pids.max":                 "max\n",
		c + "/carob/$P/$A/cgroup.procs":          "31\n33\n",
		c + "/carob/$P/$A/memory.max":            "268435456\n",
		c + "/carob/$P/$A/memory.current":        "167772160\n",
		c + "/carob/$P/$A/memory.stat":           "anon 5\n",
		c + "/carob/$P/$A/cpu.max":               "max 100000\n",
		c + "/carob/$P/$A/cpu.stat":              "usage_usec 1500000\n",
		c + "/carob/$P/$A/pids.current":          "2\n",
		c + "/carob/$P/$A/pids.max":              "100\n",
		c + "/carob/$P/$A/pids.events":           "max 4\n",
		c + "/carob/$P/$A/io.stat":               "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2\n254:0 rbytes=1 wbytes=2\n",
		c + "/carob/$P/$A/cpuset.cpus.effective": "0-1\n",
		c + "/carob/$P/$S/cgroup.procs":          "32\n",
		c + "/carob/$P/$S/memory.max":            "536870912\n",
		c + "/carob/$P/$S/memory.current":        "1048576\n",
		c + "/carob/$P/$S/memory.stat":           "anon 5\n",
		c + "/carob/$P/$S/cgroup.events":         "populated 1\nfrozen 1\n",
		c + "/empty/cgroup.procs":                "",
		c + "/empty/below/cgroup.procs":          "",
		"proc/1/cmdline":                         "/sbin/init\x00",
		"proc/2/cmdline":                         "",
		"proc/2/stat":                            "2 (kthreadd) S 0 0\n",
		"proc/31/cmdline":                        "gunicorn\x00httpbin:app\x00",
		"proc/31/cgroup":                         "0::/carob/$P/$A\n",
		"proc/32/cmdline":                        "sleep\x003650d\x00",
		"proc/32/cgroup":                         "0::/carob/$P/$S\n",
		"proc/33/cmdline":                        "evil\x1b[2J\x00name\x00",
	}
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name, mountinfo string
		mode            Mode
		controllers     string
	}{
		{"v2", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", V2, ""},
		{"v1", "30 1 0:26 / /c/mem rw - cgroup cgroup rw,memory\n31 1 0:27 / /c/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
			"32 1 0:28 / /c/cpuset rw - cgroup cgroup rw,noprefix,cpuset,clone_children,release_agent=/x\n", V1, "memory|cpu cpuacct|cpuset"},
		{"hybrid", "30 1 0:26 / /c/mem rw - cgroup cgroup rw,memory\n31 1 0:27 / /c/systemd rw - cgroup cgroup rw,xattr,name=systemd\n" +
			"32 1 0:28 / /c/unified rw - cgroup2 cgroup2 rw\n33 1 0:26 / /again rw - cgroup cgroup rw,memory\n", Hybrid, "memory|name=systemd|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t, record(t, map[string]string{"proc/1/mountinfo": c.mountinfo}))
			var lists []string
			for _, tree := range h.Hierarchies {
				lists = append(lists, strings.Join(tree.Controllers, " "))
			}
			if got := strings.Join(lists, "|"); h.Mode != c.mode || got != c.controllers {
				t.Errorf("%s with %q, want %s with %q", h.Mode, got, c.mode, c.controllers)
			}
		})
	}
	if _, err := Open(record(t, map[string]string{"proc/self/mountinfo": "30 1 0:26 / / rw - ext4 a rw\n"})); !fault.Is(err, fault.Unsupported) {
		t.Errorf("no cgroups: %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("no proc: no error")
	}
}

func TestTreeV2(t *testing.T) {
	h := open(t, record(t, v2()))
	top, err := h.Tree(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	if top.Memory.Usage != 3024 || top.Memory.Limit != nil || top.Pids != nil {
		t.Errorf("the root: %+v %+v: want its use from memory.stat", top.Memory, top.Pids)
	}
	p := top.Children[0].Children[0]
	if p.Path != "/carob/"+pod || p.What != "carob pod dddddddddddd" || p.ID != pod {
		t.Errorf("%s is %q", p.Path, p.What)
	}
	m := p.Memory
	if *m.Limit != 300<<20 || m.Usage != 200<<20 || m.WorkingSet != 100<<20 || m.OOMKills != 2 || m.AtLimit != 7 || *m.SwapLimit != 0 || *m.High != 280<<20 {
		t.Errorf("memory %+v", m)
	}
	if c := p.CPU; *c.Quota != 0.5 || c.Usage != 2e9 || c.Periods != 200 || c.ThrottledPeriods != 50 || c.Throttled != 15e8 || c.Weight != 100 {
		t.Errorf("cpu %+v", c)
	}
	if p.Pressure.CPU.Some10 != 12.5 || p.Pressure.Memory.Some10 != 0.1 || p.Pressure.IO != nil {
		t.Errorf("pressure %+v", p.Pressure)
	}
	a, s := p.Children[0], p.Children[1]
	if !s.Frozen || a.Frozen {
		t.Error("want the sidecar frozen and the app not")
	}
	if a.IO.Read != 4097 || a.IO.Written != 8194 || *a.Pids.Limit != 100 || a.Pids.Refused != 4 || a.CPU.Quota != nil {
		t.Errorf("app: %+v %+v %+v", a.IO, a.Pids, a.CPU)
	}
	want := []Process{{31, "gunicorn httpbin:app", false}, {33, "evil\x1b[2J name", false}}
	if d := cmp.Diff(want, a.Processes); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Process{{1, "/sbin/init", false}, {2, "[kthreadd]", true}}, top.Processes); d != "" {
		t.Error(d)
	}
	if b, err := json.Marshal(top); err != nil || !bytes.Contains(b, []byte(`"throttledPeriods":50`)) {
		t.Errorf("%v: %s", err, b)
	}
}

func TestTreeOf(t *testing.T) {
	h := open(t, record(t, v2()))
	g, err := h.Tree(t.Context(), "/carob/"+pod+"/"+app)
	if err != nil || g.Path != "/carob/"+pod+"/"+app || len(g.Processes) != 2 || len(g.Children) != 0 {
		t.Errorf("%+v, %v", g, err)
	}
	if _, err := h.Tree(t.Context(), "/nowhere"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such group: %v", err)
	}
	if _, err := h.Group("../../etc"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a path out of the tree: %v", err)
	}
}

func TestText(t *testing.T) {
	h := open(t, record(t, v2()))
	g, err := h.Tree(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	g.Call(map[string]string{app: "foo/app", "": "nobody"})
	var b strings.Builder
	if err := g.Text(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	want := `GROUP                               MEMORY            CPU                   TASKS     NOTES
/                                   2.953KiB          9s
├─1 /sbin/init
├─(1 thread of the kernel)
└─carob
  └─carob pod dddddddddddd          200MiB of 300MiB  2s, at most 0.5 CPUs  3         2 killed for want of memory, met its memory limit 7 times, slowed above 280MiB, throttled in 25% of periods, 1.5s in all, on CPUs 0-1, waited for CPU 12.5% of 10s
    ├─foo/app                       160MiB of 256MiB  1.5s                  2 of 100  4 forks refused
    │ ├─31 gunicorn httpbin:app
    │ └─33 evil?[2J name
    └─carob container bbbbbbbbbbbb  1MiB of 512MiB                                    frozen
      └─32 sleep 3650d
2 groups without processes not shown (--all)
`
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(b.String(), "\n")); d != "" {
		t.Error(d)
	}
	b.Reset()
	if err := g.Text(&b, TextOptions{All: true, Full: true}); err != nil {
		t.Fatal(err)
	}
	var colour strings.Builder
	if err := g.Text(&colour, TextOptions{Pen: ink.Pen{Colour: true}}); err != nil || !strings.Contains(colour.String(), "\x1b[33m4 forks refused\x1b[0m") ||
		strings.Contains(colour.String(), "\x1b[2J") {
		t.Errorf("%v: %q", err, colour.String())
	}
	for _, part := range []string{"\n└─empty\n", "  └─below\n", "2 [kthreadd]", app + " (foo/app)"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("all of it lacks %q:\n%s", part, b.String())
		}
	}
}

// v1 is a host with one hierarchy per controller and v2 beside them without any; the
// app is in a group of the memory hierarchy only.
func v1() map[string]string {
	files := map[string]string{
		"proc/self/mountinfo": "30 1 0:26 / /c/memory rw - cgroup cgroup rw,memory\n31 1 0:27 / /c/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
			"32 1 0:28 / /c/pids rw - cgroup cgroup rw,pids\n33 1 0:29 / /c/unified rw - cgroup2 cgroup2 rw\n" +
			"34 1 0:30 / /c/freezer rw - cgroup cgroup rw,freezer\n35 1 0:31 / /c/blkio rw - cgroup cgroup rw,blkio\n36 1 0:32 / /c/cpuset rw - cgroup cgroup rw,cpuset\n",
		"c/unified/cgroup.controllers": "",
		"proc/31/cgroup":               "5:cpu,cpuacct:/docker/$A\n4:memory:/docker/$A\n3:pids:/docker/$A\n0::/\n",
		"proc/31/cmdline":              "nginx\x00",
		"proc/7/cgroup":                "5:cpu,cpuacct:/\n4:memory:/only\n3:pids:/\n0::/\n",
		"proc/7/stat":                  "7 (a) b) S 1 1\n",
	}
	for _, tree := range []string{"memory", "cpu", "pids", "unified", "freezer", "blkio", "cpuset"} {
		files["c/"+tree+"/cgroup.procs"] = "7\n"
	}
	for _, tree := range []string{"memory", "cpu", "pids", "freezer", "blkio", "cpuset"} {
		files["c/"+tree+"/docker/cgroup.procs"] = ""
		files["c/"+tree+"/docker/$A/cgroup.procs"] = "31\n"
	}
	const m, c = "c/memory/docker/$A/memory.", "c/cpu/docker/$A/cpu"
	for name, text := range map[string]string{
		"c/memory/only/cgroup.procs": "7\n", "c/memory/memory.limit_in_bytes": "9223372036854771712\n",
		"c/memory/docker/memory.limit_in_bytes": "268435456\n", "c/memory/docker/memory.usage_in_bytes": "201326592\n",
		m + "limit_in_bytes": "536870912\n", m + "memsw.limit_in_bytes": "1073741824\n", m + "usage_in_bytes": "104857600\n",
		m + "stat": "cache 1\ntotal_swap 4096\ntotal_inactive_file 52428800\n", m + "failcnt": "9\n",
		m + "oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", m + "max_usage_in_bytes": "524288000\n",
		c + ".cfs_quota_us": "50000\n", c + ".cfs_period_us": "100000\n", c + "acct.usage": "3000000000\n", c + ".shares": "1024\n",
		c + ".stat": "nr_periods 10\nnr_throttled 5\nthrottled_time 2000000000\n", "c/cpu/cpu.cfs_quota_us": "-1\n", "c/cpu/cpu.cfs_period_us": "100000\n",
		"c/pids/docker/$A/pids.current": "3\n", "c/pids/docker/$A/pids.max": "max\n",
		"c/freezer/docker/$A/freezer.state":                           "FROZEN\n",
		"c/blkio/docker/$A/blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\nTotal 4608\n",
		"c/cpuset/cpuset.effective_cpus":                              "0-3\n",
		"c/cpuset/docker/cpuset.effective_cpus":                       "0-3\n",
		"c/cpuset/docker/$A/cpuset.effective_cpus":                    "1\n",
		"c/cpuset/docker/$A/cpuset.cpus":                              "1\n",
	} {
		files[name] = text
	}
	return files
}

func find(g *Group, p string) *Group {
	if g.Path == p {
		return g
	}
	for _, c := range g.Children {
		if f := find(c, p); f != nil {
			return f
		}
	}
	return nil
}

func TestTreeV1(t *testing.T) {
	h := open(t, record(t, v1()))
	top, err := h.Tree(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	g := find(top, "/docker/"+app)
	m := g.Memory
	if *m.Limit != 512<<20 || *m.SwapLimit != 512<<20 || m.WorkingSet != 50<<20 || m.Swap != 4096 || m.OOMKills != 1 || m.AtLimit != 9 || m.Peak != 500<<20 {
		t.Errorf("memory %+v", m)
	}
	if c := g.CPU; *c.Quota != 0.5 || c.Usage != 3e9 || c.Shares != 1024 || c.Throttled != 2e9 {
		t.Errorf("cpu %+v", c)
	}
	if !g.Frozen || g.IO.Read != 4096 || g.IO.Written != 512 || g.Pids.Current != 3 || g.What != "docker container aaaaaaaaaaaa" {
		t.Errorf("%+v", g)
	}
	if len(g.Only) > 0 {
		t.Errorf("only in %v: it is in all that count", g.Only)
	}
	if notes := strings.Join(g.Notes(), ", "); !strings.Contains(notes, "throttled in 50% of periods, 2s in all") || !strings.Contains(notes, "on CPUs 1") {
		t.Errorf("notes: %s", notes)
	}
	only := find(top, "/only")
	if !slices.Equal(only.Only, []string{"memory"}) || len(only.Processes) != 1 || only.Processes[0].Command != "[a) b]" {
		t.Errorf("%+v", only)
	}
	if len(top.Processes) != 0 {
		t.Errorf("%+v: a process is listed in its deepest group", top.Processes)
	}
}

func bound(t *testing.T, h *Host, th Thing, resource string) Bound {
	t.Helper()
	for _, b := range h.Limits(th) {
		if b.Resource == resource {
			return b
		}
	}
	t.Fatalf("no bound of %s", resource)
	return Bound{}
}

func TestLimits(t *testing.T) {
	two, one := open(t, record(t, v2())), open(t, record(t, v1()))
	for _, c := range []struct {
		name     string
		h        *Host
		pid      int
		resource string
		setBy    string
		amount   float64
		left     uint64
		leftIn   string
		says     string
	}{
		{"its own limit is the tightest", two, 31, "memory", "/carob/$P/$A", 256 << 20, 96 << 20, "/carob/$P/$A",
			"memory: 256MiB, set by its own group /carob/$P/$A; the 300MiB of /carob/$P above is wider; 96MiB left"},
		{"the pod's limit is tighter", two, 32, "memory", "/carob/$P", 300 << 20, 100 << 20, "/carob/$P",
			"memory: 300MiB, set by /carob/$P above it; its own 512MiB is wider; 100MiB left"},
		{"cpu from above", two, 31, "cpu", "/carob/$P", 0.5, 0, "", "cpu: 0.5 CPUs, set by /carob/$P above it"},
		{"tasks", two, 31, "pids", "/carob/$P/$A", 100, 98, "/carob/$P/$A", "pids: 100 tasks, set by its own group /carob/$P/$A; 98 left"},
		{"no limit", two, 32, "pids", "", 0, 0, "", "pids: no limit on the way up; the kernel allows 4194304 at once"},
		{"no swap", two, 31, "swap", "/carob/$P", 0, 0, "/carob/$P", "swap: 0B, set by /carob/$P above it; 0B left"},
		{"slowed", two, 31, "memory, slowed", "/carob/$P", 280 << 20, 80 << 20, "/carob/$P", "memory, slowed: 280MiB, set by /carob/$P above it; 80MiB left"},
		{"cpus", two, 31, "cpus", "/carob/$P", 2, 0, "", "cpus: 0-1, set by /carob/$P above it; the 0-3 of /carob above is wider"},
		{"v1: the parent's limit is tighter and its use is others' too", one, 31, "memory", "/docker", 256 << 20, 64 << 20, "/docker",
			"memory: 256MiB, set by /docker above it; its own 512MiB is wider; 64MiB left"},
		{"v1: cpu", one, 31, "cpu", "/docker/$A", 0.5, 0, "", "cpu: 0.5 CPUs, set by its own group /docker/$A"},
		{"v1: memory and swap", one, 31, "memory+swap", "/docker/$A", 1 << 30, 0, "", "memory+swap: 1GiB, set by its own group /docker/$A"},
		{"v1: elsewhere", one, 7, "memory", "", 0, 0, "", "memory: no limit on the way up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			names := strings.NewReplacer("$P", pod, "$A", app, "$S", sidecar)
			th, err := c.h.Process(c.pid)
			if err != nil {
				t.Fatal(err)
			}
			b := bound(t, c.h, th, c.resource)
			if b.SetBy != names.Replace(c.setBy) || b.Amount != c.amount || b.LeftIn != names.Replace(c.leftIn) {
				t.Errorf("%+v", b)
			}
			if c.leftIn != "" && (b.Left == nil || *b.Left != c.left) {
				t.Errorf("left %v, want %d", b.Left, c.left)
			}
			if got, want := b.String(), names.Replace(c.says); got != want {
				t.Errorf("\n got %s\nwant %s", got, want)
			}
			if b.SetBy != "" {
				if _, err := os.Stat(c.h.root + b.File); err != nil {
					t.Errorf("the evidence: %v", err)
				}
			}
		})
	}
}

func TestLimitsOfNothing(t *testing.T) {
	h := open(t, record(t, v2()))
	if _, err := h.Process(4711); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
	b := bound(t, h, Thing{Name: "outside", Paths: []string{""}}, "memory")
	if got := b.String(); got != "memory: not in a hierarchy of this controller" {
		t.Error(got)
	}
}

// TestBelow reads from inside a container, where the mount shows a part of the tree.
func TestBelow(t *testing.T) {
	tree := Hierarchy{Dir: "/sys/fs/cgroup", Base: "/docker/x"}
	for p, want := range map[string]string{"/docker/x": "/", "/docker/x/a": "/a", "/docker/xy": "", "/": "", "/../y": ""} {
		if got := tree.below(p); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}
