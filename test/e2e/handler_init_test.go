package e2e

import (
	"bufio"
	"strings"
	"testing"

	"github.com/creack/pty"

	"carob/internal/testenv"
)

// TestHandlerInit: under each runtime, and carob's own handler, --init is a process above
// the command that reaps, passes signals on and ends as the command does.
func TestHandlerInit(t *testing.T) {
	t.Run("native", func(t *testing.T) { initUnder(startOwn(t), "native") })
	underEach(t, initUnder)
}

func initUnder(h *host, runtime string) {
	run := []string{"run", "--runtime", runtime, "--init", "--rm"}
	with := func(args ...string) []string { return append(run[:len(run):len(run)], args...) }
	// The subshell's child is an orphan when the subshell ends, and PID 1's to reap.
	orphan := `(sleep 0.1 & echo $! > /tmp/orphan); while [ -e /proc/$(cat /tmp/orphan) ]; do sleep 0.01; done; echo $$`
	for _, more := range [][]string{nil, {"-u", "1000:1001", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all"}} {
		if got := h.ok(with(append(more, image, "sh", "-c", orphan)...)...); got == "1" || got == "" {
			h.Errorf("%v: the command's pid is %q", more, got)
		}
	}
	if got := h.ok(with(image, "grep", "Threads", "/proc/1/status")...); got != "Threads:\t1" {
		h.Errorf("the init has %q", got)
	}
	h.code(23, with(image, "sh", "-c", "exit 23")...)
	h.code(137, with(image, "sh", "-c", "kill -9 $$")...)
	if r := h.code(127, with(image, "nosuch")...); !strings.Contains(r.err, "nosuch") {
		h.Errorf("a command that is not there: %q", r.err)
	}
	h.code(126, with(image, "/etc")...)
	if !sentry(runtime) {
		if got := h.ok(with("--userns", "private", image, "sh", "-c", "echo $$")...); got == "1" {
			h.Error("no init in a user namespace")
		}
	}
	name := h.name("init")
	h.ok("run", "-d", "--runtime", runtime, "--init", "--name", name, image, "sh", "-c",
		"trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
	h.eventually("ready", func() bool { return h.ok("logs", name) == "ready" })
	h.ok("stop", "-t", "30", name)
	if got := h.ok("inspect", "--format", "{{.State.ExitCode}}", name); got != "3" {
		h.Errorf("TERM ended it with %s, want 3", got)
	}
	h.ok("start", name) // its mounts are made anew
	h.eventually("ready again", func() bool { return strings.Count(h.ok("logs", name), "ready") == 2 })
	if got := h.ok("exec", name, "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"); strings.HasPrefix(got, "sh -c") && runtime != "native" {
		h.Errorf("PID 1 is %q", got)
	}
	// gVisor makes what it mounts on in the image.
	if got := h.ok("diff", name); strings.Contains(got, "init") && !sentry(runtime) {
		h.Errorf("the image has an init now: %s", got)
	}
	h.ok("rm", "-f", name)
}

// TestInitAndTerminal: Ctrl-C comes to the command once, though its terminal's kernel and
// its init both could send it: the init is not in the terminal's foreground. In gVisor it is
// lost now and then, with and without an init.
func TestInitAndTerminal(t *testing.T) {
	t.Run("native", func(t *testing.T) { interruptUnder(startOwn(t), "native") })
	for _, need := range []testenv.Need{testenv.Runc, testenv.Crun} {
		t.Run(string(need), func(t *testing.T) {
			testenv.Require(t, need)
			interruptUnder(startOwn(t), string(need))
		})
	}
}

func interruptUnder(h *host, runtime string) {
	// The process group of the init, the foreground's of the command's terminal.
	groups := strings.Fields(h.ok("run", "--runtime", runtime, "--init", "--rm", "-t", image, "sh", "-c", "cut -d' ' -f5 /proc/1/stat; cut -d' ' -f8 /proc/$$/stat"))
	if len(groups) != 2 || groups[0] == groups[1] {
		h.Errorf("process groups of the init and of the foreground: %q", groups)
	}
	const times = 3
	c := h.cmd("run", "--runtime", runtime, "--init", "--rm", "-it", image, "sh", "-c",
		"trap 'echo interrupted' INT; n=0; echo ready; while [ $n -lt 50 ]; do n=$((n+1)); sleep 0.02; done; echo ended")
	tty, err := pty.Start(c)
	if err != nil {
		h.Fatal(err)
	}
	defer tty.Close()
	defer c.Wait() //nolint:errcheck // the output has told
	got, ended := 0, false
	for out := bufio.NewScanner(tty); out.Scan() && !ended; {
		switch text := out.Text(); {
		case strings.Contains(text, "ended"):
			ended = true
			continue
		case strings.Contains(text, "interrupted"):
			got++
		case !strings.Contains(text, "ready"):
			continue
		}
		if got < times {
			if _, err := tty.WriteString("\x03"); err != nil {
				h.Fatal(err)
			}
		}
	}
	if !ended || got != times {
		h.Errorf("%d times Ctrl-C interrupt %d times; ended %v", times, got, ended)
	}
}
