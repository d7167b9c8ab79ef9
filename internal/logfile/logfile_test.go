package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
)

func at(second int) string {
	return time.Date(2026, 1, 2, 3, 4, second, 5, time.UTC).Format(time.RFC3339Nano)
}

func write(t *testing.T, path string, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, l := range lines {
		if _, err := f.WriteString(l + "\n"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, in string
		ok       bool
		content  string
		stderr   bool
		partial  bool
	}{
		{"whole", at(1) + " stdout F hi there", true, "hi there", false, false},
		{"part", at(1) + " stderr P x", true, "x", true, true},
		{"empty", at(1) + " stdout F ", true, "", false, false},
		{"empty without space", at(1) + " stdout F", true, "", false, false},
		{"tags", at(1) + " stdout P:x:y z", true, "z", false, true},
		{"zone", "2026-01-02T03:04:05.1+02:00 stdout F a", true, "a", false, false},
		{"stream", at(1) + " stdin F a", false, "", false, false},
		{"tag", at(1) + " stdout X a", false, "", false, false},
		{"time", "yesterday stdout F a", false, "", false, false},
		{"nothing", "", false, "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ok := Parse([]byte(c.in))
			if ok != c.ok || string(l.Content) != c.content || l.Stderr != c.stderr || l.Partial != c.partial {
				t.Errorf("got %+v %q %v", l, l.Content, ok)
			}
		})
	}
}

func TestRead(t *testing.T) {
	lines := []string{
		at(1) + " stdout F one",
		at(2) + " stdout P tw",
		at(3) + " stderr F oops",
		at(3) + " stdout F o",
		at(4) + " stdout F ",
		at(5) + " stdout F four",
		at(6) + " stdout P fi",
	}
	for _, c := range []struct {
		name     string
		o        Options
		out, err string
	}{
		{"all", Options{Tail: -1}, "one\ntwo\n\nfour\nfi", "oops\n"},
		{"none", Options{Tail: 0}, "", ""},
		{"tail part", Options{Tail: 1}, "fi", ""},
		{"tail 4 joins", Options{Tail: 4}, "two\n\nfour\nfi", ""},
		{"tail 5", Options{Tail: 5}, "two\n\nfour\nfi", "oops\n"},
		{"tail more than there is", Options{Tail: 50}, "one\ntwo\n\nfour\nfi", "oops\n"},
		{"since", Options{Tail: -1, Since: time.Date(2026, 1, 2, 3, 4, 3, 0, time.UTC)}, "\nfour\nfi", "oops\n"},
		{"until", Options{Tail: -1, Until: time.Date(2026, 1, 2, 3, 4, 2, 9, time.UTC)}, "one\ntwo\n", ""},
		{"timestamps", Options{Tail: 3, Timestamps: true},
			at(4) + " \n" + at(5) + " four\n" + at(6) + " fi", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			write(t, path, lines...)
			var out, errs bytes.Buffer
			if err := Read(t.Context(), path, c.o, &out, &errs); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{c.out, c.err}, []string{out.String(), errs.String()}); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadMissing(t *testing.T) {
	err := Read(t.Context(), filepath.Join(t.TempDir(), "none"), Options{}, nil, nil)
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestUnfinishedAndForeignLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("garbage\n"+at(1)+" stdout F a\n"+at(2)+" stdout F cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if err := Read(t.Context(), path, Options{Tail: -1}, &out, &errs); err != nil {
		t.Fatal(err)
	}
	if out.String() != "a\ncut\n" || errs.String() != "garbage\n" {
		t.Errorf("got %q, %q", out.String(), errs.String())
	}
}

// A tail reads only the end: blocks are joined at their seams.
func TestTailOfLargeLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "%s stdout F line %d\n", at(1), i)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 1500, 1499, 5000} {
		var out bytes.Buffer
		if err := Read(t.Context(), path, Options{Tail: n}, &out, &out); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != n || lines[0] != fmt.Sprintf("line %d", 20000-n) {
			t.Errorf("tail %d: %d lines, first %q", n, len(lines), lines[0])
		}
	}
}

// syncBuffer can be waited on.
type syncBuffer struct {
	mu   sync.Mutex
	more chan struct{}
	b    bytes.Buffer
}

func newBuffer() *syncBuffer { return &syncBuffer{more: make(chan struct{}, 1)} }

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) waitFor(t *testing.T, want string) {
	t.Helper()
	for late := time.After(5 * time.Second); s.String() != want; {
		select {
		case <-s.more:
		case <-late:
			t.Fatalf("have %q, want %q", s.String(), want)
		}
	}
}

func TestFollowRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	write(t, path, at(1)+" stdout F old", at(2)+" stdout F one")
	out, ended, done := newBuffer(), make(chan struct{}), make(chan error, 1)
	go func() { done <- Read(t.Context(), path, Options{Tail: 1, Ended: ended}, out, out) }()
	out.waitFor(t, "one\n")
	old, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, path) // the new file exists, but the writer is still in the old one
	fmt.Fprintf(old, "%s stdout P tw", at(3))
	fmt.Fprintf(old, "\n%s stdout F o\n", at(3))
	out.waitFor(t, "one\ntwo\n")
	write(t, path, at(4)+" stderr F three")
	out.waitFor(t, "one\ntwo\nthree\n")
	write(t, path, at(5)+" stdout F four")
	close(ended)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	out.waitFor(t, "one\ntwo\nthree\nfour\n")
}

func TestFollowCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, at(1)+" stdout F one")
	ctx, cancel := context.WithCancel(t.Context())
	out, done := newBuffer(), make(chan error, 1)
	go func() { done <- Read(ctx, path, Options{Tail: -1, Ended: make(chan struct{})}, out, out) }()
	out.waitFor(t, "one\n")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(at(1) + " stdout F x"))
	f.Add([]byte("2026 stderr P:a b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, ok := Parse(b)
		if ok && len(l.Content) > len(b) {
			t.Fatal("content longer than its line")
		}
	})
}

// Whatever a log holds, reading and tailing end and agree on the last line.
func FuzzRead(f *testing.F) {
	f.Add([]byte(at(1)+" stdout P x\n"+at(1)+" stderr F y\n"), 1)
	f.Add([]byte("\n\n\x00"), 2)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var all, some bytes.Buffer
		if err := Read(t.Context(), path, Options{Tail: -1}, &all, &all); err != nil {
			t.Fatal(err)
		}
		if err := Read(t.Context(), path, Options{Tail: n % 100}, &some, &some); err != nil {
			t.Fatal(err)
		}
		if some.Len() > all.Len() {
			t.Fatalf("tail %q is longer than all %q", some.String(), all.String())
		}
	})
}
