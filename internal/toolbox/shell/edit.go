package shell

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// edited is a terminal whose lines can be edited and had again: arrows, Ctrl-A, Ctrl-E,
// Ctrl-W and so on. The terminal is in its own mode while a line is typed and in the one
// that commands expect while they run.
type edited struct {
	typed
	editor *term.Terminal
	asking string
	rest   []byte // of a line that has been read
}

func newEdited(t typed) *edited {
	e := &edited{typed: t}
	e.editor = term.NewTerminal(keys{t}, "")
	return e
}

func (e *edited) prompt(text string) { e.asking = text }

func (e *edited) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(e.rest) == 0 {
		line, err := e.line()
		if err != nil {
			return 0, err
		}
		e.rest = []byte(line + "\n")
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// line has one line edited. After an interrupt what was typed is gone, the history not.
func (e *edited) line() (string, error) {
	fd := int(e.in.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", err
	}
	mode := *before
	mode.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG | unix.IEXTEN
	mode.Oflag &^= unix.OPOST
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETSW, &mode); err != nil {
		return "", err
	}
	defer func() { _ = unix.IoctlSetTermios(fd, unix.TCSETSW, before) }() // the terminal may be gone
	width, height, err := term.GetSize(fd)
	if err != nil || width < 2 {
		width, height = 80, 24 // a terminal that was told no size
	}
	if err := e.editor.SetSize(width, height); err != nil {
		return "", err
	}
	e.editor.SetPrompt(e.asking)
	line, err := e.editor.ReadLine()
	if err != nil {
		history := e.editor.History
		e.editor = term.NewTerminal(keys{e.typed}, "")
		e.editor.History = history
	}
	return line, err
}

// keys are what is typed, one byte at a time: what follows a line is for the command
// that the line starts.
type keys struct{ typed }

// Keys that the terminal itself would act on.
const (
	keyInterrupt = 3
	keySuspend   = 26
	keyQuit      = 28
)

func (k keys) Read(p []byte) (int, error) {
	if err := k.signals.await(int(k.in.Fd())); err != nil {
		return 0, err
	}
	n, err := k.in.Read(p[:1])
	if n == 1 {
		switch p[0] {
		case keyInterrupt:
			_, _ = io.WriteString(k.out, "^C") // as the terminal shows it
			return 0, errInterrupted
		case keySuspend, keyQuit:
			return 0, nil // for commands, and none runs
		}
	}
	return n, err
}

func (k keys) Write(p []byte) (int, error) { return k.out.Write(p) }

// canEdit reports whether a terminal can move its cursor.
func canEdit(in *os.File) bool {
	return term.IsTerminal(int(in.Fd())) && os.Getenv("TERM") != "dumb"
}
