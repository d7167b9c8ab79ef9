package procs

import (
	"fmt"
	"strings"

	"carob/internal/fault"
)

// The formats of ps that options choose.
var (
	plainColumns = []string{"pid", "tty", "time", "ucmd"}
	fullColumns  = []string{"uid", "pid", "ppid", "c", "stime", "tty", "time", "cmd"}
	bsdColumns   = []string{"pid", "tty", "stat", "bsdtime", "args"}
	userColumns  = []string{"user", "pid", "%cpu", "%mem", "vsz", "rss", "tty", "stat", "start_time", "bsdtime", "args"}
)

// parser reads ps's options.
type parser struct {
	words  []string // still to be read
	format []string // the columns, if an option has chosen them
	asked  []column // by -o, which counts before
	bare   bool
	known  map[string]column
}

// Parse reads options of ps: those that select processes are all one here, where those of one
// container are listed; those for columns choose them; an unknown one is Invalid.
func Parse(words []string) (Table, error) {
	p := parser{words: words, format: plainColumns, known: columns()}
	for len(p.words) > 0 {
		word := p.words[0]
		p.words = p.words[1:]
		if err := p.word(word); err != nil {
			return Table{}, err
		}
	}
	t := Table{columns: p.asked, bare: p.bare}
	if len(t.columns) == 0 {
		for _, name := range p.format {
			t.columns = append(t.columns, p.known[name]) // it is there
		}
	}
	return t, nil
}

func (p *parser) word(word string) error {
	switch {
	case word == "--no-headers" || word == "--no-heading":
		p.bare = true
		return nil
	case word == "--forest" || word == "--sort" || strings.HasPrefix(word, "--sort="):
		return unknown(word, word)
	case strings.HasPrefix(word, "--format="):
		return p.columns(strings.TrimPrefix(word, "--format="))
	case word == "--format":
		return p.value(word, "")
	case strings.HasPrefix(word, "--"):
		return unknown(word, word)
	case strings.HasPrefix(word, "-") && len(word) > 1:
		return p.letters(word, word[1:], p.unix)
	}
	return p.letters(word, word, p.bsd)
}

// letters reads options of one letter each; the rest of a word may be the value of one.
func (p *parser) letters(word, letters string, option func(letter rune) (takes, known bool)) error {
	for i, letter := range letters {
		takes, known := option(letter)
		if !known {
			return unknown(word, string(letter))
		}
		if takes {
			return p.value(word, letters[i+1:])
		}
	}
	return nil
}

func (p *parser) unix(letter rune) (takes, known bool) {
	switch letter {
	case 'e', 'A', 'a', 'd', 'w', 'y':
	case 'f', 'F':
		p.format = fullColumns
	case 'o':
		return true, true
	default:
		return false, false
	}
	return false, true
}

func (p *parser) bsd(letter rune) (takes, known bool) {
	switch letter {
	case 'a', 'x', 'w', 'r', 'T':
		if len(p.format) != len(userColumns) {
			p.format = bsdColumns
		}
	case 'u':
		p.format = userColumns
	case 'h':
		p.bare = true
	case 'o':
		return true, true
	default:
		return false, false
	}
	return false, true
}

// value reads columns, which are the rest of the word or the next one.
func (p *parser) value(word, rest string) error {
	if rest == "" && len(p.words) > 0 {
		rest, p.words = p.words[0], p.words[1:]
	}
	if rest == "" {
		return fault.New(fault.Invalid, fmt.Sprintf("ps option %q: which columns? write -o pid,ppid,cmd", word))
	}
	return p.columns(rest)
}

// columns reads names, each with its own head or not: pid,cmd=COMMAND. Without any head
// there is no line of heads.
func (p *parser) columns(list string) error {
	for _, word := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, head, named := strings.Cut(word, "=")
		c, ok := p.known[strings.ToLower(name)]
		if !ok {
			return fault.New(fault.Invalid, fmt.Sprintf("ps column %.40q: unknown; there are pid, ppid, pgid, sid, uid, user, tty, s, stat, ni, nlwp, %%cpu, c, %%mem, vsz, rss, time, etime, etimes, start, lstart, comm, cmd", name))
		}
		if named {
			c.head = head
		}
		p.asked = append(p.asked, c)
	}
	p.bare = p.bare || headless(p.asked)
	return nil
}

func headless(all []column) bool {
	for _, c := range all {
		if c.head != "" {
			return false
		}
	}
	return len(all) > 0
}

func unknown(word, option string) error {
	what := fmt.Sprintf("ps option %.40q", word)
	if option != word {
		what += fmt.Sprintf(": %q", option)
	}
	return fault.New(fault.Invalid, what+": unknown; use -e, -f, -o COLUMNS, aux, --no-headers. carob's own flags go before the container")
}
