package tool

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		args, operands []string
		spec           string
		long           []string
		want           Options
		err            string
	}{
		{[]string{"-ab", "x"}, []string{"x"}, "ab", nil, Options{'a': "", 'b': ""}, ""},
		{[]string{"x", "-a", "y"}, []string{"x", "y"}, "a", nil, Options{'a': ""}, ""},
		{[]string{"x", "-a"}, []string{"x", "-a"}, "+a", nil, Options{}, ""},
		{[]string{"-n5", "-c", "7"}, nil, "n:c:", nil, Options{'n': "5", 'c': "7"}, ""},
		{[]string{"--", "-a"}, []string{"-a"}, "a", nil, Options{}, ""},
		{[]string{"-", "-a"}, []string{"-"}, "a", nil, Options{'a': ""}, ""},
		{[]string{"--lines=3", "--quiet"}, nil, "n:q", []string{"lines=n", "quiet=q"}, Options{'n': "3", 'q': ""}, ""},
		{[]string{"--lines", "3"}, nil, "n:", []string{"lines=n"}, Options{'n': "3"}, ""},
		{[]string{"-z"}, nil, "a", nil, nil, "invalid option -- 'z'"},
		{[]string{"-:"}, nil, "a:", nil, nil, "invalid option -- ':'"},
		{[]string{"-n"}, nil, "n:", nil, nil, "option requires an argument -- 'n'"},
		{[]string{"--nosuch"}, nil, "a", nil, nil, "unrecognized option '--nosuch'"},
		{[]string{"--quiet=1"}, nil, "q", []string{"quiet=q"}, nil, "option '--quiet' doesn't allow an argument"},
	} {
		o, operands, err := (&Call{Args: test.args}).Parse(test.spec, test.long...)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != test.err || len(o) != len(test.want) || !slices.Equal(operands, test.operands) {
			t.Errorf("%q: %v %q %q", test.args, o, operands, text)
		}
		for letter, v := range test.want {
			if o[letter] != v {
				t.Errorf("%q: %c is %q", test.args, letter, o[letter])
			}
		}
	}
}

func TestErrorsAreLibcs(t *testing.T) {
	_, open := os.Open("/nosuch/x")
	for _, test := range []struct {
		err  error
		want []string
	}{
		{open, []string{"/nosuch/x: No such file or directory"}},
		{syscall.ENOTEMPTY, []string{"Directory not empty"}},
		{Cannot("cannot remove", "x", open), []string{"cannot remove 'x': No such file or directory"}},
		{errors.Join(open, errors.New("other")), []string{"/nosuch/x: No such file or directory", "other"}},
		{fmt.Errorf("write: %w", syscall.EPIPE), nil},
		{errors.New("a\x1b[31mb\nc\u009b"), []string{"a?[31mb?c?"}},
	} {
		if got := Lines(test.err); !slices.Equal(got, test.want) {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

func TestFinish(t *testing.T) {
	for _, test := range []struct {
		code int
		err  error
		want int
		text string
	}{
		{0, nil, 0, ""}, {3, nil, 3, ""}, {0, errors.New("x"), 1, "t: x\n"}, {5, errors.New("x"), 5, "t: x\n"},
		{0, Misused("bad"), 2, "t: bad\nusage: t [-a]\n"}, {0, Misuse{}, 2, "usage: t [-a]\n"}, {0, Invalid("bad"), 2, "t: bad\n"},
	} {
		var b bytes.Buffer
		got := Tool{Name: "t", Usage: "[-a]", Misused: 2}.Finish(&Call{Name: "t", Err: &b}, test.code, test.err)
		if got != test.want || b.String() != test.text {
			t.Errorf("%d, %v: %d %q", test.code, test.err, got, b.String())
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[0m\u009b\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Printable(s) {
			if r != '\t' && (r < ' ' || r >= 0x7f && r <= 0x9f) {
				t.Errorf("%q keeps %U", s, r)
			}
		}
	})
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]time.Duration{"1": time.Second, "0.5": time.Second / 2, "2m": 2 * time.Minute, "1d": 24 * time.Hour, "infinity": Forever, "1e300": Forever} {
		if got, err := ParseDuration(text); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]int64{"0": 0, "4096": 4096, "4k": 4096, "1M": 1 << 20, "2G": 2 << 30} {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "x", "-1", "NaN", "1x"} {
		if _, err := ParseDuration(bad); err == nil {
			t.Errorf("%q is a duration", bad)
		}
		if _, err := ParseSize(bad); err == nil {
			t.Errorf("%q is a size", bad)
		}
	}
	if _, err := ParseSize("9999999999T"); err == nil {
		t.Error("a size that overflows")
	}
}

func TestSignalNames(t *testing.T) {
	for text, want := range map[string]syscall.Signal{"TERM": 15, "SIGTERM": 15, "term": 15, "15": 15, "KILL": 9, "RTMIN": 0, "0": 0, "65": 0, "x": 0} {
		if got, ok := Signal(text); ok != (want != 0) || ok && got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
}
