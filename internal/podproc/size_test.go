package podproc_test

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"carob/internal/podproc/wire"
	"carob/internal/sys/spawn"
	"carob/internal/testenv"
)

// maxPSS is the limit of a supervisor's proportional set size in KiB with 30
// alive and 60 starts behind each.
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
		for _, p := range pods {
			all = append(all, p.memory("Pss:"))
		}
		slices.Sort(all)
		t.Logf("%s: PSS %d KiB in the middle, %d to %d", when, all[len(all)/2], all[0], all[len(all)-1])
		return all[len(all)-1]
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

// nothing is a program whose process ends at once, executing as little as can be.
func nothing() *spawn.Builder {
	b := sh(":")
	return b
}

func BenchmarkSpawn(b *testing.B) {
	p := newPod(b)
	for b.Loop() {
		h, ch := p.postJob(job{prog: nothing()})
		p.wait(ch)
		b.StopTimer()
		p.finish(h)
		b.StartTimer()
	}
}

func BenchmarkSpawnToExit(b *testing.B) {
	p := newPod(b)
	log := tempFile(b)
	for b.Loop() {
		h, _ := p.start(job{prog: sh("exec true"), flags: wire.HasLog, own: []*os.File{log}})
		p.finish(h)
	}
}
