package shell

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"carob/internal/toolbox/tool"
)

// printfCall is how printf comes back to execute: the library's knows no precision.
const printfCall = "\x00printf"

// formatter is one run of printf(1).
type formatter struct {
	out    strings.Builder
	args   []string
	taken  bool // an argument was used: the format begins anew while there are more
	wrong  []string
	halted bool // \c
}

// printf prints args by a format that is used again while there are arguments. What is
// no number counts as far as it is one, and is named.
func printf(out, errs io.Writer, args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(errs, "printf: missing operand")
		return tool.Failed
	}
	f := &formatter{args: args[1:]}
	for {
		f.taken = false
		if bad := f.once(args[0]); bad != "" {
			f.wrong = append(f.wrong, bad)
			break
		}
		if !f.taken || len(f.args) == 0 || f.halted {
			break
		}
	}
	for _, w := range f.wrong {
		fmt.Fprintf(errs, "printf: %s\n", tool.Printable(w))
	}
	if _, err := io.WriteString(out, f.out.String()); err != nil || len(f.wrong) > 0 {
		return tool.Failed
	}
	return 0
}

// once goes through the format one time.
func (f *formatter) once(format string) (bad string) {
	for format != "" && !f.halted {
		switch {
		case strings.HasPrefix(format, "%%"):
			f.out.WriteByte('%')
			format = format[2:]
		case format[0] == '%':
			var n int
			if n, bad = f.directive(format); bad != "" {
				return bad
			}
			format = format[n:]
		case format[0] == '\\':
			text, n, stop := escape(format, false)
			f.out.WriteString(text)
			f.halted = stop
			format = format[n:]
		default:
			f.out.WriteByte(format[0])
			format = format[1:]
		}
	}
	return ""
}

// directive prints one argument; n is the directive's length.
func (f *formatter) directive(format string) (n int, bad string) {
	n = 1
	var spec strings.Builder
	spec.WriteByte('%')
	for n < len(format) && strings.IndexByte("-+ #0123456789.*", format[n]) >= 0 {
		if format[n] == '*' {
			spec.WriteString(strconv.FormatInt(f.integer(), 10))
		} else {
			spec.WriteByte(format[n])
		}
		n++
	}
	for n < len(format) && strings.IndexByte("hlLqjzt", format[n]) >= 0 {
		n++ // C's sizes mean nothing here
	}
	if n == len(format) {
		return n, format + ": missing conversion"
	}
	verb := format[n]
	n++
	text, ok := f.convert(spec.String(), verb)
	if !ok {
		return n, fmt.Sprintf("%s: invalid conversion specification", format[:n])
	}
	f.out.WriteString(text)
	return n, ""
}

func (f *formatter) convert(spec string, verb byte) (string, bool) {
	switch verb {
	case 's':
		return fmt.Sprintf(spec+"s", f.next()), true
	case 'b':
		return fmt.Sprintf(spec+"s", f.expanded(f.next())), true
	case 'c':
		s := f.next()
		return fmt.Sprintf(spec+"s", s[:min(1, len(s))]), true
	case 'd', 'i':
		return fmt.Sprintf(spec+"d", f.integer()), true
	case 'u':
		return fmt.Sprintf(spec+"d", uint64(f.integer())), true
	case 'o', 'x', 'X':
		return fmt.Sprintf(spec+string(verb), uint64(f.integer())), true
	case 'e', 'E', 'f', 'F', 'g', 'G':
		if !strings.Contains(spec, ".") {
			spec += ".6" // Go's own default for g is another
		}
		return fmt.Sprintf(spec+string(verb), f.float()), true
	}
	return "", false
}

// next is the next argument; what is missing is empty.
func (f *formatter) next() string {
	if len(f.args) == 0 {
		return ""
	}
	a := f.args[0]
	f.args, f.taken = f.args[1:], true
	return a
}

// integer reads decimal, 0x and 0 for octal, and a quote for a character's code.
func (f *formatter) integer() int64 {
	a := f.next()
	if a == "" {
		return 0
	}
	if code, ok := characterCode(a); ok {
		return code
	}
	text := strings.TrimSpace(a)
	n, err := strconv.ParseInt(text, 0, 64)
	if err != nil {
		if u, e := strconv.ParseUint(text, 0, 64); e == nil {
			return int64(u)
		}
		f.notNumber(a)
		n, _ = strconv.ParseInt(text[:len(text)-len(strings.TrimLeft(text, "+-0123456789"))], 10, 64)
	}
	return n
}

func (f *formatter) float() float64 {
	a := f.next()
	if a == "" {
		return 0
	}
	if code, ok := characterCode(a); ok {
		return float64(code)
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(a), 64)
	if err != nil {
		f.notNumber(a)
	}
	return v
}

func (f *formatter) notNumber(a string) {
	f.wrong = append(f.wrong, fmt.Sprintf("'%s': expected a numeric value", a))
}

func characterCode(a string) (int64, bool) {
	if a[0] != '\'' && a[0] != '"' || len(a) == 1 {
		return 0, false
	}
	r, _ := utf8.DecodeRuneInString(a[1:])
	return int64(r), true
}

// expanded is %b's argument with its escapes.
func (f *formatter) expanded(s string) string {
	var b strings.Builder
	for s != "" && !f.halted {
		if s[0] != '\\' {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		text, n, stop := escape(s, true)
		b.WriteString(text)
		f.halted = stop
		s = s[n:]
	}
	return b.String()
}

// escape reads a backslash and what belongs to it. In an argument of %b octal numbers
// begin with a 0 that is not one of their three digits.
func escape(s string, argument bool) (text string, n int, stop bool) {
	if len(s) == 1 {
		return `\`, 1, false
	}
	simple := map[byte]string{'a': "\a", 'b': "\b", 'e': "\x1b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\\': `\`, '"': `"`}
	switch c := s[1]; {
	case simple[c] != "":
		return simple[c], 2, false
	case c == 'c':
		return "", 2, true
	case c == 'x':
		return number(s, 2, 2, 16)
	case c == '0' && argument:
		return number(s, 2, 3, 8)
	case c >= '0' && c <= '7':
		return number(s, 1, 3, 8)
	}
	return s[:2], 2, false
}

// number reads up to most digits from a place on; without one it is no escape.
func number(s string, from, most, base int) (string, int, bool) {
	n := from
	v := uint64(0)
	for n < len(s) && n < from+most {
		d, err := strconv.ParseUint(s[n:n+1], base, 8)
		if err != nil {
			break
		}
		v = v*uint64(base) + d
		n++
	}
	if n == from && base == 16 {
		return s[:n], n, false
	}
	return string([]byte{byte(v)}), n, false
}
