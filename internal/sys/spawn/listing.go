package spawn

import (
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Listing shows the program as text, a line per call, in the manner of strace;
// name turns a system call's number into a word. Tests compare programs by it and
// people read it.
func (b *Builder) Listing(name func(nr uint32) string) string {
	var out strings.Builder
	step := -1
	for i := range b.calls {
		c := &b.calls[i]
		if int(c.step) != step && int(c.step) < len(b.steps) {
			step = int(c.step)
			out.WriteString(b.steps[step] + "\n")
		}
		out.WriteString("\t" + line(c, b.data, name) + "\n")
	}
	return out.String()
}

func pseudo() map[uint32]string {
	return map[uint32]string{
		callFork: "FORK", callInit: "INIT", callPause: "PAUSE", callAwait: "AWAIT", callTell: "TELL", callReady: "READY", callMortal: "MORTAL",
		callEnter: "ENTER",
	}
}

func line(c *call, data []byte, name func(nr uint32) string) string {
	last := -1
	for k := range c.args {
		if c.kinds[k] != kindImm || c.args[k] != 0 {
			last = k
		}
	}
	args := make([]string, 0, 6)
	for k := range last + 1 {
		if words := structure(c, k, data); words != "" {
			args = append(args, words)
			continue
		}
		args = append(args, argument(c.kinds[k], c.args[k], data))
	}
	word, ok := pseudo()[c.nr]
	if !ok {
		word = name(c.nr)
	}
	s := word + "(" + strings.Join(args, ", ") + ")"
	if c.out != 0 {
		s = "r" + strconv.Itoa(int(c.out)) + " = " + s
	}
	if c.allowed != 0 {
		s += " may fail"
	}
	if c.skipErr != 0 {
		s += ", then skip " + strconv.Itoa(int(c.skipErr))
	}
	if c.skipOK != 0 {
		s += ", else skip " + strconv.Itoa(int(c.skipOK))
	}
	return s
}

// structure shows the words of struct open_how and struct mount_attr, which say how a path
// is looked up and what is protected; "" for all other arguments.
func structure(c *call, k int, data []byte) string {
	size := map[[2]int]uint64{{unix.SYS_OPENAT2, 2}: 24, {unix.SYS_MOUNT_SETATTR, 3}: 32}[[2]int{int(c.nr), k}]
	if size == 0 || c.kinds[k] != kindData {
		return ""
	}
	var words []string
	for at := c.args[k]; at < c.args[k]+size; at += 8 {
		words = append(words, "0x"+strconv.FormatUint(binary.NativeEndian.Uint64(data[at:]), 16))
	}
	return "{" + strings.Join(words, " ") + "}"
}

func argument(kind uint8, v uint64, data []byte) string {
	switch kind {
	case kindFile:
		return "file" + strconv.FormatUint(v, 10)
	case kindReg:
		return "r" + strconv.FormatUint(v, 10)
	case kindData:
		s, _, _ := strings.Cut(string(data[v:]), "\x00")
		for _, r := range s {
			if r < ' ' || r > '~' {
				return "data"
			}
		}
		return strconv.Quote(s)
	}
	if n := int64(v); n < 0 && n > -4096 {
		return strconv.FormatInt(n, 10)
	}
	return "0x" + strconv.FormatUint(v, 16)
}
