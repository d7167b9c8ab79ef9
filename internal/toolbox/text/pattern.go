package text

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
)

// errBackReference is for what a matcher in linear time cannot do.
var errBackReference = errors.New("back-references in patterns are not supported")

// translate turns a POSIX pattern, basic or extended, into Go's syntax. They differ in
// which characters are special bare and which with a backslash, and in brackets, where
// POSIX's backslash is a character like any other.
func translate(pattern string, extended bool) (string, error) {
	var b strings.Builder
	start := true // of the pattern, a group or an alternative: a star there is a star
	for i := 0; i < len(pattern); {
		ch := pattern[i]
		escaped := ch == '\\' && i+1 < len(pattern)
		if ch == '[' {
			text, n := bracket(pattern[i:])
			b.WriteString(text)
			i, start = i+n, false
			continue
		}
		if escaped {
			i++
			ch = pattern[i]
		}
		i++
		if escaped && ch >= '1' && ch <= '9' {
			return "", errBackReference
		}
		text := piece(ch, escaped, extended, start)
		b.WriteString(text)
		start = text == "(" || text == "|" || text == "^"
	}
	return b.String(), nil
}

// piece is one character of a pattern in Go's syntax.
func piece(ch byte, escaped, extended, start bool) string {
	bare := string([]byte{ch}) // a byte: part of a character, maybe
	itself := `\` + bare
	switch {
	case strings.IndexByte("(){}|+?", ch) >= 0:
		operator := escaped != extended // bare in extended patterns, escaped in basic ones
		if !operator || start && strings.IndexByte("+?{", ch) >= 0 {
			return itself
		}
		return bare
	case escaped:
		return escapedPiece(ch)
	case ch == '*' && start, ch == '^' && !start && !extended:
		return itself
	}
	return bare
}

// escapedPiece is a character behind a backslash: GNU's classes, or the character.
func escapedPiece(ch byte) string {
	switch {
	case strings.IndexByte("wWsSbBnt", ch) >= 0:
		return `\` + string(ch)
	case ch == '<' || ch == '>':
		return `\b`
	}
	return regexp.QuoteMeta(string([]byte{ch}))
}

// bracket translates a bracket expression at the begin of s and says how long it is; one
// that does not end is a bare bracket, which Go's parser then complains about.
func bracket(s string) (string, int) {
	var b strings.Builder
	b.WriteByte('[')
	i := 1
	if i < len(s) && s[i] == '^' {
		b.WriteByte('^')
		i++
	}
	for first := true; i < len(s); first = false {
		switch {
		case s[i] == ']' && !first:
			b.WriteByte(']')
			return b.String(), i + 1
		case strings.HasPrefix(s[i:], "[:"):
			end := strings.Index(s[i:], ":]")
			if end < 0 {
				return "[", 1
			}
			b.WriteString(s[i : i+end+2])
			i += end + 2
			continue
		case s[i] == '\\' || s[i] == ']' || s[i] == '[':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
		i++
	}
	return "[", 1
}

// compile makes a POSIX pattern into a matcher that takes, as POSIX wants, the longest of
// the leftmost matches.
func compile(pattern string, extended, fold bool) (*regexp.Regexp, error) {
	text, err := translate(pattern, extended)
	if err != nil {
		return nil, err
	}
	if fold {
		text = "(?i)" + text
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, patternError(err)
	}
	re.Longest()
	return re, nil
}

// patternError leaves out the pattern, which is our translation.
func patternError(err error) error {
	var why *syntax.Error
	if errors.As(err, &why) {
		return errors.New("invalid pattern: " + string(why.Code))
	}
	return err
}
