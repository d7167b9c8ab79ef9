package logfile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// there are the files of a directory with their content.
func there(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

func lay(t *testing.T, files map[string]string) (path string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "log")
}

func TestRotate(t *testing.T) {
	for _, c := range []struct {
		name         string
		size         int64
		keep         int
		before, want map[string]string
		next         bool
	}{
		{"first", 3, 3, map[string]string{"log": "ccc"}, map[string]string{"log.1": "ccc"}, true},
		{"too small", 4, 3, map[string]string{"log": "ccc", "log.1": "b"}, map[string]string{"log": "ccc", "log.1": "b"}, false},
		{"third", 1, 3, map[string]string{"log": "c", "log.1": "b", "log.2": "a"}, map[string]string{"log.1": "c", "log.2": "b"}, true},
		{"one file", 1, 1, map[string]string{"log": "c"}, map[string]string{}, true},
		{"cut short among the old", 1, 4, map[string]string{"log": "c", "log.1": "b", "log.3": "a"}, map[string]string{"log.1": "c", "log.2": "b", "log.3": "a"}, true},
		{"cut short before the new", 1, 3, map[string]string{"log.1": "c", "log.2": "b"}, map[string]string{"log.1": "c", "log.2": "b"}, true},
		{"cut short before it is used", 1, 3, map[string]string{"log": "", "log.1": "c"}, map[string]string{"log": "", "log.1": "c"}, true},
		{"nothing", 1, 3, map[string]string{}, map[string]string{}, true},
		{"others", 1, 2, map[string]string{"log": "c", "log.1": "b", "log.10": "x", "log.1.log": "y"}, map[string]string{"log.1": "c", "log.10": "x", "log.1.log": "y"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := lay(t, c.before)
			next, err := Log{path, c.size, c.keep}.Rotate()
			if err != nil || next != c.next {
				t.Fatalf("%t, %v", next, err)
			}
			if d := cmp.Diff(c.want, there(t, filepath.Dir(path))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRemove(t *testing.T) {
	path := lay(t, map[string]string{"log": "", "log.2": "", "log.3": "", "other.log": ""})
	if err := Remove(path); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"other.log": ""}, there(t, filepath.Dir(path))); d != "" {
		t.Error(d)
	}
	if err := Remove(path); err != nil {
		t.Error(err)
	}
}

// rotated is a log of three files, in which lines go on from one to the next.
func rotated() map[string]string {
	return map[string]string{
		"log.2": at(1) + " stdout F one\n" + at(2) + " stdout P tw\n",
		"log.1": at(3) + " stderr F oops\n" + at(3) + " stdout P o\n",
		"log":   at(4) + " stdout F !\n" + at(5) + " stdout F three\n",
	}
}

func TestReadRotated(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(map[string]string)
		o        Options
		out, err string
	}{
		{"all", nil, Options{Tail: -1}, "one\ntwo!\nthree\n", "oops\n"},
		{"none", nil, Options{Tail: 0}, "", ""},
		{"the newest file's", nil, Options{Tail: 1}, "three\n", ""},
		{"a line of three files", nil, Options{Tail: 2}, "two!\nthree\n", ""},
		{"both streams", nil, Options{Tail: 3}, "two!\nthree\n", "oops\n"},
		{"more than there is", nil, Options{Tail: 9}, "one\ntwo!\nthree\n", "oops\n"},
		{"since a line's beginning", nil, Options{Tail: -1, Since: time.Date(2026, 1, 2, 3, 4, 2, 0, time.UTC)}, "two!\nthree\n", "oops\n"},
		{"since a line's middle", nil, Options{Tail: -1, Since: time.Date(2026, 1, 2, 3, 4, 3, 0, time.UTC)}, "three\n", "oops\n"},
		{"the newest is empty", func(f map[string]string) { f["log"] = "" }, Options{Tail: 1}, "two", ""},
		{"the newest is not there yet", func(f map[string]string) { delete(f, "log") }, Options{Tail: -1}, "one\ntwo", "oops\n"},
		{"one is missing", func(f map[string]string) { delete(f, "log.1") }, Options{Tail: -1}, "one\ntw!\nthree\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := rotated()
			if c.change != nil {
				c.change(files)
			}
			var out, errs bytes.Buffer
			if err := Read(t.Context(), lay(t, files), c.o, &out, &errs); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{c.out, c.err}, []string{out.String(), errs.String()}); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestFollowRotations: a writer that is told late goes on in the renamed file; whoever
// follows, or begins to, sees each line once all the same.
func TestFollowRotations(t *testing.T) {
	const lines, each, late = 1000, 40, 15
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, at(1)+" stdout F 0")
	type following struct {
		out  *syncBuffer
		done chan error
	}
	ended, start := make(chan struct{}), func() following {
		return following{newBuffer(), make(chan error, 1)}
	}
	var all []following
	follow := func() {
		f := start()
		all = append(all, f)
		go func() { f.done <- Read(t.Context(), path, Options{Tail: -1, Ended: ended}, f.out, f.out) }()
	}
	follow()
	w := openLog(t, path)
	for n := 1; n < lines; n++ {
		switch n % each {
		case 0:
			if next, err := (Log{path, 1, lines}).Rotate(); err != nil || !next {
				t.Fatal(next, err)
			}
		case late - 1:
			write(t, path) // it is there, and empty for a while
		case late:
			_ = w.Close()
			w = openLog(t, path)
		}
		if n%(lines/5) == 0 {
			follow()
		}
		if _, err := fmt.Fprintf(w, "%s stdout F %d\n", at(1), n); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Close()
	close(ended)
	var want strings.Builder
	for n := range lines {
		fmt.Fprintln(&want, n)
	}
	for i, f := range all {
		if err := <-f.done; err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.String(), f.out.String()); d != "" {
			t.Errorf("reader %d: %s", i, d)
		}
	}
}

func openLog(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
