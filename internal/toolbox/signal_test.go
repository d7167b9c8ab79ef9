package toolbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"carob/internal/testenv"
)

// TestSignalWhileLastCommandStarts interrupts the first process at the moment when its
// last command begins: the shell must be there to hear it.
func TestSignalWhileLastCommandStarts(t *testing.T) {
	for range 40 {
		cmd := firstProcess(t, "sh", "-c", "echo up; sleep 3650d")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = within(t, 20*time.Second, cmd)
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Fatalf("exit code %d, want 130", code)
		}
	}
}

// TestSignals sends a signal to a tool, as the first process of its room, where the kernel
// gives no default action, and as a child, where the parent must see the death.
func TestSignals(t *testing.T) {
	const (
		term = syscall.SIGTERM
		intr = syscall.SIGINT
	)
	for _, test := range []struct {
		name, ready  string
		args         []string
		send         syscall.Signal
		first, child int // exit codes
	}{
		{"sleep", "", []string{"sleep", "3650d"}, term, 143, diedBy + 15},
		{"sleep interrupted", "", []string{"sleep", "3650d"}, intr, 130, diedBy + 2},
		{"sleep quit", "", []string{"sleep", "3650d"}, syscall.SIGQUIT, 131, diedBy + 3},
		{"sleep hung up", "", []string{"sleep", "3650d"}, syscall.SIGHUP, 129, diedBy + 1},
		{"sleep and SIGUSR1", "", []string{"sleep", "3650d"}, syscall.SIGUSR1, 138, diedBy + 10},
		{"infinity", "", []string{"sleep", "infinity"}, term, 143, diedBy + 15},
		{"httpd", "listening", []string{"httpd", "-u", "sock"}, term, 0, 0},
		{"httpd quit", "listening", []string{"httpd", "-u", "sock"}, syscall.SIGQUIT, 131, diedBy + 3},
		{"hold", "holding 1", []string{"hold", "1"}, term, 143, diedBy + 15},
		{"shell", "up", []string{"sh", "-c", "echo up; sleep 3650d; echo never"}, term, 143, diedBy + 15},
		{"shell interrupted", "up", []string{"sh", "-c", "echo up; sleep 3650d; echo never"}, intr, 130, diedBy + 2},
		{"busy shell", "up", []string{"sh", "-c", "echo up; while true; do true; done"}, intr, 130, diedBy + 2},
		{"shell that becomes sleep", "", []string{"sh", "-c", "sleep 3650d"}, term, 143, diedBy + 15},
		{"shell that becomes sleep, interrupted", "", []string{"sh", "-c", "sleep 3650d"}, intr, 130, diedBy + 2},
		{"trap", "up", []string{"sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while true; do sleep 0.05; done"}, term, 5, 5},
		{"trap of an interrupt", "up", []string{"sh", "-c", "trap 'exit 6' INT; echo up; while true; do sleep 0.05; done"}, intr, 6, 6},
		{"trap ends wait", "up", []string{"sh", "-c", "trap 'exit 7' TERM; sleep 3650d & echo up; wait"}, term, 7, 7},
		{"trap ends wait, which says so", "", []string{"sh", "-c", "trap 'true' TERM; sleep 3650d & (sleep 0.3; kill -TERM $$) & wait; exit $?"}, term, 143, 143},
		{"trap after the last command", "up", []string{"sh", "-c", "trap 'exit 8' TERM; echo up; sleep 0.3"}, term, 8, 8},
		{"trap taken back", "up", []string{"sh", "-c", "trap 'exit 9' TERM; trap - TERM; echo up; sleep 3650d; true"}, term, 143, diedBy + 15},
		{"ignored", "up", []string{"sh", "-c", "trap '' TERM; echo up; sleep 0.3; exit 4"}, term, 4, 4},
		{"shell waiting for input", "", []string{"sh", "-c", "read line; exit 3"}, term, 143, diedBy + 15},
	} {
		for how, want := range map[string]int{roomFirst: test.first, roomChild: test.child} {
			t.Run(test.name+"/"+how, func(t *testing.T) {
				t.Parallel()
				cmd := inRoom(t, how, test.args[0], test.args[1:]...)
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				out, _ := cmd.StdoutPipe()
				var complaint bytes.Buffer
				cmd.Stderr = &complaint
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if test.ready != "" {
					b := make([]byte, len(test.ready))
					if _, err := io.ReadFull(out, b); err != nil || string(b) != test.ready {
						t.Fatalf("%q, %v", b, err)
					}
				} else {
					waitReady(t, cmd, how, test.args)
				}
				cmd.Process.Signal(test.send)
				if code := exitCode(within(t, 5*time.Second, cmd)); code != want {
					t.Errorf("code %d, want %d; %s", code, want, complaint.String())
				}
			})
		}
	}
}

// candidates are the pids, as this test sees them, that may be the tool in a room. Beside
// the tool, a Go program's first child is one that only tries out pidfds.
func candidates(cmd *exec.Cmd, how string) (pids []int) {
	if how == roomFirst {
		return []int{cmd.Process.Pid}
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// waitReady waits until the room's tool runs, sleep for a shell that becomes it, and has
// handlers: from execve to there are some ms.
func waitReady(t *testing.T, cmd *exec.Cmd, how string, args []string) {
	t.Helper()
	name := args[0]
	if name == "sh" && strings.HasPrefix(args[len(args)-1], "sleep") {
		name = "sleep"
	}
	for range 300 * int(testenv.Patience(1)) {
		for _, pid := range candidates(cmd, how) {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			argv0, _, _ := strings.Cut(string(text), "\x00")
			if filepath.Base(argv0) == name {
				time.Sleep(testenv.Patience(100 * time.Millisecond))
				return
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no process became %s", name)
}

// dialogue is a person at a terminal.
type dialogue struct {
	t    *testing.T
	f    *os.File
	cmd  *exec.Cmd
	mu   sync.Mutex
	text bytes.Buffer
	seen int
}

// talk starts a shell on a terminal of its own.
func talk(t *testing.T, how string) *dialogue {
	t.Helper()
	cmd := inRoom(t, how, "sh")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	d := &dialogue{t: t, f: f, cmd: cmd}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := f.Read(b)
			d.mu.Lock()
			d.text.Write(b[:n])
			d.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	d.expect("# ")
	return d
}

func (d *dialogue) say(text string) {
	d.t.Helper()
	if _, err := d.f.WriteString(text); err != nil {
		d.t.Fatal(err)
	}
}

// expect waits for text after what was expected before.
func (d *dialogue) expect(want string) {
	d.t.Helper()
	for range 500 * int(testenv.Patience(1)) {
		d.mu.Lock()
		i := strings.Index(d.text.String()[d.seen:], want)
		if i >= 0 {
			d.seen += i + len(want)
		}
		d.mu.Unlock()
		if i >= 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.t.Fatalf("no %q in %q, after %q", want, d.text.String()[d.seen:], d.text.String()[:d.seen])
}

const ctrlC, ctrlD, ctrlZ, ctrlBackslash = "\x03", "\x04", "\x1a", "\x1c"

// TestInterrupts is a person who presses Ctrl-C, and the other keys that send signals.
func TestInterrupts(t *testing.T) {
	// up is printed by the command that is then interrupted. It is spelled so that the
	// echo of what was typed is not taken for it.
	const up = `printf 'u%s\n' p; `
	for _, test := range []struct {
		name string
		do   func(d *dialogue)
	}{
		{"command", func(d *dialogue) { d.say(up + "sleep 100\n"); d.expect("up\r\n"); d.say(ctrlC) }},
		{"list", func(d *dialogue) {
			d.say(up + "sleep 100; touch never\n")
			d.expect("up\r\n")
			time.Sleep(testenv.Patience(100 * time.Millisecond))
			d.say(ctrlC)
			d.expect("# ")
			d.say("ls never; false | (exit 130)\n")
			d.expect("No such file")
		}},
		{"loop", func(d *dialogue) { d.say(up + "while true; do :; done\n"); d.expect("up\r\n"); d.say(ctrlC) }},
		{"loop of commands", func(d *dialogue) {
			d.say(up + "while true; do sleep 0.01; done\n")
			d.expect("up\r\n")
			time.Sleep(testenv.Patience(100 * time.Millisecond))
			d.say(ctrlC)
		}},
		{"pipeline", func(d *dialogue) {
			d.say(up + "sleep 100 | cat\n")
			d.expect("up\r\n")
			time.Sleep(testenv.Patience(100 * time.Millisecond))
			d.say(ctrlC)
		}},
		{"read", func(d *dialogue) {
			d.say(up + "read x\n")
			d.expect("up\r\n")
			time.Sleep(testenv.Patience(100 * time.Millisecond))
			d.say(ctrlC)
		}},
		{"wait", func(d *dialogue) {
			d.say("sleep 100 & " + up + "wait\n")
			d.expect("up\r\n")
			time.Sleep(testenv.Patience(100 * time.Millisecond))
			d.say(ctrlC)
		}},
		{"prompt", func(d *dialogue) { d.say(ctrlC) }},
		{"half a line", func(d *dialogue) { d.say("echo never"); d.expect("never"); d.say(ctrlC) }},
		{"half a statement", func(d *dialogue) { d.say("if true\n"); d.expect("> "); d.say(ctrlC) }},
	} {
		for _, how := range []string{roomFirst, roomChild} {
			t.Run(test.name+"/"+how, func(t *testing.T) {
				t.Parallel()
				d := talk(t, how)
				test.do(d)
				d.expect("# ")
				d.say("echo code-$?\n")
				d.expect("code-130\r\n")
				d.expect("# ")
				d.say("exit 9\n")
				if code := exitCode(within(t, 5*time.Second, d.cmd)); code != 9 {
					t.Errorf("code %d", code)
				}
			})
		}
	}
}

// atOnceOrSo is what the shell takes for at once.
const atOnceOrSo = 200 * time.Millisecond

func TestTerminalKeys(t *testing.T) {
	for _, how := range []string{roomFirst, roomChild} {
		t.Run("background commands live on/"+how, func(t *testing.T) {
			t.Parallel()
			d := talk(t, how)
			d.say("sleep 1000 &\n")
			d.expect("# ")
			d.say("until pgrep -f 'sleep 1000' >/dev/null; do sleep 0.05; done\n")
			d.expect("# ")
			d.say(ctrlC)
			d.expect("# ")
			d.say("sleep 0.2; pgrep -f 'sleep 1000' >/dev/null; echo found-$?\n")
			d.expect("found-0\r\n")
		})
		t.Run("stop does not hang/"+how, func(t *testing.T) {
			t.Parallel()
			d := talk(t, how)
			d.say("sleep 100\n")
			time.Sleep(testenv.Patience(200 * time.Millisecond))
			d.say(ctrlZ + ctrlC)
			d.expect("# ")
			d.say("echo on\n")
			d.expect("on\r\n")
		})
		t.Run("quit/"+how, func(t *testing.T) {
			t.Parallel()
			d := talk(t, how)
			d.say(ctrlBackslash + "sleep 100\n")
			time.Sleep(testenv.Patience(200 * time.Millisecond))
			d.say(ctrlBackslash)
			d.expect("Quit\r\n")
			d.expect("# ")
			d.say("echo code-$?\n")
			d.expect("code-131\r\n")
		})
		t.Run("a shell in a shell/"+how, func(t *testing.T) {
			t.Parallel()
			d := talk(t, how)
			d.say("PS1='inn''er> ' sh\n")
			d.expect("inner> ")
			d.say("sleep 100\n")
			time.Sleep(testenv.Patience(200 * time.Millisecond))
			d.say(ctrlC)
			d.expect("inner> ")
			time.Sleep(testenv.Patience(2 * atOnceOrSo))
			d.say("exit 3\n")
			d.expect("# ")
			d.say("echo code-$?\n")
			d.expect("code-3\r\n")
		})
		t.Run("end of input/"+how, func(t *testing.T) {
			t.Parallel()
			d := talk(t, how)
			d.say("(exit 5)\n")
			d.expect("# ")
			d.say(ctrlD)
			if code := exitCode(within(t, 5*time.Second, d.cmd)); code != 5 {
				t.Errorf("code %d", code)
			}
		})
	}
	t.Run("stop of a container", func(t *testing.T) {
		t.Parallel()
		d := talk(t, roomFirst)
		d.cmd.Process.Signal(syscall.SIGTERM)
		if code := exitCode(within(t, 5*time.Second, d.cmd)); code != 143 {
			t.Errorf("code %d", code)
		}
	})
	t.Run("a shell that is not the first ignores SIGTERM", func(t *testing.T) {
		t.Parallel()
		d := talk(t, roomChild)
		d.say("kill -TERM $$; sleep 0.1; echo on\n")
		d.expect("on\r\n")
	})
}
