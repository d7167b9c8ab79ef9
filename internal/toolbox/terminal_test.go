package toolbox

import (
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// termios is how the terminal of a dialogue works, asked of the kernel from outside.
func (d *dialogue) termios() *unix.Termios {
	d.t.Helper()
	t, err := unix.IoctlGetTermios(int(d.f.Fd()), unix.TCGETS)
	if err != nil {
		d.t.Fatal(err)
	}
	return t
}

// hold says a line and returns while the terminal is the commands': at the prompt it is
// the line editor's.
func (d *dialogue) hold(line string) {
	d.t.Helper()
	d.say(line + "; echo he''ld; sleep 0.5\n")
	d.expect("held\r\n")
}

// run says a line and waits until it is done.
func (d *dialogue) run(line string) {
	d.t.Helper()
	d.say(line + "; echo do''ne\n")
	d.expect("done")
	d.expect("# ")
}

func TestStty(t *testing.T) {
	t.Run("bits", func(t *testing.T) {
		t.Parallel()
		d := talk(t, roomFirst)
		d.hold("stty -echo")
		if d.termios().Lflag&unix.ECHO != 0 {
			t.Error("echo is still on")
		}
		d.expect("# ")
		d.hold("stty echo -icrnl")
		if got := d.termios(); got.Lflag&unix.ECHO == 0 || got.Iflag&unix.ICRNL != 0 {
			t.Errorf("%+v", got)
		}
		d.expect("# ")
		d.hold("stty sane")
		sane := d.termios()
		if sane.Iflag&unix.ICRNL == 0 || sane.Oflag&(unix.OPOST|unix.ONLCR) != unix.OPOST|unix.ONLCR || sane.Lflag&(unix.ICANON|unix.ISIG|unix.ECHO) != unix.ICANON|unix.ISIG|unix.ECHO || sane.Cc[unix.VINTR] != 3 {
			t.Errorf("%+v", sane)
		}
		d.expect("# ")
		d.hold("s=$(stty -g); stty raw; stty -a >raw; stty $s; grep -q -e -icanon raw || echo not raw")
		if got := d.termios(); *got != *sane {
			t.Errorf("after saving, raw and restoring: %+v, not %+v", got, sane)
		}
	})
	t.Run("raw", func(t *testing.T) {
		t.Parallel()
		d := talk(t, roomFirst)
		d.say("stty raw; printf 'rea''dy'; sleep 1; stty sane\n")
		d.expect("ready")
		got := d.termios()
		if got.Lflag&(unix.ICANON|unix.ISIG) != 0 || got.Oflag&unix.OPOST != 0 || got.Cc[unix.VMIN] != 1 {
			t.Errorf("%+v", got)
		}
		d.expect("# ")
	})
	t.Run("size", func(t *testing.T) {
		t.Parallel()
		d := talk(t, roomFirst)
		d.say("stty size\n")
		d.expect("24 80\r\n")
		if err := pty.Setsize(d.f, &pty.Winsize{Rows: 31, Cols: 117}); err != nil {
			t.Fatal(err)
		}
		d.say("stty size\n")
		d.expect("31 117\r\n")
		d.run("stty rows 11 cols 99")
		if rows, cols, err := pty.Getsize(d.f); rows != 11 || cols != 99 || err != nil {
			t.Errorf("%d %d, %v", rows, cols, err)
		}
		d.say("stty -a\n")
		d.expect("rows 11; columns 99;")
		d.expect("intr = ^C;")
		d.expect(" icanon")
	})
	t.Run("wrong", func(t *testing.T) {
		t.Parallel()
		d := talk(t, roomFirst)
		d.hold("true")
		before := d.termios()
		d.expect("# ")
		d.hold("stty -echo nosuch; stty rows x; stty rows")
		for _, want := range []string{"stty: invalid argument 'nosuch'", "stty: invalid integer argument 'x'", "stty: missing argument to 'rows'"} {
			if text := d.text.String(); !strings.Contains(text, want) {
				t.Errorf("no %q in %q", want, text)
			}
		}
		if got := d.termios(); *got != *before {
			t.Errorf("changed: %+v", got)
		}
	})
}

func TestTTY(t *testing.T) {
	d := talk(t, roomFirst)
	d.say("tty; tty -s; echo code-$?; tty </dev/null; echo code-$?\n")
	d.expect("/dev/pts/")
	d.expect("code-0\r\n")
	d.expect("not a tty\r\ncode-1\r\n")
}

// TestTerminalIsSafe lists a file whose name would drive the terminal, and lets a process
// with such a name be shown.
func TestTerminalIsSafe(t *testing.T) {
	d := talk(t, roomFirst)
	d.run(`printf 'x\033]0;evil\007' >name; touch "$(cat name)"; ls; find . -name 'x*'; ls nosuch"$(cat name)"; stat -c %n x*`)
	d.run(`mkdir bin; ln -s /bin/carob-toolbox "bin/sleep$(cat name)"; ps; "bin/sh$(cat name)"; "nosuch$(cat name)"`)
	d.mu.Lock()
	defer d.mu.Unlock()
	if text := d.text.String(); strings.Contains(text, "\x1b") || strings.Contains(text, "\x07") {
		t.Errorf("%q", text)
	}
	if !strings.Contains(d.text.String(), "x?]0;evil?") {
		t.Errorf("%q", d.text.String())
	}
}

func TestColumns(t *testing.T) {
	d := talk(t, roomFirst)
	d.run("touch a b c dddddddddddddddd")
	d.say("ls\n")
	d.expect("a                 b                 c                 dddddddddddddddd\r\n")
	d.say("ls -1\n")
	d.expect("a\r\nb\r\nc\r\ndddddddddddddddd\r\n")
	d.say("ls | cat\n")
	d.expect("a\r\nb\r\nc\r\ndddddddddddddddd\r\n")
}
