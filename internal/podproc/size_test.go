package podproc_test

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/podproc/wire"
	"carob/internal/testenv"
)

// maxPSS is what a supervisor may take on average: its proportional set size in
// KiB with 30 alive and 60 starts behind each. Single ones differ with the luck of
// the runtime's threads and first heap addresses.
const maxPSS = 600

func TestPSS(t *testing.T) {
	testenv.Require(t, testenv.Root) // smaps of what is not dumpable
	pods := make([]*pod, 30)
	for i := range pods {
		pods[i] = newPod(t)
	}
	measure := func(when string) int {
		time.Sleep(1500 * time.Millisecond) // until buffers have gone back
		var all []int
		sum := 0
		for _, p := range pods {
			all = append(all, p.memory("Pss:"))
			sum += all[len(all)-1]
		}
		t.Logf("%s: PSS %d KiB on average, %d to %d", when, sum/len(all), slices.Min(all), slices.Max(all))
		return sum / len(all)
	}
	measure("idle")
	for _, p := range pods {
		log := tempFile(t)
		for range 60 {
			h, _ := p.start(job{prog: sh("echo hello; echo there >&2"), flags: wire.HasLog | wire.HasOOM, own: []*os.File{log, log}})
			p.finish(h)
		}
	}
	if n := measure("after 60 starts"); n > maxPSS {
		t.Errorf("PSS %d KiB, at most %d are allowed", n, maxPSS)
	}
	pods[0].logMaps()
}

// TestSteadyWorkTakesNoMemory holds that records are recycled: a probe that
// executes every second must not make its pod grow.
func TestSteadyWorkTakesNoMemory(t *testing.T) {
	testenv.Require(t, testenv.Root)
	p := newPod(t)
	log := tempFile(t)
	run := func(n int) int {
		for range n {
			h, _ := p.start(job{prog: sh("echo hello"), flags: wire.HasLog | wire.OpenStdin, own: []*os.File{log}})
			p.finish(h)
		}
		return p.memory("Anonymous:")
	}
	if before, after := run(100), run(500); after > before+24 {
		t.Errorf("%d KiB after 100, %d after 600", before, after)
	}
}

// memory reads a line of smaps_rollup, in KiB.
func (p *pod) memory(key string) (n int) {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, after, ok := strings.Cut(string(text), "\n"+key); ok {
		fmt.Sscan(after, &n)
	}
	return n
}

// logMaps logs where a supervisor's memory is.
func (p *pod) logMaps() {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	var name string
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if f := strings.Fields(line); strings.Contains(f[0], "-") {
			name = line
		} else if f[0] == "Pss:" && f[1] != "0" {
			p.t.Logf("%4s KiB %s", f[1], name)
		}
	}
}

// BenchmarkSpawn is from the request to the answer that the command executes.
func BenchmarkSpawn(b *testing.B) {
	p := newPod(b)
	for b.Loop() {
		h, ch := p.postJob(job{prog: sh(":")})
		p.wait(ch)
		b.StopTimer()
		p.finish(h)
		b.StartTimer()
	}
	b.ReportMetric(float64(p.memory("Anonymous:")), "KiB-anon")
}

// BenchmarkExec joins a PID namespace, forks there, runs a command and waits for
// its end.
func BenchmarkExec(b *testing.B) {
	testenv.Require(b, testenv.Root)
	p := newPod(b)
	first := sh("exec sleep 1000")
	first.CloneFlags = unix.CLONE_NEWPID
	target, _ := p.start(job{prog: first})
	log := tempFile(b)
	for b.Loop() {
		h, _ := p.start(job{prog: joining(":"), target: target, flags: wire.HasLog, own: []*os.File{log}})
		p.finish(h)
	}
	b.ReportMetric(float64(p.memory("Anonymous:")), "KiB-anon")
}
