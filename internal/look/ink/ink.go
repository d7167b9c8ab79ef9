// Package ink is how what was seen is written for people: text that a process chose is
// made harmless, columns line up for wide characters too, and colour is only there when
// it is asked for. It is pure.
package ink

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// Safe replaces what could speak to a terminal or turn the direction of writing by "?".
// What is left takes at least one column and no line end.
func Safe(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Width is how many columns a text takes in a terminal.
func Width(s string) int {
	n := 0
	for _, r := range s {
		n += columns(r)
	}
	return n
}

// wide are the blocks of characters that take two columns in every terminal
// (Unicode's East Asian Width, UAX #11).
var wide = [...][2]rune{
	{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3040, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f},
	{0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
}

// columns is the width of one character. Marks stand on the one before them.
func columns(r rune) int {
	if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
		return 0
	}
	for _, block := range wide {
		if block[0] <= r && r <= block[1] {
			return 2
		}
	}
	return 1
}

// Cut shortens a text to a number of columns, with "…" where something is missing.
func Cut(s string, columnsWanted int) string {
	if columnsWanted <= 0 || Width(s) <= columnsWanted {
		return s
	}
	n := 0
	for i, r := range s {
		if n += columns(r); n > columnsWanted-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// Short cuts identifiers of 64 hexadecimal digits inside a text to what people read.
func Short(s string) string {
	var b strings.Builder
	digits := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f') {
			digits++
			continue
		}
		word := s[i-digits : i]
		if digits == 64 {
			word = word[:12] + "…"
		}
		b.WriteString(word)
		if i < len(s) {
			b.WriteByte(s[i])
		}
		digits = 0
	}
	return b.String()
}

// Pad fills a text with blanks up to a number of columns.
func Pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-Width(s))) }

// Style is how a piece of text is shown.
type Style int

// The styles. From Hue on there are Hues colours that tell things apart.
const (
	Plain Style = iota
	Bold
	Dim
	Red
	Yellow
	Green
	Hue
)

// Hues is how many colours tell things apart before they come again.
const Hues = 6

// HueOf is the colour of the nth thing.
func HueOf(n int) Style { return Hue + Style(n%Hues) }

// Pen writes styles, or leaves them out. The zero value writes plain text.
type Pen struct {
	// Colour is true for a terminal whose user wants it.
	Colour bool
}

// Write is s in a style. S is safe already.
func (p Pen) Write(st Style, s string) string {
	if !p.Colour || st == Plain || s == "" {
		return s
	}
	return "\x1b[" + code(st) + "m" + s + "\x1b[0m"
}

// code is the SGR parameter (ECMA-48) of a style. The hues are from the first sixteen
// colours, which people set to be readable on their background.
func code(st Style) string {
	switch st {
	case Bold:
		return "1"
	case Dim:
		return "2"
	case Red:
		return "31"
	case Yellow:
		return "33"
	case Green:
		return "32"
	}
	return [...]string{"36", "35", "32", "33", "34", "31"}[int(st-Hue)%Hues]
}

// Cell is one piece of text in a table.
type Cell struct {
	Text  string
	Style Style
}

// Table lines up rows of cells. Text is made safe when it is written.
type Table struct {
	rows [][]Cell
}

// Row adds a row.
func (t *Table) Row(cells ...Cell) { t.rows = append(t.rows, cells) }

// Head adds a row of headings.
func (t *Table) Head(words ...string) {
	var cells []Cell
	for _, w := range words {
		cells = append(cells, Cell{w, Bold})
	}
	t.Row(cells...)
}

// Write writes the table with two blanks between columns; the last is not filled.
func (t *Table) Write(w io.Writer, p Pen) error {
	var width []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			if i < len(row)-1 { // what stands last pushes nothing away
				width[i] = max(width[i], Width(Safe(c.Text)))
			}
		}
	}
	for _, row := range t.rows {
		var b strings.Builder
		blanks := 0
		for i, c := range row {
			text := Safe(c.Text)
			if text != "" {
				b.WriteString(strings.Repeat(" ", blanks) + p.Write(c.Style, text))
				blanks = 0
			}
			blanks += width[i] - Width(text) + 2
		}
		if _, err := fmt.Fprintln(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// List joins words: "a", "a and b", "a, b and c".
func List(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// Count is a number of things: "1 process", "2 processes".
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// Wrap breaks a text into lines of at most n columns at blanks; wide characters may be
// broken between, as they are written without blanks.
func Wrap(s string, n int) []string {
	var lines []string
	line := ""
	for _, w := range pieces(s) {
		if Width(line)+Width(strings.TrimRight(w, " ")) > n && line != "" {
			lines, line = append(lines, strings.TrimRight(line, " ")), ""
		}
		line += w
	}
	return append(lines, strings.TrimRight(line, " "))
}

// pieces are the parts between which a line may be broken: words with the blanks behind
// them, and single wide characters with the punctuation behind them.
func pieces(s string) []string {
	var out []string
	start := 0
	var before rune
	for i, r := range s {
		wide := columns(r) == 2 || columns(before) == 2 && before != 0
		if i > start && (before == ' ' && r != ' ' || wide && (!unicode.IsPunct(r) || opens(r)) && !opens(before)) {
			out, start = append(out, s[start:i]), i
		}
		before = r
	}
	return append(out, s[start:])
}

// opens tells punctuation that stands before a word and belongs to it.
func opens(r rune) bool { return unicode.In(r, unicode.Ps, unicode.Pi) }
