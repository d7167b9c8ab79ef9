package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/testenv"
)

func TestExec(t *testing.T) {
	h := start(t)
	c := h.container("c", "-e", "A=container")
	for _, x := range []struct {
		name string
		args []string
		want int
		out  string
	}{
		{"output", []string{c, "echo", "hi"}, 0, "hi"},
		{"environment", []string{"-e", "B=exec", c, "sh", "-c", "echo $A $B"}, 0, "container exec"},
		{"workdir", []string{"-w", "/tmp", c, "pwd"}, 0, "/tmp"},
		{"user", []string{"-u", "7:8", c, "id", "-u"}, 0, "7"},
		{"code", []string{c, "sh", "-c", "exit 9"}, 9, ""},
		{"not found", []string{c, "/no/such"}, 127, ""},
		{"not executable", []string{c, "/etc/passwd"}, 126, ""},
		{"killed", []string{c, "sh", "-c", "kill -9 $$"}, 137, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			r := h.code(x.want, append([]string{"exec"}, x.args...)...)
			if got := strings.TrimSpace(r.out); got != x.out {
				t.Errorf("got %q, want %q", got, x.out)
			}
		})
	}
	if r := h.feed("through\n", "exec", "-i", c, "cat"); r.out != "through\n" {
		t.Errorf("-i gave %q", r.out)
	}
	h.ok("exec", "-d", c, "sh", "-c", "echo x >/dev/shm/detached")
	h.eventually("a detached exec runs", func() bool { return h.run("exec", c, "cat", "/dev/shm/detached").out == "x\n" })
}

// TestManyExecs leaves nothing in the daemon or the supervisor.
func TestManyExecs(t *testing.T) {
	h := startOwn(t)
	c := h.container("c")
	h.ok("exec", c, "true")
	n := 300
	if *long {
		n = 10_000
	}
	held := map[int]int{}
	for _, pid := range append(h.supervisors(), h.daemon()) {
		held[pid] = h.fds(pid)
	}
	for range n {
		h.ok("exec", c, "true")
	}
	for pid, before := range held {
		if !wait(10*time.Second, func() bool { return h.fds(pid) <= before+2 }) {
			t.Errorf("process %d holds %d descriptors, %d before %d execs", pid, h.fds(pid), before, n)
		}
		if threads := h.threads(pid); threads > 40 {
			t.Errorf("process %d has %d threads", pid, threads)
		}
	}
	if procs := h.ok("top", c); strings.Count(procs, "\n") != 1 {
		t.Errorf("the container has more than its one process:\n%s", procs)
	}
}

func TestLogs(t *testing.T) {
	h := start(t)
	name := h.name("c")
	h.ok("run", "-d", "--name", name, image, "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; sleep 1000000")
	t.Cleanup(func() { h.run("rm", "-f", name) })
	h.eventually("all lines are there", func() bool { r := h.run("logs", name); return strings.Contains(r.out, "line 5") && r.err == "oops\n" })
	if got := h.run("logs", "--tail", "2", name); got.out+got.err != "line 5\noops\n" {
		t.Errorf("--tail 2: %q %q", got.out, got.err)
	}
	stamp := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\S+ line 1\n`)
	if got := h.run("logs", "-t", name); !stamp.MatchString(got.out) {
		t.Errorf("-t: %q", got.out)
	}
	if got := h.ok("logs", "--since", "2100-01-01T00:00:00Z", name); got != "" {
		t.Errorf("--since the future: %q", got)
	}
	path := h.ok("inspect", "--format", "{{.LogPath}}", name)
	cri := regexp.MustCompile(`(?m)^\S+ stdout F line 1$`)
	if !cri.MatchString(readTrim(h, path)) {
		t.Errorf("%s is not in CRI's format", path)
	}
}

// TestLogsFollow sees a line when it is written and ends with the container.
func TestLogsFollow(t *testing.T) {
	h := start(t)
	name := h.name("c")
	h.ok("run", "-d", "--name", name, image, "sh", "-c", "until [ -e /dev/shm/go ]; do sleep 0.05; done; echo late")
	t.Cleanup(func() { h.run("rm", "-f", name) })
	f := h.cmd("logs", "-f", name)
	out, err := f.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	h.ok("exec", name, "sh", "-c", "echo >/dev/shm/go")
	if l, err := line(out); l != "late" {
		t.Errorf("followed %q, %v", l, err)
	}
	if err := f.Wait(); err != nil {
		t.Errorf("logs -f after the end: %v", err)
	}
}

func TestAttach(t *testing.T) {
	h := start(t)
	name := h.name("c")
	h.ok("run", "-d", "-i", "--name", name, image, "cat")
	t.Cleanup(func() { h.run("rm", "-f", name) })
	a := h.cmd("attach", name) // ends with the container: its input stays open for others
	in, err := a.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := a.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(in, "hello\n")
	if l, err := line(out); l != "hello" {
		t.Errorf("attach gave %q, %v", l, err)
	}
	h.ok("kill", name)
	if err := a.Wait(); a.ProcessState.ExitCode() != 137 {
		t.Errorf("attach ended with %v, want the container's 137", err)
	}
}

func TestCopy(t *testing.T) {
	h := start(t)
	c := h.container("c")
	from := filepath.Join(h.dir, "from")
	if err := os.MkdirAll(filepath.Join(from, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "sub", "file"), []byte("content"), 0o640); err != nil {
		t.Fatal(err)
	}
	h.ok("cp", from, c+":/tmp/to")
	if got := h.ok("exec", c, "cat", "/tmp/to/sub/file"); got != "content" {
		t.Errorf("in the container: %q", got)
	}
	to := filepath.Join(h.dir, "back")
	h.ok("cp", c+":/tmp/to/sub/file", to)
	if got := readTrim(h, to); got != "content" {
		t.Errorf("back on the host: %q", got)
	}
	// A link in the container must not lead out of it (CVE-2018-15664, 2019-14271).
	h.ok("exec", c, "ln", "-s", "/etc", "/tmp/etc")
	h.run("cp", to, c+":/tmp/etc/carob-e2e-escape")
	if _, err := os.Stat("/etc/carob-e2e-escape"); err == nil {
		_ = os.Remove("/etc/carob-e2e-escape")
		t.Error("cp followed a link out of the container")
	}
	h.code(1, "cp", c+":/no/such/file", to)
}

func TestPause(t *testing.T) {
	h := start(t)
	c := h.name("c")
	h.ok("run", "-d", "--name", c, image, "sh", "-c", "while true; do echo tick; sleep 0.02; done")
	t.Cleanup(func() { h.run("rm", "-f", c) })
	ticks := func() int { return strings.Count(h.ok("logs", c), "tick") }
	h.eventually("it ticks", func() bool { return ticks() > 2 })
	h.ok("pause", c)
	h.eventually("it stands still, and what it has said before is in the log", func() bool {
		n := ticks()
		time.Sleep(200 * time.Millisecond)
		return ticks() == n
	})
	if got := h.ok("inspect", "--format", "{{.State.Paused}}", c); got != "true" {
		t.Errorf("inspect says paused: %s", got)
	}
	n := ticks()
	h.ok("unpause", c)
	h.eventually("it goes on", func() bool { return ticks() > n+2 })
}

func TestStop(t *testing.T) {
	h := start(t)
	patient := fmt.Sprint(testenv.Patience(10 * time.Second).Seconds()) // a shell heeds nothing before its sleep ends
	for _, x := range []struct {
		name, script string
		args         []string
		code         string
		most         time.Duration
	}{
		{"heeds SIGTERM", "trap 'exit 7' TERM; echo up; while true; do sleep 0.05; done", []string{"-t", patient}, "7", 8 * time.Second},
		{"ignores it", "trap '' TERM; echo up; while true; do sleep 0.05; done", []string{"-t", "1"}, "137", 8 * time.Second},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			c := h.name("c")
			h.ok("run", "-d", "--name", c, image, "sh", "-c", x.script)
			t.Cleanup(func() { h.run("rm", "-f", c) })
			h.eventually("it is up", func() bool { return strings.Contains(h.run("logs", c).out, "up") })
			began := time.Now()
			h.ok(append(append([]string{"stop"}, x.args...), c)...)
			if took := time.Since(began); took > testenv.Patience(x.most) {
				t.Errorf("took %v", took)
			}
			if got := h.ok("wait", c); got != x.code {
				t.Errorf("exit code %s, want %s", got, x.code)
			}
		})
	}
}

func TestKillAndWait(t *testing.T) {
	h := start(t)
	c := h.container("c")
	w := h.cmd("wait", c)
	var out bytes.Buffer
	w.Stdout = &out
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	h.ok("kill", "-s", "KILL", c)
	if err := w.Wait(); err != nil || out.String() != "137\n" {
		t.Errorf("wait: %q, %v", out.String(), err)
	}
	h.code(1, "kill", c) // is not running any more
	h.ok("start", c)
	if syscall.Kill(h.pid(c), 0) != nil {
		t.Error("start again: no process")
	}
	h.code(1, "rm", c) // runs
	h.ok("rm", "-f", c)
	h.code(1, "inspect", c)
}

// TestUpdate changes limits of a running container in the kernel.
func TestUpdate(t *testing.T) {
	h := start(t)
	c := h.container("c", "--memory", "64m", "--cpus", "0.5")
	h.ok("update", "--memory", "96m", "--cpus", "0.25", "--pids-limit", "77", c)
	pid := h.pid(c)
	if got := h.cgroupFile(pid, "memory", "memory.limit_in_bytes", "memory.max"); got != "100663296" {
		t.Errorf("memory %s", got)
	}
	if got := h.cgroupFile(pid, "cpu", "cpu.cfs_quota_us", "cpu.max"); !strings.HasPrefix(got, "25000") {
		t.Errorf("cpu %s", got)
	}
	if got := h.cgroupFile(pid, "pids", "pids.max", "pids.max"); got != "77" {
		t.Errorf("pids %s", got)
	}
}

// TestLists holds every list against the machine formats.
func TestLists(t *testing.T) {
	h := start(t)
	c := h.container("c", "--label", "who=e2e")
	for _, args := range [][]string{{"ps"}, {"ps", "-a"}, {"pods", "-a"}, {"stats", "--no-stream"}, {"images"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			var v any
			if out := h.ok(append(args, "-o", "json")...); json.Unmarshal([]byte(out), &v) != nil {
				t.Errorf("-o json is not JSON: %s", out)
			}
			if out := h.ok(args...); !strings.Contains(out, "\n") {
				t.Errorf("the table has no rows: %q", out)
			}
			h.ok(append(args, "-o", "yaml")...)
		})
	}
	if out := h.ok("ps", "--filter", "label=who=e2e", "--format", "{{.Names}}"); out != c {
		t.Errorf("filter by label: %q", out)
	}
	if out := h.ok("top", c); !strings.Contains(out, "sleep 1000000") {
		t.Errorf("top: %s", out)
	}
	var inspected any
	if err := json.Unmarshal([]byte(h.ok("inspect", c)), &inspected); err != nil {
		t.Errorf("inspect: %v", err)
	}
}

// TestEvents sees a container's life in order.
func TestEvents(t *testing.T) {
	h := start(t)
	e := h.cmd("events", "-o", "json", "--since", "1h") // it may be late for the first
	out, err := e.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Process.Kill(); _ = e.Wait() })
	name := h.name("c")
	h.ok("run", "--rm", "--name", name, image, "true")
	var seen []string
	for len(seen) < 4 {
		l, err := line(out)
		if err != nil {
			t.Fatalf("%v after %v", err, seen)
		}
		var ev struct{ Type, Action, Name string }
		if json.Unmarshal([]byte(l), &ev) == nil && ev.Type == "container" && ev.Name == name && ev.Action != "step" {
			seen = append(seen, ev.Action)
		}
	}
	if got := strings.Join(seen, " "); got != "create start exit remove" {
		t.Errorf("events: %s", got)
	}
}
