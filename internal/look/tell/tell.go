// Package tell explains a container, pod or process in plain sentences, each with the
// file it was read from, in English or Chinese. It is pure: it decides on what package
// facts has read. Both languages stand side by side in the code, so that one is not
// changed without the other.
package tell

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/ink"
)

// Language is what is spoken.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// ParseLanguage reads a language as --lang or LANG have it ("zh", "zh_CN.UTF-8"). An
// unknown one is Invalid.
func ParseLanguage(s string) (Language, error) {
	word, _, _ := strings.Cut(strings.ToLower(s), ".")
	word, _, _ = strings.Cut(strings.ReplaceAll(word, "-", "_"), "_")
	switch Language(word) {
	case English, Chinese:
		return Language(word), nil
	}
	return "", fault.New(fault.Invalid, "language "+strconv.Quote(s)+": use en or zh")
}

// Walk is an explanation.
type Walk struct {
	Name     string    `json:"name"`
	Language Language  `json:"language"`
	Chapters []Chapter `json:"chapters"`
	Unread   []string  `json:"unread,omitempty"`
}

// Chapter is some sentences about one matter.
type Chapter struct {
	Title     string     `json:"title"`
	Sentences []Sentence `json:"sentences"`
}

// Sentence says one thing; Evidence are the files that say so.
type Sentence struct {
	Text     string   `json:"text"`
	Evidence []string `json:"evidence"`
}

// tongue is the words of one language.
type tongue Language

// teller writes a walk in one language.
type teller struct {
	tongue
	Walk
}

// Explain explains a thing.
func Explain(s *facts.Sheet, lang Language) Walk {
	t := &teller{tongue(lang), Walk{Name: s.Thing.Name, Language: lang, Unread: s.Unread}}
	if len(s.Members) > 0 {
		t.pod(s)
		for i := range s.Members {
			t.Unread = append(t.Unread, s.Members[i].Unread...)
		}
		return t.Walk
	}
	if s.Thing.Is == look.ThingHost {
		t.host(s)
		return t.Walk
	}
	t.container(s)
	return t.Walk
}

// chapter begins a new matter.
func (t *teller) chapter(en, zh string) {
	t.Chapters = append(t.Chapters, Chapter{Title: t.pick(en, zh), Sentences: []Sentence{}})
}

// evidence are the files of one sentence.
type evidence []string

// say adds a sentence to the last chapter. Both texts take the same arguments; where
// the order of words differs, the Chinese one numbers them (%[2]s).
func (t *teller) say(from evidence, en, zh string, args ...any) {
	c := &t.Chapters[len(t.Chapters)-1]
	text := fmt.Sprintf(t.pick(en, zh), args...)
	if t.Language == Chinese {
		text = spaced(text)
	}
	c.Sentences = append(c.Sentences, Sentence{Text: text, Evidence: from})
}

// spaced sets blanks as Chinese text has them: one between a character and a Latin
// word, none between characters or beside their punctuation.
func spaced(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	var b strings.Builder
	var before rune
	for i, r := range s {
		next, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
		if r == ' ' && touch(before, next) {
			continue
		}
		if apart(before, r) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		before = r
	}
	return b.String()
}

// touch reports whether nothing stands between two characters.
func touch(a, b rune) bool { return wide(a) && wide(b) || mark(a) || mark(b) }

// apart reports whether a blank stands between two characters.
func apart(a, b rune) bool { return word(a) && word(b) && wide(a) != wide(b) }

func wide(r rune) bool { return ink.Width(string(r)) == 2 }

// mark is punctuation of full width, which brings its own blank.
func mark(r rune) bool { return wide(r) && !unicode.IsLetter(r) || r == '“' || r == '”' }

func word(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func (t tongue) pick(en, zh string) string {
	if Language(t) == Chinese {
		return zh
	}
	return en
}

// list joins words.
func (t tongue) list(words []string) string {
	if Language(t) != Chinese {
		return ink.List(words)
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], "、") + " 和 " + words[len(words)-1]
}

// count is a number of things.
func (t tongue) count(n int, one, many, zh string) string {
	if Language(t) == Chinese {
		return strconv.Itoa(n) + " " + zh
	}
	return ink.Count(n, one, many)
}

// command is a command line in short.
func command(p *look.Process) string { return ink.Cut(ink.Safe(p.Command()), 60) }

// columns is where sentences are broken.
const columns = 84

// Text writes the walk for people.
func (w Walk) Text(out io.Writer, pen ink.Pen) error {
	var err error
	line := func(s string) {
		if err == nil {
			_, err = fmt.Fprintln(out, s)
		}
	}
	for i, c := range w.Chapters {
		if i > 0 {
			line("")
		}
		line(pen.Write(ink.Bold, c.Title))
		for _, s := range c.Sentences {
			for _, l := range ink.Wrap(ink.Short(ink.Safe(s.Text)), columns) {
				line("  " + l)
			}
			for _, e := range s.Evidence {
				line(pen.Write(ink.Dim, "      ← "+ink.Short(ink.Safe(e))))
			}
		}
	}
	for _, u := range w.Unread {
		line("")
		line(tongue(w.Language).unread() + ink.Safe(u))
	}
	return err
}

func (t tongue) unread() string { return t.pick("Could not read ", "无法读取：") }
