package text

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// command is one command of a sed script.
type command struct {
	name     byte
	from, to *address
	negated  bool
	open     bool // a range has begun
	endLine  int  // where an open range with a number ends

	text    string // of a, i, c, r; a label
	code    int    // of q
	jump    int    // the command that b, t or { continues at
	mapping *strings.Replacer

	re      *regexp.Regexp
	parts   []part
	global  bool
	printIt bool
	nth     int
}

// address is a line's number, the last line, or a pattern.
type address struct {
	line int
	step int
	last bool
	plus bool // in a range's end: so many lines on
	re   *regexp.Regexp
}

// part of a replacement: text, or a group when group is not negative.
type part struct {
	text  string
	group int
}

func (c *command) ranged() bool { return c.to != nil }

func (a *address) matches(e *editor) bool {
	switch {
	case a.last:
		return e.in.last()
	case a.re != nil:
		return a.re.MatchString(e.space)
	case a.step > 0:
		return e.line >= a.line && (e.line-a.line)%a.step == 0
	}
	return e.line == a.line
}

// selects reports whether the pattern space is one the command is for.
func (c *command) selects(e *editor) (bool, error) {
	switch {
	case c.from == nil:
		return true, nil
	case c.to == nil:
		return c.from.matches(e), nil
	case c.open:
		return c.goOn(e), nil
	case !c.from.matches(e):
		return false, nil
	}
	c.endLine = c.to.line
	if c.to.plus {
		c.endLine = e.line + c.to.line
	}
	switch {
	case c.to.re != nil:
		c.open = true // the end is looked for from the next line on
	case c.to.last:
		c.open = !e.in.last()
	default:
		c.open = e.line < c.endLine
	}
	return true, nil
}

// goOn is selects within a range that has begun.
func (c *command) goOn(e *editor) bool {
	if c.to.re == nil && !c.to.last {
		c.open = e.line < c.endLine
		return e.line <= c.endLine
	}
	c.open = !c.to.matches(e)
	return true
}

// replace returns the text after s/// and how often it replaced.
func (c *command) replace(text string) (string, int) {
	var b strings.Builder
	end, n := 0, 0
	for i, m := range c.re.FindAllStringSubmatchIndex(text, -1) {
		if i+1 < c.nth || !c.global && i+1 > max(c.nth, 1) {
			continue
		}
		b.WriteString(text[end:m[0]])
		for _, p := range c.parts {
			if p.group < 0 {
				b.WriteString(p.text)
			} else if m[2*p.group] >= 0 {
				b.WriteString(text[m[2*p.group]:m[2*p.group+1]])
			}
		}
		end = m[1]
		n++
	}
	b.WriteString(text[end:])
	return b.String(), n
}

// sedParser reads a script.
type sedParser struct {
	s        string
	extended bool
	script   []*command
	blocks   []int
	labels   map[string]int
}

func parseSed(script string, extended bool) ([]*command, error) {
	p := &sedParser{s: script, extended: extended, labels: map[string]int{}}
	for {
		p.s = strings.TrimLeft(p.s, " \t\n;")
		if p.s == "" {
			break
		}
		if p.s[0] == '#' {
			_, p.s, _ = strings.Cut(p.s, "\n")
			continue
		}
		if err := p.command(); err != nil {
			return nil, err
		}
	}
	if len(p.blocks) > 0 {
		return nil, errors.New("unmatched `{'")
	}
	return p.script, p.resolve()
}

// resolve finds the labels; a jump without one goes to the end.
func (p *sedParser) resolve() error {
	for _, c := range p.script {
		if c.name != 'b' && c.name != 't' {
			continue
		}
		c.jump = len(p.script)
		if c.text != "" {
			at, ok := p.labels[c.text]
			if !ok {
				return fmt.Errorf("can't find label for jump to `%s'", c.text)
			}
			c.jump = at
		}
	}
	return nil
}

func (p *sedParser) command() error {
	c := &command{}
	var err error
	if c.from, err = p.address(); err != nil {
		return err
	}
	if c.from != nil && strings.HasPrefix(p.s, ",") {
		p.s = strings.TrimLeft(p.s[1:], " ")
		if c.to, err = p.address(); err != nil {
			return err
		}
		if c.to == nil {
			return errors.New("unexpected `,'")
		}
	}
	p.s = strings.TrimLeft(p.s, " \t")
	for strings.HasPrefix(p.s, "!") {
		c.negated = true
		p.s = strings.TrimLeft(p.s[1:], " \t")
	}
	if p.s == "" {
		return errors.New("missing command")
	}
	c.name, p.s = p.s[0], p.s[1:]
	return p.arguments(c)
}

// arguments reads what belongs to the command's name.
func (p *sedParser) arguments(c *command) error {
	switch c.name {
	case '{':
		p.blocks = append(p.blocks, len(p.script))
		p.script = append(p.script, c)
		return nil
	case '}':
		return p.closeBlock(c)
	case ':':
		p.labels[p.word("\n;")] = len(p.script)
		return nil
	}
	if err := p.operands(c); err != nil {
		return err
	}
	p.script = append(p.script, c)
	p.s = strings.TrimLeft(p.s, " \t")
	if p.s != "" && strings.IndexByte(";\n}#", p.s[0]) < 0 {
		return errors.New("extra characters after command")
	}
	return nil
}

// operands reads the text, numbers and patterns of a command.
func (p *sedParser) operands(c *command) error {
	p.s = strings.TrimLeft(p.s, " \t")
	switch c.name {
	case 'a', 'i', 'c':
		c.text = p.textLines()
	case 'r':
		c.text = p.word("\n")
	case 'b', 't':
		c.text = p.word("\n;}")
	case 's':
		return p.substitution(c)
	case 'y':
		return p.transliteration(c)
	case 'q', 'Q':
		c.code, _ = strconv.Atoi("0" + p.digits()) // digits only
	default:
		if strings.IndexByte("pPdDnNhHgGx=", c.name) < 0 {
			return fmt.Errorf("unknown command: `%c'", c.name)
		}
	}
	return nil
}

func (p *sedParser) closeBlock(c *command) error {
	if len(p.blocks) == 0 || c.from != nil {
		return errors.New("unexpected `}'")
	}
	last := len(p.blocks) - 1
	p.script[p.blocks[last]].jump = len(p.script)
	p.blocks = p.blocks[:last]
	return nil
}

func (p *sedParser) digits() string {
	n := len(p.s) - len(strings.TrimLeft(p.s, "0123456789"))
	digits := p.s[:n]
	p.s = p.s[n:]
	return digits
}

// word reads a label or a file's name.
func (p *sedParser) word(ends string) string {
	end := strings.IndexAny(p.s, ends)
	if end < 0 {
		end = len(p.s)
	}
	word := strings.TrimSpace(p.s[:end])
	p.s = p.s[end:]
	return word
}

// textLines reads a's text: the rest of the line, or lines after a backslash.
func (p *sedParser) textLines() string {
	p.s = strings.TrimLeft(p.s, " \t")
	p.s = strings.TrimPrefix(p.s, "\\")
	p.s = strings.TrimPrefix(p.s, "\n")
	var b strings.Builder
	for p.s != "" {
		ch := p.s[0]
		if ch == '\n' {
			break
		}
		if ch == '\\' && len(p.s) > 1 {
			p.s = p.s[1:]
			ch = p.s[0]
		}
		b.WriteByte(ch)
		p.s = p.s[1:]
	}
	return b.String()
}

func (p *sedParser) address() (*address, error) {
	a := &address{}
	if strings.HasPrefix(p.s, "+") {
		a.plus, p.s = true, p.s[1:]
	}
	if n := p.digits(); n != "" {
		a.line, _ = strconv.Atoi(n)
		if strings.HasPrefix(p.s, "~") {
			p.s = p.s[1:]
			a.step, _ = strconv.Atoi(p.digits())
		}
		return a, nil
	}
	switch {
	case p.s == "":
		return nil, nil
	case p.s[0] == '$':
		p.s = p.s[1:]
		return &address{last: true}, nil
	case p.s[0] == '/' || p.s[0] == '\\' && len(p.s) > 1:
		p.s = strings.TrimPrefix(p.s, "\\")
		pattern, err := p.delimited()
		if err != nil {
			return nil, errors.New("unterminated address regex")
		}
		fold := strings.HasPrefix(p.s, "I")
		if fold {
			p.s = p.s[1:]
		}
		a.re, err = compile(pattern, p.extended, fold)
		return a, err
	}
	return nil, nil
}

// delimited reads text between two of the character that comes first, and leaves the
// second one behind. An escaped delimiter is a bare one in the text.
func (p *sedParser) delimited() (string, error) {
	delimiter := p.s[0]
	var b strings.Builder
	inBrackets := false
	for i := 1; i < len(p.s); i++ {
		ch := p.s[i]
		switch {
		case ch == '\\' && i+1 < len(p.s):
			i++
			if p.s[i] != delimiter {
				b.WriteByte('\\')
			}
			b.WriteByte(p.s[i])
			continue
		case ch == '[' && !inBrackets:
			inBrackets = true
		case ch == ']' && inBrackets && p.s[i-1] != '[':
			inBrackets = false
		case ch == delimiter && !inBrackets:
			p.s = p.s[i+1:]
			return b.String(), nil
		}
		b.WriteByte(ch)
	}
	return "", errors.New("unterminated")
}

// two reads "/one/two/" and leaves what follows.
func (p *sedParser) two() (one, two string, err error) {
	if p.s == "" {
		return "", "", errors.New("unterminated")
	}
	delimiter := p.s[:1]
	if one, err = p.delimited(); err != nil {
		return "", "", err
	}
	// Brackets mean nothing in a replacement.
	rest := p.s
	for i := 0; i < len(rest); i++ {
		switch {
		case rest[i] == '\\':
			i++
		case rest[i:i+1] == delimiter:
			p.s = rest[i+1:]
			return one, strings.ReplaceAll(rest[:i], `\`+delimiter, delimiter), nil
		}
	}
	return "", "", errors.New("unterminated")
}

func (p *sedParser) substitution(c *command) error {
	pattern, replacement, err := p.two()
	if err != nil {
		return errors.New("unterminated `s' command")
	}
	fold := false
	for p.s != "" && strings.IndexByte("gpiI0123456789", p.s[0]) >= 0 {
		if n := p.digits(); n != "" {
			c.nth, _ = strconv.Atoi(n)
			continue
		}
		switch p.s[0] {
		case 'g':
			c.global = true
		case 'p':
			c.printIt = true
		default:
			fold = true
		}
		p.s = p.s[1:]
	}
	if c.re, err = compile(pattern, p.extended, fold); err != nil {
		return err
	}
	c.parts = replacementParts(replacement)
	for _, part := range c.parts {
		if part.group > c.re.NumSubexp() {
			return fmt.Errorf("invalid reference \\%d on `s' command's RHS", part.group)
		}
	}
	return nil
}

// replacementParts knows & and \1 to \9, \n, \t, and an escaped anything.
func replacementParts(s string) []part {
	var parts []part
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			parts = append(parts, part{text: text.String(), group: -1})
			text.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case ch == '&':
			flush()
			parts = append(parts, part{group: 0})
		case ch == '\\' && i+1 < len(s):
			i++
			switch next := s[i]; {
			case next >= '0' && next <= '9':
				flush()
				parts = append(parts, part{group: int(next - '0')})
			case next == 'n':
				text.WriteByte('\n')
			case next == 't':
				text.WriteByte('\t')
			default:
				text.WriteByte(next)
			}
		default:
			text.WriteByte(ch)
		}
	}
	flush()
	return parts
}

func (p *sedParser) transliteration(c *command) error {
	one, two, err := p.two()
	if err != nil {
		return errors.New("unterminated `y' command")
	}
	unescape := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`)
	from, to := []rune(unescape.Replace(one)), []rune(unescape.Replace(two))
	if len(from) != len(to) {
		return errors.New("strings for `y' command are different lengths")
	}
	var pairs []string
	for i := range from {
		pairs = append(pairs, string(from[i]), string(to[i]))
	}
	c.mapping = strings.NewReplacer(pairs...)
	return nil
}
