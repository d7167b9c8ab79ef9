package e2e

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/gdamore/tcell/v3/vt"
	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// A screen is a terminal that a command runs in: what the command writes to its side of
// a pty is shown by an emulator.
type screen struct {
	*testing.T
	vt.MockTerm
	cmd *exec.Cmd
	// outer is the side of whoever sits before the terminal, inner the command's.
	outer, inner *os.File
	// before is the terminal's mode when the command is started, which may change it at once.
	before unix.Termios
	raw    chan string
}

const columns, lines = 140, 30

func (h *host) screen(args ...string) *screen {
	h.Helper()
	outer, inner, err := pty.Open()
	if err != nil {
		h.Skip("needs a pty: ", err)
	}
	s := &screen{T: h.T, MockTerm: vt.NewMockTerm(vt.MockOptSize{X: columns, Y: lines}), outer: outer, inner: inner, raw: make(chan string, 1)}
	h.Cleanup(func() { outer.Close(); inner.Close() })
	if err := pty.Setsize(outer, &pty.Winsize{Cols: columns, Rows: lines}); err != nil {
		h.Fatal(err)
	}
	if err := s.Start(); err != nil {
		h.Fatal(err)
	}
	go func() {
		var all strings.Builder
		_, _ = io.Copy(io.MultiWriter(s.MockTerm, &all), outer) // ends when both sides are closed
		s.raw <- all.String()
	}()
	s.before = s.mode()
	s.cmd = h.cmd(args...)
	s.cmd.Env = append(s.cmd.Env, "TERM=xterm-256color", "LC_ALL=C.UTF-8", "NO_COLOR=")
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = inner, inner, inner
	if err := s.cmd.Start(); err != nil {
		h.Fatal(err)
	}
	return s
}

func (s *screen) text() string {
	var b strings.Builder
	for y := range lines {
		for x := range columns {
			b.WriteString(s.GetCell(vt.Coord{X: vt.Col(x), Y: vt.Row(y)}).C)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (s *screen) keys(keys string) {
	s.Helper()
	if _, err := s.outer.WriteString(keys); err != nil {
		s.Fatal(err)
	}
}

// shows waits until the screen has a text.
func (s *screen) shows(want string) {
	s.Helper()
	if !wait(20*time.Second, func() bool { return strings.Contains(s.text(), want) }) {
		s.Fatalf("%q is not shown:\n%s", want, s.text())
	}
}

// mode is how the terminal treats what is typed.
func (s *screen) mode() unix.Termios {
	s.Helper()
	t, err := unix.IoctlGetTermios(int(s.inner.Fd()), unix.TCGETS)
	if err != nil {
		s.Fatal(err)
	}
	return *t
}

// ends waits for the command and returns all that it has written.
func (s *screen) ends() string {
	s.Helper()
	done := make(chan error, 1)
	go func() { done <- s.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			s.Errorf("%v:\n%s", err, s.text())
		}
	case <-time.After(testenv.Patience(20 * time.Second)):
		_ = s.cmd.Process.Kill()
		s.Fatal("it goes on")
	}
	s.inner.Close()
	s.outer.SetReadDeadline(time.Now().Add(time.Second)) // what was written is read by then
	return <-s.raw
}

// busy is a program that computes now and then, so that a machine of one slow processor
// has time for others.
const busy = "while :; do sleep 0.01; done"

// TestLookWatch sits before the live view of a container that computes, presses keys,
// and finds its terminal as it was.
func TestLookWatch(t *testing.T) {
	h := start(t)
	name := "busy"
	h.ok("run", "-d", "--name", name, "--memory", "64m", "carob.local/toolbox", "sh", "-c", busy)
	t.Cleanup(func() { h.run("rm", "-f", name) })

	s := h.screen("look", "watch", "--interval", "500ms")
	s.shows("NAME")
	s.shows(name)
	s.shows("/64M")
	if s.mode().Lflag&unix.ICANON != 0 {
		t.Error("keys wait for the end of a line")
	}
	s.keys("/bus\r")
	s.shows("filter bus")
	s.keys("s")
	s.shows("CPU%▼")
	s.keys("\r")
	s.shows("container of carob")
	s.shows("with busy/sandbox")
	s.keys("G")
	s.shows("PROCESSES")
	s.shows("memory: 64MiB, set by its own group")
	s.shows("SECURITY")
	s.keys("\x1b")
	s.shows("RX/s")
	s.keys("?")
	s.shows("COLUMNS")
	s.keys("q")
	raw := s.ends()
	if after := s.restored(); after != "" {
		t.Error(after)
	}
	for what, code := range map[string]string{"the other screen": "\x1b[?1049l", "the cursor": "\x1b[?25h"} {
		if !strings.Contains(raw, code) {
			t.Errorf("%s is not given back", what)
		}
	}

	s = h.screen("look", "watch")
	s.shows(name)
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if raw := s.ends(); !strings.Contains(raw, "\x1b[?1049l") {
		t.Error("a signal leaves the other screen")
	}
}

// restored says what of the terminal is not as it was.
func (s *screen) restored() string {
	inner, err := os.OpenFile(s.inner.Name(), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err.Error()
	}
	defer inner.Close()
	after, err := unix.IoctlGetTermios(int(inner.Fd()), unix.TCGETS)
	if err != nil {
		return err.Error()
	}
	if *after != s.before {
		return "the terminal's mode is another"
	}
	return ""
}

// TestLookWatchOnce prints what holds of a container that computes.
func TestLookWatchOnce(t *testing.T) {
	h := start(t)
	name := "once"
	id := strings.TrimSpace(h.ok("run", "-d", "--name", name, "--memory", "64m", "carob.local/toolbox", "sh", "-c", busy))
	t.Cleanup(func() { h.run("rm", "-f", name) })
	var got struct {
		Seconds float64
		Rows    []struct {
			Name, ID, Engine, State, Network string
			CPUPercent                       float64
			MemoryLimit                      uint64
			Shares                           map[string]string
		}
	}
	if err := json.Unmarshal([]byte(h.ok("look", "watch", "-o", "json", "--interval", "2s")), &got); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range got.Rows {
		if r.ID != id {
			continue
		}
		found = true
		if r.CPUPercent <= 0 || r.CPUPercent > 100*float64(runtime.NumCPU()) || r.MemoryLimit != 64<<20 || r.Engine != "carob" || r.State != "running" || r.Network != "own" {
			t.Errorf("%+v", r)
		}
		if r.Shares["mnt"] != "own" || r.Shares["net"] != "pod" || r.Shares["time"] != "host" {
			t.Errorf("shares: %v", r.Shares)
		}
	}
	if !found || got.Seconds < 1.9 {
		t.Errorf("found %v, %v seconds", found, got.Seconds)
	}
	if text := h.ok("look", "watch", "--once", "--interval", "250ms", "--sort", "memory"); !strings.Contains(text, name) || !strings.Contains(text, "MEMORY▼") || strings.Contains(text, "\x1b") {
		t.Errorf("as text:\n%s", text)
	}
	r := h.run("look", "watch")
	if r.code != 1 || strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "look tree") || !strings.Contains(r.err, "--once -o json") {
		t.Errorf("without a terminal: %+v", r)
	}
}
