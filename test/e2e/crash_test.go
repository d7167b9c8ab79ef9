package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kill ends the daemon as a crash would and waits until it is gone.
func (h *host) kill() {
	h.Helper()
	pid := h.daemon()
	if pid == 0 {
		h.Fatal("no daemon to kill")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		h.Fatal(err)
	}
	h.eventually("the daemon is gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
}

// zombie reports whether a process has ended but nobody has collected it: the
// daemon's parent is init, which may take its time. Its first thread may be a zombie while
// others still have its descriptors open.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return err != nil || bytes.Contains(b, []byte(") Z ")) && len(threads) < 2
}

// TestCrash kills the daemon under running containers: they go on, keep logging,
// and what ends meanwhile has its exit code when the daemon is back.
func TestCrash(t *testing.T) {
	h := startOwn(t)
	runs := h.container("runs")
	ticks := h.name("ticks")
	h.ok("run", "-d", "--name", ticks, image, "sh", "-c", "while true; do echo tick; sleep 0.05; done")
	ends, gate := h.name("ends"), filepath.Join(h.dir, "gate")
	if err := os.Mkdir(gate, 0o755); err != nil {
		t.Fatal(err)
	}
	h.ok("run", "-d", "--name", ends, "-v", gate+":/gate", image, "sh", "-c", "until [ -e /gate/open ]; do sleep 0.02; done; echo bye; exit 23")
	pid, endPid := h.pid(runs), h.pid(ends)
	path := h.ok("inspect", "--format", "{{.LogPath}}", ticks)
	h.kill()
	n := strings.Count(readTrim(h, path), "tick")
	h.eventually("the log grows without a daemon", func() bool { return strings.Count(readTrim(h, path), "tick") > n+3 })
	if err := copyFile("/proc/self/comm", filepath.Join(gate, "open")); err != nil {
		t.Fatal(err)
	}
	h.eventually("the other container ends without a daemon", func() bool { return syscall.Kill(endPid, 0) != nil })
	if got := h.ok("wait", ends); got != "23" { // starts a daemon again
		t.Errorf("exit code %s, want 23", got)
	}
	if got := h.ok("logs", ends); got != "bye" {
		t.Errorf("log of the ended container: %q", got)
	}
	if got := h.pid(runs); got != pid {
		t.Errorf("pid %d before, %d after the crash", pid, got)
	}
	if got := h.ok("exec", runs, "echo", "hi"); got != "hi" {
		t.Errorf("exec after the crash: %q", got)
	}
	h.ok("stop", "-t", "0", runs)
	h.ok("rm", "-f", runs, ticks, ends)
}

// TestExecSurvivesCrash keeps the streams of an exec while the daemon dies: they
// never went through it.
func TestExecSurvivesCrash(t *testing.T) {
	h := startOwn(t)
	c := h.container("c")
	x := h.cmd("exec", c, "sh", "-c", "echo one; until [ -e /dev/shm/go ]; do sleep 0.02; done; echo two")
	out, err := x.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	if l, err := line(out); l != "one" {
		t.Fatalf("%q, %v", l, err)
	}
	h.kill()
	h.ok("exec", c, "sh", "-c", "echo >/dev/shm/go")
	if l, err := line(out); l != "two" {
		t.Errorf("after the crash: %q, %v", l, err)
	}
	_ = x.Wait()
}

// TestCrashWhileStarting kills the daemon again and again while containers are
// being started, and wants a clean host afterwards.
func TestCrashWhileStarting(t *testing.T) {
	h := startOwn(t)
	h.ok("run", "--rm", image, "true")
	for i := range 8 {
		c := h.cmd("run", "--rm", image, "sleep", "0.01")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(3+i*4) * time.Millisecond)
		if pid := h.daemon(); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = c.Wait()
	}
	h.ok("ps")
	h.sweep()
	h.eventually("no supervisor is left", func() bool { return len(h.supervisors()) == 0 })
}

// TestManyRuns is 200 times run --rm, four at a time.
func TestManyRuns(t *testing.T) {
	h := startOwn(t)
	h.ok("run", "--rm", image, "true")
	pid := h.daemon()
	before, fds := h.look(), h.fds(pid)
	jobs := make(chan int)
	var errs bytes.Buffer
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range jobs {
				if out, err := h.cmd("run", "--rm", image, "true").CombinedOutput(); err != nil {
					mu.Lock()
					fmt.Fprintf(&errs, "%v: %s\n", err, out)
					mu.Unlock()
				}
			}
		})
	}
	for i := range 200 {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	if errs.Len() > 0 {
		t.Errorf("%s", errs.String())
	}
	left := ""
	if !wait(20*time.Second, func() bool { left = h.look().since(before); return left == "" }) {
		t.Errorf("left behind:\n%s", left)
	}
	if now := h.daemon(); now != pid {
		t.Errorf("the daemon is another one: %d, was %d", now, pid)
	}
	if !wait(10*time.Second, func() bool { return h.fds(pid) <= fds+8 }) { // a few for what is kept ready
		t.Errorf("the daemon holds %d descriptors, %d before", h.fds(pid), fds)
	}
}

// TestManyPods is 100 pods at once, the daemon killed in the middle.
func TestManyPods(t *testing.T) {
	h := startOwn(t)
	h.ok("run", "--rm", image, "true")
	before := h.look()
	const n = 100
	jobs := make(chan int, n)
	for i := range n {
		jobs <- i
	}
	close(jobs)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range jobs {
				c := h.cmd("run", "-d", "--name", fmt.Sprintf("many-%d", i), image, "sleep", "1000000")
				if out, err := c.CombinedOutput(); err != nil {
					t.Errorf("%d: %v: %s", i, err, out)
				}
			}
		})
	}
	wg.Wait()
	if got := len(strings.Fields(h.ok("ps", "-q"))); got != n {
		t.Errorf("%d containers run, want %d", got, n)
	}
	h.kill()
	if got := len(strings.Fields(h.ok("ps", "-q"))); got != n {
		t.Errorf("%d containers run after the crash, want %d", got, n)
	}
	names := make([]string, n)
	for i := range n {
		names[i] = fmt.Sprintf("many-%d", i)
	}
	h.ok(append([]string{"rm", "-f"}, names...)...)
	left := ""
	if !wait(20*time.Second, func() bool { left = h.look().since(before); return onlyDaemons(left) }) {
		t.Errorf("left behind:\n%s", left)
	}
}

// onlyDaemons reports whether all that is left is a daemon, which has another pid
// after a crash.
func onlyDaemons(left string) bool {
	for l := range strings.Lines(left) {
		if !strings.Contains(l, "/bin/carob serve") {
			return false
		}
	}
	return true
}

// TestSupervisorMemory holds 30 supervisors against their budget.
func TestSupervisorMemory(t *testing.T) {
	const budget = 600_000
	h := startOwn(t)
	for i := range 30 {
		h.ok("run", "-d", "--name", fmt.Sprintf("pss-%d", i), image, "sleep", "1000000")
	}
	pids := h.supervisors()
	if len(pids) != 30 {
		t.Fatalf("%d supervisors, want 30", len(pids))
	}
	sum := 0
	for _, pid := range pids {
		sum += h.pss(pid)
	}
	t.Logf("%d bytes PSS per supervisor", sum/len(pids))
	if sum/len(pids) > budget {
		t.Errorf("%d bytes PSS per supervisor, budget %d", sum/len(pids), budget)
	}
}

// TestLostSupervisor kills the supervisor of a container, with the daemon there and
// without: the container counts as ended, so its process must have, and it can be
// removed.
func TestLostSupervisor(t *testing.T) {
	for _, x := range []struct {
		name   string
		daemon bool
	}{{"the daemon looks on", true}, {"the daemon is dead", false}} {
		t.Run(x.name, func(t *testing.T) {
			h := startOwn(t)
			name := "lost"
			h.ok("run", "-d", "--name", name, image, "sleep", "1000000")
			t.Cleanup(func() { h.run("rm", "-f", name) })
			pid, supervisors := h.pid(name), h.supervisors()
			if len(supervisors) != 1 {
				t.Fatalf("supervisors %v, want one", supervisors)
			}
			if !x.daemon {
				h.kill()
			}
			if err := syscall.Kill(supervisors[0], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			h.eventually("it counts as lost", func() bool {
				return strings.Contains(h.run("ps", "-a", "--format", "{{.Status}}").out, "Lost")
			})
			h.eventually("its process has ended", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
			h.ok("rm", name)
		})
	}
}
