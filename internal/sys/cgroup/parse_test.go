package cgroup

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	plan "carob/internal/plan/cgroup"
)

const (
	hybridMounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw shared:3 - cgroup cgroup rw,memory
36 31 0:32 / /mnt/with\040blank rw - cgroup cgroup rw,memory
38 31 0:35 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`
	v2Mounts = `41 31 0:38 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate
`
)

func TestLayout(t *testing.T) {
	tests := map[string]struct {
		mounts, v2 string
		mode       Mode
		host       plan.Host
		track      string
		trees      int
	}{
		"hybrid, bare unified": {hybridMounts, "", ModeHybrid, plan.Host{"cpu": plan.V1, "cpuacct": plan.V1, "cpuset": plan.V1,
			"memory": plan.V1, "io": plan.V1}, "/sys/fs/cgroup/systemd", 5},
		"hybrid, only hugetlb in unified": {hybridMounts, "hugetlb misc", ModeHybrid, plan.Host{"cpu": plan.V1, "cpuacct": plan.V1, "cpuset": plan.V1,
			"memory": plan.V1, "io": plan.V1}, "/sys/fs/cgroup/systemd", 5},
		"hybrid, pids in unified": {hybridMounts, "pids", ModeHybrid, plan.Host{"cpu": plan.V1, "cpuacct": plan.V1, "cpuset": plan.V1,
			"memory": plan.V1, "io": plan.V1, "pids": plan.V2, "devices": plan.V2}, "/sys/fs/cgroup/unified", 6},
		"v2":                     {v2Mounts, "cpu memory", ModeV2, plan.Host{"cpu": plan.V2, "memory": plan.V2, "devices": plan.V2}, "/sys/fs/cgroup", 1},
		"v2 without controllers": {v2Mounts, "", ModeV2, plan.Host{"devices": plan.V2}, "/sys/fs/cgroup", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			mounts, err := parseMounts(strings.NewReader(tt.mounts))
			if err != nil {
				t.Fatal(err)
			}
			l, err := newLayout(mounts, func(string) ([]string, error) { return strings.Fields(tt.v2), nil })
			if err != nil {
				t.Fatal(err)
			}
			if l.Mode() != tt.mode || l.trees[l.trackTree].dir != tt.track || len(l.trees) != tt.trees {
				t.Errorf("mode %s, tracking %s, trees %+v", l.Mode(), l.trees[l.trackTree].dir, l.trees)
			}
			if d := cmp.Diff(tt.host, l.host); d != "" {
				t.Error(d)
			}
		})
	}
	if _, err := newLayout(nil, nil); err == nil {
		t.Error("a host without cgroups has a layout")
	}
}

func TestCheckPath(t *testing.T) {
	good := []string{"/a", "/pod-foo/c1", "/kubepods.slice/x"}
	bad := []string{"", "a", "/", "/a/", "//a", "/a/../b", "/..", "/./a", "/a\nb", "/a\x00b", "/cgroup.procs", "/a/cgroup.x",
		"/" + strings.Repeat("x", 256), strings.Repeat("/xx", 1000)}
	for _, p := range good {
		if err := check(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range bad {
		if err := check(p); err == nil {
			t.Errorf("%q is taken", p)
		}
	}
}

func TestParseNumber(t *testing.T) {
	for in, want := range map[string]uint64{"0\n": 0, "4096\n": 4096, "max\n": math.MaxUint64, "-1": math.MaxUint64,
		"9223372036854771712\n": math.MaxUint64} {
		if n, err := parseNumber([]byte(in)); err != nil || n != want {
			t.Errorf("%q: %d, %v", in, n, err)
		}
	}
	for _, in := range []string{"", "x", "1 2", "99999999999999999999", "-"} {
		if n, err := parseNumber([]byte(in)); err == nil {
			t.Errorf("%q: %d", in, n)
		}
	}
}

func TestBefore(t *testing.T) {
	tests := map[string]struct {
		w         plan.Write
		old, want string
	}{
		"plain":            {plan.Write{Value: "5"}, "4096\n", "4096"},
		"device present":   {plan.Write{Key: "8:0", Unset: "0", Value: "8:0 9"}, "8:16 5\n8:0 7\n", "8:0 7"},
		"device absent":    {plan.Write{Key: "8:0", Unset: "0", Value: "8:0 9"}, "8:16 5\n", "8:0 0"},
		"shown, not given": {plan.Write{Key: "oom_kill_disable", Value: "1"}, "oom_kill_disable 0\nunder_oom 0\n", "0"},
	}
	for name, tt := range tests {
		if got := before(tt.w, tt.old); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestParseStats(t *testing.T) {
	r, w, err := parseBlkio(strings.NewReader("8:0 Read 10\n8:0 Write 5\n8:0 Sync 1\n8:16 Read 1\nTotal 17\n"))
	if r != 11 || w != 5 || err != nil {
		t.Error(r, w, err)
	}
	io, err := parseIOStat(strings.NewReader("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:16 rbytes=1\n"))
	if err != nil || io != (IO{2, 2, 3, 4}) {
		t.Error(io, err)
	}
	s, err := parseStall(strings.NewReader("some avg10=1.50 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=7\n"))
	if err != nil || *s != (Stall{Pressure{Avg10: 1.5, Total: 77}, Pressure{Avg10: .25, Total: 7}}) {
		t.Error(s, err)
	}
	limits, err := parseIOMax(strings.NewReader("8:0 rbps=1048576 wbps=max riops=max wiops=5\n"))
	if d := cmp.Diff(map[string]map[[2]int64]uint64{"rbps": {{8, 0}: 1048576}, "wiops": {{8, 0}: 5}}, limits); d != "" || err != nil {
		t.Error(d, err)
	}
}

func FuzzParsers(f *testing.F) {
	for _, s := range []string{hybridMounts, "1\n2\n", "8:0 Read 5\n", "8:0 rbps=1 wbps=max\n", "some avg10=0.00 total=1\n", "a 1\nb 2", "max", "a *:* rwm\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := parseMounts(strings.NewReader(s)); err == nil {
			_, _ = newLayout(m, func(string) ([]string, error) { return nil, nil })
		}
		pids, _ := parseProcs(strings.NewReader(s))
		for _, p := range pids {
			if p <= 0 { // kill(0) and kill(-1) reach far beyond a group
				t.Errorf("pid %d", p)
			}
		}
		_, _, _ = parseBlkio(strings.NewReader(s))
		_, _ = parseIOStat(strings.NewReader(s))
		_, _ = parseIOMax(strings.NewReader(s))
		_, _ = parseThrottles(strings.NewReader(s))
		_, _ = parseStall(strings.NewReader(s))
		_, _ = parseNumber([]byte(s))
		flat([]byte(s), func([]byte, uint64) {})
		if check(s) == nil && strings.Contains(s, "..") && strings.Contains("/"+s+"/", "/../") {
			t.Errorf("%q passes", s)
		}
	})
}
