package text

import (
	"regexp"
	"strings"
	"testing"
)

// TestTranslate tells basic and extended patterns apart, as POSIX's chapter 9 does.
func TestTranslate(t *testing.T) {
	for _, test := range []struct {
		pattern, text   string
		basic, extended string // what is matched, "-" for nothing
	}{
		{"a+", "aa+", "a+", "aa"}, {`a\+`, "aa+", "aa", "a+"}, {"(a)", "x(a)", "(a)", "a"}, {`\(a\)`, "x(a)", "a", "(a)"},
		{"a|b", "b a|b", "a|b", "b"}, {`a\|b`, "b a|b", "b", "a|b"}, {"a{2}", "aa a{2}", "a{2}", "aa"}, {`a\{2\}`, "aa a{2}", "aa", "a{2}"},
		{"*a", "x*a", "*a", "*a"}, {`\(*a\)`, "x*a", "*a", "-"}, {"^*a", "*a", "*a", "*a"}, {"a^b", "a^b", "a^b", "-"}, {"[a\\]", `x\`, `\`, `\`},
		{"[]a]*", "]a]x", "]a]", "]a]"}, {"[^]]", "]x", "x", "x"}, {"[[:digit:]]*", "12x", "12", "12"}, {"[a-c.]*", "ab.d", "ab.", "ab."},
		{`\.`, "a.", ".", "."}, {`a?`, "a?", "a?", "a"}, {`\<b`, "ab b", "b", "b"}, {"a.c", "xabc", "abc", "abc"}, {"[a", "[a", "", ""}, {"é.", "aéü", "éü", "éü"}, {"[é]x", "éx", "éx", "éx"},
	} {
		for extended, want := range map[bool]string{false: test.basic, true: test.extended} {
			re, err := compile(test.pattern, extended, false)
			if want == "" {
				if err == nil {
					t.Errorf("%q: no error", test.pattern)
				}
				continue
			}
			if err != nil {
				t.Errorf("%q: %v", test.pattern, err)
				continue
			}
			got := re.FindString(test.text)
			if got == "" {
				got = "-"
			}
			if got != want {
				t.Errorf("%q, extended %v, in %q: %q, want %q", test.pattern, extended, test.text, got, want)
			}
		}
	}
	if _, err := translate(`\(a\)\1`, false); err == nil {
		t.Error("a back-reference is silently something else")
	}
}

func FuzzTranslate(f *testing.F) {
	f.Add(`^\(a*\)[^]x]\{2\}$`, false)
	f.Add(`[[:alpha:]`, true)
	f.Fuzz(func(t *testing.T, pattern string, extended bool) {
		text, err := translate(pattern, extended)
		if err == nil && regexp.QuoteMeta(pattern) == pattern && text != pattern && !strings.ContainsRune(pattern, '\n') {
			t.Errorf("%q has nothing special and became %q", pattern, text)
		}
	})
}

// FuzzSed lets no script do more than fail.
func FuzzSed(f *testing.F) {
	for _, s := range []string{"s/a/b/g;p", "1,/x/{d;q2}", "y/abc/xyz/", ":a;ta", "$!N;P;D", "a\\\ntext", "/[/]/d", `s|\||x|`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		commands, err := parseSed(script, false)
		if err != nil {
			return
		}
		for i, c := range commands {
			if c.jump < 0 || c.jump > len(commands) {
				t.Errorf("command %d of %q jumps to %d of %d", i, script, c.jump, len(commands))
			}
		}
	})
}

func TestLinesKeepCarriageReturns(t *testing.T) {
	var got []string
	err := lines(strings.NewReader("a\r\nb\n\nlast"), func(line string) error { got = append(got, line); return nil })
	if err != nil || strings.Join(got, "|") != "a\r|b||last" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHumanNumber(t *testing.T) {
	for text, want := range map[string]float64{"1K": 1024, "2.5M": 2.5 * 1024 * 1024, "7": 7, "x": 0, "3G y": 3 << 30} {
		if got := humanNumber(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
