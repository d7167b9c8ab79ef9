package e2e

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTopAsPS holds the columns of top against the host's ps.
func TestTopAsPS(t *testing.T) {
	h := start(t)
	name := h.name("top")
	h.ok("run", "-d", "-t", "--name", name, image, "sh", "-c", "sleep 1000000 & sleep 1000000")
	t.Cleanup(func() { h.run("rm", "-f", name) })
	h.eventually("three processes", func() bool {
		return len(strings.Split(h.ok("top", name, "-o", "pid="), "\n")) == 3
	})
	if err := unix.Setpriority(unix.PRIO_PROCESS, h.pid(name), 5); err != nil {
		t.Fatal(err)
	}
	// Of terminals that are not the host's ps knows no name, and of SCHED_IDLE no priority.
	const columns = "pid=,ppid=,pgid=,sid=,uid=,nlwp=,stat=,vsz=,comm=,cmd="
	for l := range strings.Lines(h.ok("top", name, "-eo", columns)) {
		f := strings.Fields(l)
		out, err := exec.Command("ps", "-o", columns, "-p", f[0]).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Fields(string(out)); strings.Join(f, " ") != strings.Join(want, " ") {
			t.Errorf("top has %q, ps %q", f, want)
		}
	}
	if out := strings.Fields(h.ok("top", name, "-o", "ni=,tty=")); out[0] != "5" || out[1] != "pts/0" {
		t.Errorf("priority and terminal: %v", out)
	}
	for options, wants := range map[string]string{"-ef": "UID PID PPID C STIME TTY TIME CMD", "aux": "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"} {
		out := h.ok("top", name, options)
		head, _, _ := strings.Cut(out, "\n")
		if strings.Join(strings.Fields(head), " ") != wants || !strings.Contains(out, strconv.Itoa(h.pid(name))) {
			t.Errorf("%s: %s", options, out)
		}
	}
	if r := h.code(1, "top", name, "-o", "pid,frob"); !strings.Contains(r.err, `"frob"`) {
		t.Errorf("unknown column: %s", r.err)
	}
	if out := h.ok("top", name, "-o", "json"); !strings.HasPrefix(out, "[") {
		t.Errorf("-o json after the name: %s", out)
	}
}
