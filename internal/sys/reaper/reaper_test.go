package reaper_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"carob/internal/testenv"
)

// program builds carob-init as it is built.
func program(t *testing.T) string {
	t.Helper()
	testenv.Require(t, testenv.Toolchain)
	file := filepath.Join(t.TempDir(), "carob-init")
	build := exec.Command("go", "build", "-ldflags", "-E carob/internal/sys/reaper.Entry", "-o", file, "carob/cmd/carob-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// run returns how the command ended and what it wrote.
func run(t *testing.T, c *exec.Cmd) (code int, out, errs string) {
	t.Helper()
	var o, e strings.Builder
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader("in"), &o, &e
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), o.String(), e.String()
}

func TestEntry(t *testing.T) {
	initial := program(t)
	for _, test := range []struct {
		args      []string
		code      int
		out, errs string
	}{
		{[]string{"sh", "-c", "echo out; echo err >&2; exit 7"}, 7, "out\n", "err\n"},
		{[]string{"sh", "-c", "cat"}, 0, "in", ""},
		{[]string{"sh", "-c", `echo "$0,$1,$2"; echo "$A,$B"`, "", "b c", "d"}, 0, ",b c,d\n1,\n", ""},
		{[]string{"sh", "-c", "kill -9 $$"}, 137, "", ""},
		{[]string{"sh", "-c", "trap 'echo got it; exit 3' USR1; kill -USR1 $PPID; while :; do sleep 0.01; done"}, 3, "got it\n", ""},
		{[]string{"sh", "-c", "kill -TERM $PPID; while :; do sleep 0.01; done"}, 143, "", ""},
		// It is the subreaper of what the subshell leaves.
		{[]string{"sh", "-c", "p=$PPID; (sh -c 'while [ $(cut -d\" \" -f4 /proc/$$/stat) != '$p' ]; do sleep 0.01; done; echo adopted' &) | cat"}, 0, "adopted\n", ""},
		{[]string{"sh", "-c", "grep Threads /proc/$PPID/status; ls /proc/$PPID/fd; cat /proc/$PPID/comm; grep SigBlk /proc/self/status"}, 0, "Threads:\t1\ncarob-init\nSigBlk:\t0000000000000000\n", ""},
		{[]string{"/nosuch/command"}, 127, "", "carob-init: /nosuch/command: not found\n"},
		{[]string{"nosuchcommand"}, 127, "", "carob-init: nosuchcommand: not found\n"},
		{[]string{""}, 127, "", "carob-init: : not found\n"},
		{[]string{"/"}, 126, "", "carob-init: /: permission denied\n"},
		{[]string{"/etc/passwd"}, 126, "", "carob-init: /etc/passwd: permission denied\n"},
		{[]string{"/etc/passwd/x"}, 126, "", "carob-init: /etc/passwd/x: errno 20\n"},
		{nil, 126, "", "carob-init: no command\n"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			c := exec.Command(initial, test.args...)
			c.Env = append(os.Environ(), "A=1", "B=")
			if code, out, errs := run(t, c); code != test.code || out != test.out || errs != test.errs {
				t.Errorf("exit %d, %q, %q", code, out, errs)
			}
		})
	}
}

// TestPath: a command is looked for as execvp(3) does, but never in the working directory.
func TestPath(t *testing.T) {
	initial, dir := program(t), t.TempDir()
	for name, mode := range map[string]os.FileMode{"a/cmd": 0o644, "b/cmd": 0o755, "c/text": 0o755} {
		text := "#!/bin/sh\necho $0\n"
		if name == "c/text" {
			text = "no program"
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	long := "/" + strings.Repeat("x/", 3000)
	for _, test := range []struct {
		path, command string
		code          int
		out           string
	}{
		{"PATH=" + dir + "/none:" + dir + "/a:" + dir + "/b", "cmd", 0, dir + "/b/cmd\n"},
		{"PATH=" + long + ":" + dir + "/b:", "cmd", 0, dir + "/b/cmd\n"},
		{"PATH=" + dir + "/b/cmd:" + dir + "/b", "cmd", 0, dir + "/b/cmd\n"}, // ENOTDIR
		{"PATH=" + dir + "/a:" + dir + "/none", "cmd", 126, ""},
		{"PATH=" + dir + "/c:" + dir + "/b", "text", 126, ""},
		{"PATH=" + dir + "/b", strings.Repeat("x", 5000), 127, ""},
		{"PATH=::b:.", "cmd", 127, ""},
		{"PATH=", "cmd", 127, ""},
		{"XPATH=" + dir + "/b", "cmd", 127, ""},
		{"PATH=", "./b/cmd", 0, "./b/cmd\n"},
	} {
		c := exec.Command(initial, test.command)
		c.Env, c.Dir = []string{"A=1", test.path}, dir
		if code, out, errs := run(t, c); code != test.code || out != test.out || (code != 0) != (errs != "") {
			t.Errorf("%.60s, %.10s: exit %d, %q, %q", test.path, test.command, code, out, errs)
		}
	}
}

// TestIgnored: what whoever started it ignores, the command ignores, but its end is seen.
func TestIgnored(t *testing.T) {
	c := exec.Command("sh", "-c", `trap "" HUP CHLD; exec "$@"`, "sh", program(t), "sh", "-c", "kill -HUP $$; exit 5")
	if code, _, errs := run(t, c); code != 5 {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// TestFirst: it is the first process of a pid namespace, which the kernel shields from
// signals that it has no handler for.
func TestFirst(t *testing.T) {
	testenv.Require(t, testenv.Root)
	c := exec.Command(program(t), "sh", "-c", "trap 'echo got it; exit 3' TERM; echo $$ $PPID; kill -TERM 1; while :; do sleep 0.01; done")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if code, out, errs := run(t, c); code != 3 || out != "2 1\ngot it\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

// TestStreams: a pipe that the command closes ends while the command goes on.
func TestStreams(t *testing.T) {
	c := exec.Command(program(t), "sh", "-c", "exec >&-; read end")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(out); err != nil || len(text) > 0 {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := io.WriteString(in, "end\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// TestTerminal: the command is alone in the terminal's foreground, so that Ctrl-C comes to
// it once.
func TestTerminal(t *testing.T) {
	// In /proc/PID/stat: pid, name, state, parent, process group, session, terminal, its foreground group.
	c := exec.Command(program(t), "sh", "-c", "cat /proc/$PPID/stat /proc/$$/stat")
	tty, err := pty.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	text, err := io.ReadAll(tty)
	if err != nil && !errors.Is(err, syscall.EIO) { // Linux's end of a terminal
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 2 {
		t.Fatalf("%q", text)
	}
	first, command := strings.Fields(lines[0]), strings.Fields(lines[1])
	if first[4] == command[4] || command[4] != command[0] || command[7] != command[4] || first[5] != command[5] {
		t.Errorf("%s", text)
	}
}
