package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	plan "carob/internal/plan/cgroup"
)

// files lays a v2 group out as plain files, to read numbers that only a pure v2
// host shows.
func files(t *testing.T, content map[string]string) *Group {
	t.Helper()
	root := t.TempDir()
	l, err := newLayout([]mountPoint{{dir: root, v2: true}}, func(string) ([]string, error) {
		return strings.Fields("cpuset cpu io memory hugetlb pids"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(root+"/g", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(root, "g", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g, err := l.Open("/g")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestObservedV2(t *testing.T) {
	g := files(t, map[string]string{
		"memory.max": "1048576\n", "memory.swap.max": "524288\n", "memory.low": "4096\n",
		"cpu.weight": "100\n", "cpu.max": "50000 100000\n", "cpu.max.burst": "7\n", "cpu.idle": "0\n",
		"cpuset.cpus": "0-1\n", "cpuset.mems": "\n", "pids.max": "12\n",
		"io.bfq.weight": "default 200\n", "io.max": "8:0 rbps=5 wbps=max riops=max wiops=6\n",
		"hugetlb.2MB.max": "2097152\n", "hugetlb.1GB.max": "max\n", "hugetlb.2MB.rsvd.max": "1\n",
	})
	dev := func(rate uint64) []specs.LinuxThrottleDevice {
		d := specs.LinuxThrottleDevice{Rate: rate}
		d.Major = 8
		return []specs.LinuxThrottleDevice{d}
	}
	want := specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(1048576)), Swap: ptr(int64(1572864)), Reservation: ptr(int64(4096))},
		CPU:    &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Burst: ptr(uint64(7)), Cpus: "0-1"},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(12))},
		BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(200)), ThrottleReadBpsDevice: dev(5),
			ThrottleWriteIOPSDevice: dev(6)},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 2097152}},
	}
	got, err := g.Observed()
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(err, d)
	}
}

func TestStatsV2(t *testing.T) {
	psi := "some avg10=1.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
	g := files(t, map[string]string{
		"memory.current": "1000\n", "memory.max": "max\n", "memory.swap.current": "5\n", "memory.swap.max": "0\n",
		"memory.stat": "anon 600\nfile 300\ninactive_file 100\npgfault 9\npgmajfault 2\n", "memory.events": "low 0\noom 4\noom_kill 3\n",
		"cpu.stat":     "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 2\nthrottled_usec 7\n",
		"pids.current": "3\n", "pids.max": "max\n", "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n", "memory.pressure": psi,
	})
	stall := &Stall{Some: Pressure{Avg10: 1, Total: 5}}
	want := Stats{
		Memory: MemoryStats{Usage: 1000, WorkingSet: 900, Limit: math.MaxUint64, Swap: 5, RSS: 600, Cache: 300, PageFaults: 9, MajorFaults: 2, OOMKills: 3},
		CPU:    CPUStats{Usage: 30000, User: 20000, System: 10000, Periods: 4, ThrottledPeriods: 2, Throttled: 7000},
		Pids:   PidsStats{Current: 3, Limit: math.MaxUint64}, IO: IO{1, 2, 3, 4}, MemoryStall: stall,
	}
	got, err := g.Stats()
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(err, d)
	}
}

func TestApplyV2(t *testing.T) {
	g := files(t, map[string]string{"memory.max": "", "memory.swap.max": "", "io.weight": "", "cgroup.controllers": "cpu io memory"})
	limit := func(res *specs.LinuxResources) error {
		writes, err := plan.Limits(res, specs.LinuxResources{}, g.l.host)
		if err != nil {
			t.Fatal(err)
		}
		return (&change{g: g}).apply(writes)
	}
	if err := limit(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(5)), Swap: ptr(int64(8))}, BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(10))}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"memory.max": "5", "memory.swap.max": "3", "io.weight": "default 1"} {
		if b, err := os.ReadFile(g.track() + "/" + name); string(b) != want || err != nil {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	err := limit(&specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}})
	if err == nil || !strings.Contains(err.Error(), "pids.limit: the parent group does not pass the pids controller down") {
		t.Errorf("a controller that is not passed down: %v", err)
	}
	err = limit(&specs.LinuxResources{Unified: map[string]string{"memory.nonsense": "5"}})
	if err == nil || !strings.Contains(err.Error(), "unified[memory.nonsense]: this kernel has no such file") {
		t.Errorf("an unknown file: %v", err)
	}
}
