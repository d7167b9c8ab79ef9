package text

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"carob/internal/toolbox/tool"
)

// order is how sort compares two lines.
type order struct {
	numeric, human, fold, blanks, reverse bool
	from, to                              int // fields, from 1; 0 is the whole line, the line's end
	sep                                   string
}

func sortLines(c *tool.Call) (int, error) {
	o, files, err := c.Parse("nrufhbsk:t:o:", "numeric-sort=n", "reverse=r", "unique=u", "ignore-case=f", "human-numeric-sort=h", "key=k", "field-separator=t", "output=o", "stable=s")
	if err != nil {
		return 0, err
	}
	by, err := parseOrder(o)
	if err != nil {
		return 0, err
	}
	c.Unopened = "cannot read: %s: %s"
	var all []string
	if err := c.EachFile(files, func(_ string, r io.Reader) error {
		return lines(r, func(line string) error { all = append(all, line); return nil })
	}); err != nil {
		return 2, err
	}
	lastResort := !o.Has('s') && !o.Has('u')
	slices.SortStableFunc(all, func(a, b string) int {
		d := by.compare(a, b)
		if d == 0 && lastResort {
			d = strings.Compare(a, b)
			if o.Has('r') {
				d = -d
			}
		}
		return d
	})
	if o.Has('u') {
		all = slices.CompactFunc(all, func(a, b string) bool { return by.compare(a, b) == 0 })
	}
	w := c.Out
	if o.Has('o') {
		f, err := create(o['o'], os.O_TRUNC)
		if err != nil {
			return 2, err
		}
		defer f.Close()
		w = f
	}
	out := bufio.NewWriter(w)
	for _, line := range all {
		fmt.Fprintln(out, line)
	}
	return 0, out.Flush()
}

// parseOrder reads the options, and the key's own letters, as in -k 2nr,2.
func parseOrder(o tool.Options) (order, error) {
	by := order{sep: o['t']}
	letters := ""
	for _, l := range "nhfbr" {
		if o.Has(byte(l)) {
			letters += string(l)
		}
	}
	if o.Has('k') {
		from, to, _ := strings.Cut(o['k'], ",")
		own := strings.Trim(from+to, "0123456789.")
		letters += own
		var err1, err2 error
		by.from, err1 = field(from)
		by.to, err2 = field(to)
		if err := errors.Join(err1, err2); err != nil || by.from == 0 {
			return by, tool.Invalid("invalid key '%s'", o['k'])
		}
	}
	for _, l := range letters {
		switch l {
		case 'n':
			by.numeric = true
		case 'h':
			by.human = true
		case 'f':
			by.fold = true
		case 'b':
			by.blanks = true
		case 'r':
			by.reverse = true
		default:
			return by, tool.Invalid("invalid key '%s'", o['k'])
		}
	}
	return by, nil
}

// field reads F of F[.C][letters]; characters within fields are not told apart.
func field(s string) (int, error) {
	digits := strings.TrimRight(s, "nhfbr")
	if digits == "" {
		return 0, nil
	}
	f, c, at := strings.Cut(digits, ".")
	if at && c != "1" && c != "0" {
		return 0, errors.New("characters in keys are not supported")
	}
	return strconv.Atoi(f)
}

func (by order) compare(a, b string) int {
	x, y := by.key(a), by.key(b)
	d := 0
	switch {
	case by.human:
		d = cmp.Compare(humanNumber(x), humanNumber(y))
	case by.numeric:
		d = cmp.Compare(leadingNumber(x), leadingNumber(y))
	case by.fold:
		d = strings.Compare(strings.ToUpper(x), strings.ToUpper(y))
	default:
		d = strings.Compare(x, y)
	}
	if by.reverse {
		return -d
	}
	return d
}

func (by order) key(line string) string {
	if by.from > 0 {
		parts, sep := strings.Fields(line), " "
		if by.sep != "" {
			parts, sep = strings.Split(line, by.sep), by.sep
		}
		end := len(parts)
		if by.to > 0 {
			end = min(end, by.to)
		}
		line = strings.Join(parts[min(by.from-1, end):end], sep)
	}
	if by.blanks {
		line = strings.TrimLeft(line, " \t")
	}
	return line
}

func leadingNumber(s string) float64 {
	s = strings.TrimSpace(s)
	end := 0
	for end < len(s) && strings.IndexByte("+-.0123456789", s[end]) >= 0 {
		end++
	}
	f, _ := strconv.ParseFloat(s[:end], 64) // no number sorts as 0, as in sort(1)
	return f
}

// humanNumber reads what du -h prints: a number with a unit.
func humanNumber(s string) float64 {
	s = strings.TrimSpace(s)
	f := leadingNumber(s)
	rest := strings.TrimLeft(s, "+-.0123456789")
	if rest != "" {
		for i := strings.IndexByte("KMGTP", strings.ToUpper(rest)[0]); i >= 0; i-- {
			f *= 1024
		}
	}
	return f
}
