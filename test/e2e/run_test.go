package e2e

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"carob/internal/testenv"
)

// TestExitCodes holds run's exit codes against Docker's.
func TestExitCodes(t *testing.T) {
	h := start(t)
	for _, c := range []struct {
		name string
		want int
		args []string
	}{
		{"success", 0, []string{"true"}},
		{"failure", 1, []string{"false"}},
		{"own code", 42, []string{"sh", "-c", "exit 42"}},
		{"killed by a signal", 137, []string{"sh", "-c", "sh -c 'kill -9 $$'; exit $?"}}, // PID 1 itself is immune
		{"command not found", 127, []string{"/no/such/command"}},
		{"not executable", 126, []string{"/etc/passwd"}},
		{"a directory", 126, []string{"/etc"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			h.code(c.want, append([]string{"run", "--rm", image}, c.args...)...)
		})
	}
	if out := h.ok("ps", "-aq"); out != "" {
		t.Errorf("containers are left: %s", out)
	}
}

// TestRunOptions starts one container per option and asks it what it sees.
func TestRunOptions(t *testing.T) {
	h := start(t)
	dir := filepath.Join(h.dir, "data")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("from the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "env"), []byte("# comment\nA=1\nB=two words\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		flags []string
		sh    string
		want  string
	}{
		{"env", []string{"-e", "A=b"}, "echo $A", "b"},
		{"env file", []string{"--env-file", filepath.Join(dir, "env")}, "echo $A $B", "1 two words"},
		{"workdir", []string{"-w", "/tmp"}, "pwd", "/tmp"},
		{"user", []string{"-u", "1000:1001"}, "id -u; id -g", "1000\n1001"},
		{"hostname", []string{"--hostname", "box"}, "hostname", "box"},
		{"bind", []string{"-v", dir + ":/data:ro"}, "cat /data/file", "from the host"},
		{"mount", []string{"--mount", "type=bind,source=" + dir + ",target=/data,readonly"}, "cat /data/file; echo; echo x 2>/dev/null >/data/y || echo refused", "from the host\nrefused"},
		{"tmpfs", []string{"--tmpfs", "/scratch"}, "echo a >/scratch/b && cat /scratch/b", "a"},
		{"read-only", []string{"--read-only"}, "echo a 2>/dev/null >/x || echo refused", "refused"},
		{"entrypoint", []string{"--entrypoint", "echo"}, "", "-c"},
		{"ulimit", []string{"--ulimit", "nofile=100:200"}, "ulimit -n", "100"},
		{"init", []string{"--init"}, "echo $$", ""},
		{"pids", []string{"--pids-limit", "50"}, "echo ok", "ok"},
		{"stdin closed", nil, "cat", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			args := append(append([]string{"run", "--rm"}, c.flags...), image)
			switch c.name {
			case "entrypoint":
				args = append(args, "-c")
			default:
				args = append(args, "sh", "-c", c.sh)
			}
			got := h.ok(args...)
			if c.name == "init" {
				if got == "1" {
					t.Error("the command is PID 1 in spite of --init")
				}
				return
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestStreams keeps the two streams apart and passes standard input through.
func TestStreams(t *testing.T) {
	h := start(t)
	r := h.run("run", "--rm", image, "sh", "-c", "echo out; echo err >&2")
	if r.out != "out\n" || r.err != "err\n" {
		t.Errorf("stdout %q, stderr %q", r.out, r.err)
	}
	if r := h.feed("one\ntwo\n", "run", "--rm", "-i", image, "cat"); r.out != "one\ntwo\n" {
		t.Errorf("-i gave %q, %s", r.out, r.err)
	}
	big := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
	if r := h.feed(big, "run", "--rm", "-i", image, "cat"); r.out != big {
		t.Errorf("1 MiB through cat came back as %d bytes, exit %d", len(r.out), r.code)
	}
}

// TestLastWords has a client that is stopped while a container says its last, more than a
// pipe holds, and is removed.
func TestLastWords(t *testing.T) {
	h := start(t)
	c := h.cmd("run", "--rm", image, "sh", "-c", "echo begin; sleep 0.3; seq 20000")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if l, err := line(out); l != "begin" {
		t.Fatalf("%q, %v", l, err)
	}
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.eventually("the container is gone", func() bool { return h.ok("ps", "-aq") == "" })
	if err := c.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(out)
	if n := strings.Count(string(text), "\n"); n != 20000 || err != nil {
		t.Errorf("%d lines, %v", n, err)
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
}

// TestTerminal runs with -it on a real terminal: it is one, it has the size of
// ours, follows a change, and Ctrl-C reaches the process.
func TestTerminal(t *testing.T) {
	h := start(t)
	name := h.name("c")
	c := h.cmd("run", "--rm", "-it", "--name", name, image, "sh", "-c", "[ -t 0 ] && echo is a terminal; read x; echo got $x; sleep 1000")
	tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 31, Cols: 117})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	out := make(chan string, 64)
	go func() {
		defer close(out)
		for {
			l, err := line(tty)
			if err != nil {
				return
			}
			out <- strings.TrimSpace(l)
		}
	}()
	expect := func(want string) {
		t.Helper()
		end := time.After(testenv.Patience(20 * time.Second))
		for {
			select {
			case l, open := <-out:
				if strings.Contains(l, want) {
					return
				}
				if !open {
					t.Fatalf("the terminal closed before %q", want)
				}
			case <-end:
				t.Fatalf("no %q", want)
			}
		}
	}
	expect("is a terminal")
	size := func() string { // of the container's terminal, asked through /proc
		f, err := os.Open(fmt.Sprintf("/proc/%d/fd/0", h.pid(name)))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ws, err := pty.GetsizeFull(f)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(ws.Rows, " ", ws.Cols)
	}
	h.eventually("it has our terminal's size", func() bool { return size() == "31 117" })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	h.eventually("it follows ours", func() bool { return size() == "40 80" })
	_, _ = io.WriteString(tty, "word\n")
	expect("got word")
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	end := time.After(testenv.Patience(20 * time.Second))
	for { // as a person would: once more when nothing happens
		_, _ = io.WriteString(tty, "\x03")
		select {
		case <-done:
			if code := c.ProcessState.ExitCode(); code != 130 {
				t.Errorf("exit code %d after Ctrl-C, want 130", code)
			}
			return
		case <-time.After(500 * time.Millisecond):
		case <-end:
			t.Fatal("Ctrl-C does not end it")
		}
	}
}

// TestRestartPolicies counts starts by what a container writes into a volume.
func TestRestartPolicies(t *testing.T) {
	h := start(t)
	for _, c := range []struct {
		name, policy, exit string
		starts             int
	}{
		{"never", "no", "1", 1},
		{"on-failure, twice", "on-failure:2", "1", 3},
		{"on-failure, success", "on-failure:2", "0", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			name := "restart-" + strings.NewReplacer(" ", "", ",", "-").Replace(c.name)
			h.ok("run", "-d", "--name", name, "--restart", c.policy, image, "sh", "-c", "echo started; exit "+c.exit)
			t.Cleanup(func() { h.run("rm", "-f", name) })
			h.eventually("it has ended for good", func() bool {
				return strings.Count(h.run("logs", name).out, "started") == c.starts &&
					h.run("inspect", "--format", "{{.State.Status}}", name).out == "exited\n"
			})
			time.Sleep(300 * time.Millisecond) // one start too many would come now
			if got := strings.Count(h.ok("logs", name), "started"); got != c.starts {
				t.Errorf("%d starts, want %d", got, c.starts)
			}
		})
	}
	t.Run("always, until stopped", func(t *testing.T) {
		h := &host{T: t, machine: h.machine}
		name := h.name("c")
		h.ok("run", "-d", "--name", name, "--restart", "always", image, "sh", "-c", "echo started; sleep 0.1")
		t.Cleanup(func() { h.run("rm", "-f", name) })
		h.eventually("it starts three times", func() bool { return strings.Count(h.run("logs", name).out, "started") >= 3 })
		h.ok("stop", "-t", "0", name)
		n := strings.Count(h.ok("logs", name), "started")
		time.Sleep(500 * time.Millisecond)
		if m := strings.Count(h.ok("logs", name), "started"); m != n {
			t.Errorf("%d more starts after stop", m-n)
		}
	})
}

// TestOutOfMemory says so: 137, and the reason in inspect.
func TestOutOfMemory(t *testing.T) {
	h := start(t)
	name := h.name("c")
	t.Cleanup(func() { h.run("rm", "-f", name) })
	h.code(137, "run", "--name", name, "--memory", "16m", "--memory-swap", "16m", image, "sh", "-c", "cat /dev/zero | head -c 100000000 | tail -n 1 >/dev/null; dd if=/dev/zero of=/dev/shm/x bs=1M count=64")
	if got := h.ok("inspect", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}", name); got != "true 137" {
		t.Errorf("inspect says %q, want \"true 137\"", got)
	}
}

// TestSmallMemory starts true, which is a program of some 130 bytes, under the
// smallest limits: nothing of carob is charged to the container.
func TestSmallMemory(t *testing.T) {
	h := start(t)
	for _, limit := range []string{"512k", "1m", "4m"} {
		t.Run(limit, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			h.code(0, "run", "--rm", "--memory", limit, image, "true")
		})
	}
}
