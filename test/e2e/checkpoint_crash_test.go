package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/testenv"
)

// moment is a state of the machine in which the daemon is killed.
type moment struct {
	name string
	is   func() bool
}

// killIn runs a command, kills the daemon as soon as a moment has come or the command has
// ended, and lets the next daemon recover.
func (h *host) killIn(m moment, args ...string) {
	h.Helper()
	daemon := h.daemon()
	c := h.cmd(args...)
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	deadline := time.Now().Add(testenv.Patience(20 * time.Second))
	for !m.is() && len(ended) == 0 && time.Now().Before(deadline) { // as fast as can be: a moment is short
	}
	_ = syscall.Kill(daemon, syscall.SIGKILL)
	<-ended
	h.ok("ps")
}

// inGroup lists what the processes in this test's groups execute.
func (h *host) inGroup() (all []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		text, err := os.ReadFile(dir + "/cgroup")
		if err != nil || !strings.Contains(string(text), h.parent) {
			continue
		}
		if line, err := os.ReadFile(dir + "/cmdline"); err == nil && len(line) > 0 {
			all = append(all, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return all
}

// scratch lists what a restore or a checkpoint has on disk while it works.
func (h *host) scratch(below ...string) []string {
	all, _ := filepath.Glob(filepath.Join(append([]string{h.dir, "lib", "restore"}, below...)...))
	return all
}

// TestCrashWhileRestoring kills the daemon at each step of a restore. Afterwards the
// container runs, known to everybody, or nothing of it does; no CRIU is left, and nothing of
// its memory on disk.
func TestCrashWhileRestoring(t *testing.T) {
	h := startOwn(t)
	testenv.Require(t, testenv.CRIU)
	h.ok("run", "-d", "--name", "wanderer", "--userns", "host", image, "sh", "-c", counting)
	h.eventually("it counts", func() bool { return h.count("wanderer") > 2 })
	h.ok("checkpoint", "wanderer")
	tasks := func(criu bool) bool {
		return slices.ContainsFunc(h.inGroup(), func(line string) bool {
			return strings.Contains(line, "criu swrk") == criu && !strings.Contains(line, "carob-pod")
		})
	}
	logged := func(text string) bool {
		for _, path := range h.scratch("restore-*", "checkpoint", "restore.log") {
			if log, err := os.ReadFile(path); err == nil && strings.Contains(string(log), text) {
				return true
			}
		}
		return false
	}
	for _, m := range []moment{
		{"unpacking", func() bool { return len(h.scratch("*")) > 0 }},
		{"criu has started", func() bool { return tasks(true) }},
		{"tasks are there", func() bool { return tasks(true) && tasks(false) }},
		{"they are judged", func() bool { return logged("pre-resume") }}, // criu lets them go on when nobody answers
		{"criu has ended", func() bool { return !tasks(true) && tasks(false) }},
	} {
		t.Run(m.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			h.killIn(m, "restore", "wanderer")
			state := strings.TrimSpace(h.ok("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "wanderer"))
			switch state {
			case "running 0":
				n := h.count("wanderer")
				h.eventually("it counts on", func() bool { return h.count("wanderer") > n+2 })
			case "exited 125":
				h.eventually("nothing of it runs", func() bool { return !tasks(false) })
			default:
				t.Errorf("it is %q", state)
			}
			h.eventually("no criu is left", func() bool { return !tasks(true) })
			h.eventually("nothing is left on disk", func() bool { return len(h.scratch("*")) == 0 })
			h.run("kill", "wanderer")
			h.run("wait", "wanderer")
			h.ok("restore", "wanderer")
			h.eventually("another restore succeeds", func() bool { return h.count("wanderer") > 2 })
			h.ok("checkpoint", "wanderer")
		})
	}
}

// TestCrashWhileCheckpointing: a container that stood still to be written down when the
// daemon was killed goes on under the next one.
func TestCrashWhileCheckpointing(t *testing.T) {
	h := startOwn(t)
	testenv.Require(t, testenv.CRIU)
	h.ok("run", "-d", "--name", "wanderer", "--userns", "host", image, "sh", "-c", counting)
	for name, is := range map[string]func() bool{
		"it stands still":   func() bool { return len(h.scratch("dump-*")) > 0 },
		"criu has begun":    func() bool { return len(h.scratch("dump-*", "checkpoint", "dump.log")) > 0 },
		"criu writes pages": func() bool { return len(h.scratch("dump-*", "checkpoint", "pages-1.img")) > 0 },
	} {
		t.Run(name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			h.eventually("it counts", func() bool { return h.count("wanderer") > 2 })
			h.killIn(moment{name, is}, "checkpoint", "--leave-running", "--export", filepath.Join(h.dir, "x.tar"), "wanderer")
			var n int
			h.eventually("it can be looked at", func() bool { n = h.count("wanderer"); return n > 0 })
			h.eventually("it counts on", func() bool { return h.count("wanderer") > n+2 })
			if left := h.scratch("*"); len(left) > 0 {
				t.Errorf("left on disk: %v", left)
			}
		})
	}
}
