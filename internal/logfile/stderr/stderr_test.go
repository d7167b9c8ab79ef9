package stderr

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogIsBounded: the log of a daemon that a client has started is two files, of the latest
// lines, and what does not go through it, as a crash, ends up there, too.
func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "daemon.log")
	stderr, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	const size, lines = 1000, 300
	var want strings.Builder
	l := newLog(path, stderr, size)
	for n := range lines {
		line := fmt.Sprintf("line %d\n", n)
		if _, err := l.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		want.WriteString(line)
	}
	if _, err := stderr.WriteString("panic\n"); err != nil {
		t.Fatal(err)
	}
	want.WriteString("panic\n")
	older, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	newer, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"older": older, "newer": newer} {
		if len(b) == 0 || len(b) > size+20 {
			t.Errorf("%s: %d bytes", name, len(b))
		}
	}
	if got := string(older) + string(newer); !strings.HasSuffix(want.String(), got) {
		t.Errorf("%q", got)
	}
	if files, err := filepath.Glob(path + "*"); err != nil || len(files) != maxFiles {
		t.Errorf("%v, %v", files, err)
	}
}

// TestLogFullAtTheStart: what an earlier daemon has said counts.
func TestLogFullAtTheStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "daemon.log")
	if err := os.WriteFile(path, []byte("earlier\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stderr, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	if _, err := newLog(path, stderr, 5).Write([]byte("now\n")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path + ".1"); err != nil || string(b) != "earlier\nnow\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestLogOfOthers: standard error that is something else stays what it is.
func TestLogOfOthers(t *testing.T) {
	dir := t.TempDir()
	other, err := openLog(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l := newLog(filepath.Join(dir, "daemon.log"), other, 5)
	for range 10 {
		if _, err := l.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}
