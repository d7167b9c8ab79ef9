package cgroup

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	plan "carob/internal/plan/cgroup"
	"carob/internal/testenv"
)

// TestHugepages reads back what limits the use and the reservation of huge pages, or is
// told that the host cannot.
func TestHugepages(t *testing.T) {
	l, root := host(t)
	limits := []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4 << 20}}
	g, err := l.Create(root, &specs.LinuxResources{HugepageLimits: limits})
	if l.Version("hugetlb") == plan.None {
		if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "hugepageLimits[2MB]") {
			t.Errorf("without the controller: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := g.Observed()
	if d := cmp.Diff(limits, got.HugepageLimits); d != "" || err != nil {
		t.Error(err, d)
	}
	rsvd := g.Path("hugetlb") + "/hugetlb.2MB.rsvd.max"
	if l.Version("hugetlb") == plan.V1 {
		rsvd = g.Path("hugetlb") + "/hugetlb.2MB.rsvd.limit_in_bytes"
	}
	if text, err := readFile(rsvd); text != "4194304\n" {
		t.Errorf("reservation: %q, %v", text, err)
	}
}

// TestUnifiedFiles writes v2 files by their names.
func TestUnifiedFiles(t *testing.T) {
	l, root := host(t)
	g, err := l.Create(root, &specs.LinuxResources{Unified: map[string]string{"memory.high": "8388608", "memory.oom.group": "1"}})
	if l.Version("memory") != plan.V2 {
		if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "unified[memory.high]") {
			t.Errorf("on v1: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"memory.high": "8388608\n", "memory.oom.group": "1\n"} {
		if got, err := readFile(g.Path("memory") + "/" + file); got != want {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
}

// TestParentWithProcesses makes groups below one that has a process of its own, and so
// cannot pass controllers down (cgroups(7), no internal processes): a limit is
// refused with the reason, a group without limits tracks and counts what it can.
func TestParentWithProcesses(t *testing.T) {
	testenv.Require(t, testenv.Cgroup2)
	l, root := host(t)
	byHand(t, l, root)
	run(t, &Group{l: l, rel: root}, "sleep 100")
	_, err := l.Create(root+"/limited", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}})
	if !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "pids.limit") || !strings.Contains(err.Error(), "processes of its own") {
		t.Errorf("a limit: %v", err)
	}
	g := create(t, l, root+"/free", nil)
	run(t, g, "exec sleep 100")
	if kind, err := readFile(l.trees[0].dir + root + "/cgroup.type"); kind != "domain\n" {
		t.Errorf("the parent has become %q, %v", kind, err)
	}
	if pids, err := g.Procs(); len(pids) != 1 || err != nil {
		t.Errorf("processes %v, %v", pids, err)
	}
	if _, err := g.Stats(); err != nil {
		t.Errorf("stats: %v", err)
	}
	if _, err := g.Observed(); err != nil {
		t.Errorf("observed: %v", err)
	}
	if f, err := g.OOMFile(); !fault.Is(err, fault.Unsupported) {
		if err == nil {
			f.Close()
		}
		t.Errorf("the OOM file of a group without the memory controller: %v", err)
	}
	if err := g.Freeze(within(t, 2e9)); err != nil {
		t.Error(err)
	}
	if err := g.Kill(within(t, 2e9), 9); err != nil {
		t.Error(err)
	}
}

// TestStatsWithoutControllers: on a v2 host that gives no controllers, as some containers
// are, CPU time is still counted, by the kernel's core.
func TestStatsWithoutControllers(t *testing.T) {
	testenv.Require(t, testenv.Root)
	at := t.TempDir()
	if err := unix.Mount("cgroup2", at, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, 0); err != nil {
			t.Error(err)
		}
	})
	l, err := newLayout([]mountPoint{{dir: at, v2: true}}, func(string) ([]string, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	g := create(t, l, fmt.Sprintf("/carob-test-bare-%d", os.Getpid()), nil)
	t.Cleanup(func() {
		if err := g.Remove(within(t, 2e9)); err != nil {
			t.Error(err)
		}
	})
	run(t, g, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo spun; exec sleep 100")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s, err := g.Stats()
		if err != nil {
			t.Fatal(err)
		}
		if s.CPU.Usage > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no CPU time counted: %+v", s)
		}
	}
}
