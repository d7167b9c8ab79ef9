package text

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"carob/internal/toolbox/tool"
)

func cut(c *tool.Call) (int, error) {
	o, files, err := c.Parse("d:f:c:b:s", "delimiter=d", "fields=f", "characters=c", "bytes=b", "only-delimited=s")
	if err != nil {
		return 0, err
	}
	if !o.Has('f') && !o.Has('c') && !o.Has('b') {
		return 0, tool.Misused("you must specify a list of bytes, characters, or fields")
	}
	list, byField := o['f'], o.Has('f')
	if !byField {
		list = o['c'] + o['b']
	}
	ranges, err := parseRanges(list)
	if err != nil {
		return 0, err
	}
	sep := "\t"
	if o.Has('d') {
		sep = o['d']
	}
	out := bufio.NewWriter(c.Out)
	err = c.EachFile(files, func(_ string, r io.Reader) error {
		return lines(r, func(line string) error {
			if !byField {
				_, err := fmt.Fprintln(out, pick(strings.Split(line, ""), ranges, ""))
				return err
			}
			if !strings.Contains(line, sep) {
				if o.Has('s') {
					return nil
				}
				_, err := fmt.Fprintln(out, line)
				return err
			}
			_, err := fmt.Fprintln(out, pick(strings.Split(line, sep), ranges, sep))
			return err
		})
	})
	return 0, errors.Join(err, out.Flush())
}

// parseRanges reads "1,3-5,7-"; an open end is -1.
func parseRanges(s string) ([][2]int, error) {
	var ranges [][2]int
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err1 := number(from, 1)
		b, err2 := number(to, -1)
		if !isRange {
			b = a
		}
		if part == "" || part == "-" || err1 != nil || err2 != nil || a < 1 {
			return nil, tool.Invalid("invalid list of positions '%s'", s)
		}
		ranges = append(ranges, [2]int{a, b})
	}
	return ranges, nil
}

func pick(parts []string, ranges [][2]int, sep string) string {
	var kept []string
	for i, p := range parts {
		for _, r := range ranges {
			if i+1 >= r[0] && (r[1] < 0 || i+1 <= r[1]) {
				kept = append(kept, p)
				break
			}
		}
	}
	return strings.Join(kept, sep)
}

func tr(c *tool.Call) (int, error) {
	o, sets, err := c.Parse("dsc")
	if err != nil {
		return 0, err
	}
	if len(sets) == 0 || len(sets) == 1 && !o.Has('d') && !o.Has('s') {
		return 0, tool.Misuse{}
	}
	out := bufio.NewWriter(c.Out)
	err = newTranslation(o, sets).copy(out, bufio.NewReader(c.In))
	return 0, errors.Join(err, out.Flush())
}

// copy translates until the end; whole lines go out at once, for who waits for them.
func (t *translation) copy(out *bufio.Writer, in *bufio.Reader) error {
	last := -1
	for {
		b, err := in.ReadByte()
		if err != nil {
			return notEOF(err)
		}
		if t.drop[b] {
			continue
		}
		b = t.to[b]
		if int(b) == last && t.squeeze[b] {
			continue
		}
		last = int(b)
		if err := out.WriteByte(b); err != nil {
			return err
		}
		if b == '\n' && in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

type translation struct {
	drop, squeeze [256]bool
	to            [256]byte
}

func newTranslation(o tool.Options, sets []string) *translation {
	t := &translation{}
	one, two := expandSet(sets[0]), []byte(nil)
	if o.Has('c') {
		one = complement(one)
	}
	if len(sets) > 1 {
		two = expandSet(sets[1])
	}
	for b := range 256 {
		t.to[b] = byte(b)
	}
	for i, b := range one {
		if t.drop[b] = o.Has('d'); !o.Has('d') && len(two) > 0 {
			t.to[b] = two[min(i, len(two)-1)]
		}
	}
	last := one
	if len(two) > 0 {
		last = two
	}
	for _, b := range last {
		t.squeeze[b] = o.Has('s')
	}
	return t
}

func complement(set []byte) []byte {
	var rest []byte
	for b := range 256 {
		if bytes.IndexByte(set, byte(b)) < 0 {
			rest = append(rest, byte(b))
		}
	}
	return rest
}

// expandSet knows ranges, the usual escapes and classes.
func expandSet(s string) []byte {
	for class, chars := range map[string]string{
		"[:lower:]": "a-z", "[:upper:]": "A-Z", "[:digit:]": "0-9", "[:alpha:]": "A-Za-z", "[:alnum:]": "0-9A-Za-z", "[:blank:]": " \t", "[:punct:]": "!-/:-@[-`{-~", "[:cntrl:]": "\x00-\x1f\x7f", "[:space:]": " \t\n\v\f\r",
		`\n`: "\n", `\t`: "\t", `\r`: "\r", `\0`: "\x00", `\\`: "\\",
	} {
		s = strings.ReplaceAll(s, class, chars)
	}
	var set []byte
	for i := 0; i < len(s); i++ {
		if i+2 < len(s) && s[i+1] == '-' && s[i] <= s[i+2] {
			for b := int(s[i]); b <= int(s[i+2]); b++ {
				set = append(set, byte(b))
			}
			i += 2
			continue
		}
		set = append(set, s[i])
	}
	return set
}
