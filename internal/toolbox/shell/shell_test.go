package shell

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
)

// TestEffectOf holds signals against POSIX's chapter on sh: "INPUT FILES" and
// "ASYNCHRONOUS EVENTS".
func TestEffectOf(t *testing.T) {
	for _, test := range []struct {
		s                           syscall.Signal
		hasTrap, interactive, first bool
		want                        effect
	}{
		{syscall.SIGINT, false, false, false, ends}, {syscall.SIGINT, false, false, true, ends}, {syscall.SIGINT, false, true, false, interrupts},
		{syscall.SIGINT, true, true, false, trapped}, {syscall.SIGTERM, false, true, false, ignored}, {syscall.SIGTERM, false, true, true, ends},
		{syscall.SIGTERM, false, false, true, ends}, {syscall.SIGTERM, true, false, true, trapped}, {syscall.SIGQUIT, false, true, true, ignored},
		{syscall.SIGQUIT, false, false, false, ends}, {syscall.SIGHUP, false, true, true, ends},
	} {
		if got := effectOf(test.s, test.hasTrap, test.interactive, test.first); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

func FuzzPrintf(f *testing.F) {
	f.Add(`%5.2f|%-*s\n`, "1", "x")
	f.Add(`\101\x41%b%c`, `\0101`, "")
	f.Fuzz(func(t *testing.T, format, a, b string) {
		if strings.ContainsAny(format, "123456789*") {
			return // a width of a billion only takes long
		}
		var out, errs bytes.Buffer
		if code := printf(&out, &errs, []string{format, a, b}); (code != 0) != (errs.Len() > 0) {
			t.Errorf("code %d, and %q", code, errs.String())
		}
	})
}
