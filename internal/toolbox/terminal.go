package toolbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

func terminalTools() []tool.Tool {
	return []tool.Tool{
		{Name: "clear", Does: "clear the terminal", Run: clearScreen},
		{Name: "reset", Does: "bring the terminal back to sense", Run: reset},
		{Name: "stty", Usage: "[-F DEVICE] [-a] [size | sane | raw | cooked | rows N | cols N | [-]SETTING]...", Does: "show or change how the terminal works", Run: stty},
		{Name: "tty", Usage: "[-s]", Does: "print the terminal's name", Misused: 2, Run: tty},
	}
}

// tty's exit code is 1 when standard input is no terminal.
func tty(c *tool.Call) (int, error) {
	o, _, err := c.Operands(0, 0, "s", "silent=s", "quiet=s")
	if err != nil {
		return 0, err
	}
	name, code := "not a tty", tool.Failed
	if _, err := unix.IoctlGetTermios(int(c.In.Fd()), unix.TCGETS); err == nil {
		name, code = terminalName(c.In), 0
	}
	if !o.Has('s') {
		fmt.Fprintln(c.Out, name)
	}
	return code, nil
}

// terminalName is where /proc says the terminal is, if that leads to it here: one that
// came from outside of the container has no name inside.
func terminalName(f *os.File) string {
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	var open, named unix.Stat_t
	if err == nil && unix.Fstat(int(f.Fd()), &open) == nil && unix.Stat(name, &named) == nil && open.Rdev == named.Rdev && named.Mode&unix.S_IFMT == unix.S_IFCHR {
		return name
	}
	return "/dev/tty"
}

// clearScreen is what terminfo has for clear on every terminal of today.
func clearScreen(c *tool.Call) (int, error) {
	_, err := fmt.Fprint(c.Out, "\x1b[H\x1b[2J\x1b[3J")
	return 0, err
}

func reset(c *tool.Call) (int, error) {
	fd := int(c.In.Fd())
	if t, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		makeSane(t)
		if err := unix.IoctlSetTermios(fd, unix.TCSETSW, t); err != nil {
			return 0, err
		}
	}
	_, err := fmt.Fprint(c.Out, "\x1bc\x1b[!p\x1b[?25h")
	return 0, err
}

// setting is one of stty's words: a bit of a field of termios.
type setting struct {
	name  string
	field func(*unix.Termios) *uint32
	bit   uint32
}

func settings() []setting {
	in := func(t *unix.Termios) *uint32 { return &t.Iflag }
	out := func(t *unix.Termios) *uint32 { return &t.Oflag }
	control := func(t *unix.Termios) *uint32 { return &t.Cflag }
	local := func(t *unix.Termios) *uint32 { return &t.Lflag }
	return []setting{
		{"ignbrk", in, unix.IGNBRK}, {"brkint", in, unix.BRKINT}, {"parmrk", in, unix.PARMRK}, {"inpck", in, unix.INPCK}, {"istrip", in, unix.ISTRIP},
		{"inlcr", in, unix.INLCR}, {"igncr", in, unix.IGNCR}, {"icrnl", in, unix.ICRNL}, {"ixon", in, unix.IXON}, {"ixoff", in, unix.IXOFF},
		{"ixany", in, unix.IXANY}, {"imaxbel", in, unix.IMAXBEL}, {"iutf8", in, unix.IUTF8},
		{"opost", out, unix.OPOST}, {"onlcr", out, unix.ONLCR}, {"ocrnl", out, unix.OCRNL},
		{"cread", control, unix.CREAD}, {"clocal", control, unix.CLOCAL}, {"hupcl", control, unix.HUPCL},
		{"isig", local, unix.ISIG}, {"icanon", local, unix.ICANON}, {"iexten", local, unix.IEXTEN}, {"echo", local, unix.ECHO}, {"echoe", local, unix.ECHOE},
		{"echok", local, unix.ECHOK}, {"echonl", local, unix.ECHONL}, {"echoctl", local, unix.ECHOCTL}, {"echoke", local, unix.ECHOKE},
		{"noflsh", local, unix.NOFLSH}, {"tostop", local, unix.TOSTOP},
	}
}

// key is one of the characters that the terminal acts on.
type key struct {
	name string
	at   int
	sane byte
}

func keys() []key {
	return []key{
		{"intr", unix.VINTR, 3}, {"quit", unix.VQUIT, 28}, {"erase", unix.VERASE, 127}, {"kill", unix.VKILL, 21}, {"eof", unix.VEOF, 4},
		{"start", unix.VSTART, 17}, {"stop", unix.VSTOP, 19}, {"susp", unix.VSUSP, 26}, {"rprnt", unix.VREPRINT, 18}, {"werase", unix.VWERASE, 23}, {"lnext", unix.VLNEXT, 22},
	}
}

func stty(c *tool.Call) (int, error) {
	fd, args := int(c.In.Fd()), c.Args
	if len(args) > 1 && args[0] == "-F" {
		f, err := os.OpenFile(args[1], os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		fd, args = int(f.Fd()), args[2:]
	}
	if asked := strings.Join(args, " "); report(&unix.Termios{}, &unix.Winsize{}, asked) == "" {
		if err := change(&unix.Termios{}, &unix.Winsize{}, args); err != nil { // wrong words change nothing
			return 0, err
		}
	}
	return 0, sttyOn(c, fd, args)
}

func sttyOn(c *tool.Call, fd int, args []string) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	size, err2 := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err := errors.Join(err, err2); err != nil {
		return fmt.Errorf("standard input: %s", tool.Why(err))
	}
	if text := report(t, size, strings.Join(args, " ")); text != "" {
		_, err := fmt.Fprint(c.Out, text)
		return err
	}
	before := *size
	if err := change(t, size, args); err != nil {
		return err
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETSW, t); err != nil {
		return err
	}
	if before != *size {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size)
	}
	return nil
}

// report is what stty prints, "" when it is asked for a change.
func report(t *unix.Termios, size *unix.Winsize, asked string) string {
	switch asked {
	case "":
		return describe(t, size, false)
	case "-a", "--all":
		return describe(t, size, true)
	case "size":
		return fmt.Sprintf("%d %d\n", size.Row, size.Col)
	case "-g", "--save":
		return saved(t) + "\n"
	}
	return ""
}

// describe is stty's page: what differs from sane, or with all everything.
func describe(t *unix.Termios, size *unix.Winsize, all bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "speed %d baud;", baud(t))
	if all {
		fmt.Fprintf(&b, " rows %d; columns %d;", size.Row, size.Col)
	}
	b.WriteString(" line = 0;\n")
	sane := *t
	makeSane(&sane)
	var chars []string
	for _, k := range keys() {
		if all || t.Cc[k.at] != sane.Cc[k.at] {
			chars = append(chars, k.name+" = "+keyText(t.Cc[k.at])+";")
		}
	}
	if all {
		chars = append(chars, fmt.Sprintf("min = %d; time = %d;", t.Cc[unix.VMIN], t.Cc[unix.VTIME]))
	}
	if len(chars) > 0 {
		b.WriteString(strings.Join(chars, " ") + "\n")
	}
	var words []string
	for _, s := range settings() {
		on := *s.field(t)&s.bit != 0
		if !all && on == (*s.field(&sane)&s.bit != 0) {
			continue
		}
		if on {
			words = append(words, s.name)
		} else {
			words = append(words, "-"+s.name)
		}
	}
	if len(words) > 0 {
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	return b.String()
}

func baud(t *unix.Termios) int {
	rates := map[uint32]int{unix.B9600: 9600, unix.B19200: 19200, unix.B38400: 38400, unix.B57600: 57600, unix.B115200: 115200}
	return rates[t.Cflag&unix.CBAUD]
}

func keyText(ch byte) string {
	switch {
	case ch == 0:
		return "<undef>"
	case ch == 127:
		return "^?"
	case ch < ' ':
		return "^" + string(ch+'@')
	}
	return string(rune(ch))
}

// saved and restore are -g's form: fields in hexadecimal between colons.
func saved(t *unix.Termios) string {
	parts := []string{hexText(t.Iflag), hexText(t.Oflag), hexText(t.Cflag), hexText(t.Lflag)}
	for _, ch := range t.Cc {
		parts = append(parts, hexText(uint32(ch)))
	}
	return strings.Join(parts, ":")
}

func hexText(n uint32) string { return strconv.FormatUint(uint64(n), 16) }

func restore(t *unix.Termios, text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) != 4+len(t.Cc) {
		return false
	}
	values := make([]uint32, len(parts))
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 16, 32)
		if err != nil || i >= 4 && n > 255 {
			return false
		}
		values[i] = uint32(n)
	}
	t.Iflag, t.Oflag, t.Cflag, t.Lflag = values[0], values[1], values[2], values[3]
	for i := range t.Cc {
		t.Cc[i] = byte(values[4+i])
	}
	return true
}

// change applies stty's words in their order.
func change(t *unix.Termios, size *unix.Winsize, words []string) error {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		most, takesNumber := map[string]uint64{"rows": 65535, "cols": 65535, "columns": 65535, "min": 255, "time": 255}[word]
		switch {
		case takesNumber && len(words) == 0:
			return tool.Misused("missing argument to '%s'", word)
		case takesNumber:
			n, err := strconv.ParseUint(words[0], 10, 16)
			if err != nil || n > most {
				return tool.Invalid("invalid integer argument '%s'", words[0])
			}
			setNumber(t, size, word, uint16(n))
			words = words[1:]
		case mode(t, word), restore(t, word), set(t, word):
		default:
			return tool.Invalid("invalid argument '%s'", word)
		}
	}
	return nil
}

func setNumber(t *unix.Termios, size *unix.Winsize, word string, n uint16) {
	switch word {
	case "rows":
		size.Row = n
	case "min":
		t.Cc[unix.VMIN] = byte(n)
	case "time":
		t.Cc[unix.VTIME] = byte(n)
	default:
		size.Col = n
	}
}

// set changes one bit.
func set(t *unix.Termios, word string) bool {
	name, off := strings.CutPrefix(word, "-")
	for _, s := range settings() {
		if s.name != name {
			continue
		}
		if off {
			*s.field(t) &^= s.bit
		} else {
			*s.field(t) |= s.bit
		}
		return true
	}
	return false
}

// mode changes many bits at once.
func mode(t *unix.Termios, word string) bool {
	switch word {
	case "sane":
		makeSane(t)
	case "raw", "-cooked":
		t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.INPCK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON | unix.IXOFF | unix.IXANY | unix.IMAXBEL
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ISIG | unix.ICANON
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	case "cooked", "-raw":
		t.Iflag |= unix.BRKINT | unix.ICRNL | unix.IMAXBEL | unix.IXON
		t.Oflag |= unix.OPOST
		t.Lflag |= unix.ISIG | unix.ICANON
		t.Cc[unix.VEOF] = 4
		t.Cc[unix.VEOL] = 0
	case "cbreak":
		t.Lflag &^= unix.ICANON
	case "-cbreak":
		t.Lflag |= unix.ICANON
	default:
		return false
	}
	return true
}

// makeSane is stty(1)'s sane.
func makeSane(t *unix.Termios) {
	t.Iflag &^= unix.IGNBRK | unix.PARMRK | unix.INPCK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.IXOFF | unix.IXANY
	t.Iflag |= unix.BRKINT | unix.ICRNL | unix.IMAXBEL | unix.IXON
	t.Oflag = unix.OPOST | unix.ONLCR
	t.Cflag |= unix.CREAD
	t.Lflag &^= unix.ECHONL | unix.NOFLSH | unix.TOSTOP
	t.Lflag |= unix.ISIG | unix.ICANON | unix.IEXTEN | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE
	for _, k := range keys() {
		t.Cc[k.at] = k.sane
	}
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}
