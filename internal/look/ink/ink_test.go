package ink

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"nginx -g":      "nginx -g",
		"a\x1b[2Jb":     "a?[2Jb",
		"a\nb\tc\r":     "a?b?c?",
		"\u202eevil":    "?evil",
		"\u009b31m":     "?31m",
		"容器 é":          "容器 é",
		"\xff":          "\ufffd",
		"zero\u200bgap": "zero?gap",
	} {
		if got := Safe(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWidth(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "容器": 4, "é": 1, "e\u0301": 1, "├─": 2, "…": 1, "，": 2, "한": 2} {
		if got := Width(s); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{{"abcdef", 6, "abcdef"}, {"abcdef", 5, "abcd…"}, {"容器容器", 5, "容器…"}, {"abc", 0, "abc"}} {
		if got := Cut(c.s, c.n); got != c.want {
			t.Errorf("%q to %d: %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func TestTable(t *testing.T) {
	var tab Table
	tab.Head("NAME", "NS")
	tab.Row(Cell{"容器", Plain}, Cell{"host", Dim}, Cell{"x", Plain})
	tab.Row(Cell{"ab", Plain}, Cell{"", Plain}, Cell{"y\x1b[31m", HueOf(0)})
	tab.Row(Cell{"a line that is longer than any column", Plain})
	var b strings.Builder
	if err := tab.Write(&b, Pen{}); err != nil {
		t.Fatal(err)
	}
	want := "NAME  NS\n容器  host  x\nab          y?[31m\na line that is longer than any column\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	_ = tab.Write(&b, Pen{Colour: true})
	if !strings.Contains(b.String(), "\x1b[1mNAME\x1b[0m") || !strings.Contains(b.String(), "\x1b[36my?[31m\x1b[0m") {
		t.Errorf("%q", b.String())
	}
}

func TestShort(t *testing.T) {
	id := strings.Repeat("0a", 32)
	for in, want := range map[string]string{
		"": "", id: "0a0a0a0a0a0a…", "/carob/" + id + "/x": "/carob/0a0a0a0a0a0a…/x", id + "0": id + "0", id[1:]: id[1:],
		"容" + id: "容0a0a0a0a0a0a…", id + " " + id: "0a0a0a0a0a0a… 0a0a0a0a0a0a…", "deadbeef": "deadbeef",
	} {
		if got := Short(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for want, words := range map[string][]string{"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a, b and c": {"a", "b", "c"}} {
		if got := List(words); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if Count(1, "process", "processes") != "1 process" || Count(0, "process", "processes") != "0 processes" {
		t.Error("counts")
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{
		{"one two three", 7, "one two|three"},
		{"one", 2, "one"},
		{"", 5, ""},
		{"容器有自己的命名空间。", 10, "容器有自己|的命名空|间。"},
		{"a 容器 b", 4, "a 容|器 b"},
		{"容器（httpd）。", 12, "容器|（httpd）。"},
	} {
		if got := strings.Join(Wrap(c.s, c.n), "|"); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func FuzzInk(f *testing.F) {
	f.Add("a\x1b[2J 容器 b", 5)
	f.Fuzz(func(t *testing.T, s string, n int) {
		safe := Safe(s)
		if strings.ContainsAny(safe, "\x1b\n\r\u009b") || !utf8.ValidString(safe) {
			t.Errorf("%q", safe)
		}
		n = n&63 + 2
		if cut := Cut(safe, n); Width(cut) > n {
			t.Errorf("%q is wider than %d", cut, n)
		}
		joined := strings.Join(Wrap(safe, n), "")
		if strings.ReplaceAll(joined, " ", "") != strings.ReplaceAll(safe, " ", "") {
			t.Errorf("wrapping %q lost something: %q", safe, joined)
		}
	})
}
