package partial

import (
	"os"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func take(t *testing.T, d *Dir, what string) *File {
	t.Helper()
	f, err := d.Take(digest.FromString(what))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func opened(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func names(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestPartial(t *testing.T) {
	path := t.TempDir()
	d := opened(t, path)
	f := take(t, d, "a")
	if _, err := f.WriteString("half"); err != nil || f.Have != 0 {
		t.Fatalf("%d bytes are there: %v", f.Have, err)
	}
	second := take(t, d, "a") // somebody else's at the same time
	if _, err := second.WriteString("other"); err != nil || second.Have != 0 || names(t, path) != 1 {
		t.Errorf("%d bytes are there, %d names: %v", second.Have, names(t, path), err)
	}
	if err := second.Drop(); err != nil || names(t, path) != 1 {
		t.Errorf("%d names: %v", names(t, path), err)
	}
	if err := d.Sweep(time.Now().Add(time.Hour)); err != nil || names(t, path) != 1 {
		t.Errorf("swept what is taken: %v", err)
	}
	if err := f.Keep(); err != nil {
		t.Fatal(err)
	}

	d = opened(t, path) // the next daemon
	if err := d.Sweep(time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	f = take(t, d, "a")
	text := make([]byte, 10)
	if n, _ := f.ReadAt(text, 0); f.Have != 4 || string(text[:n]) != "half" {
		t.Errorf("%d bytes are there: %q", f.Have, text[:n])
	}
	if err := f.Drop(); err != nil || names(t, path) != 0 {
		t.Errorf("%d names: %v", names(t, path), err)
	}
	if err := take(t, d, "b").Keep(); err != nil {
		t.Fatal(err)
	}
	if err := d.Sweep(time.Now().Add(time.Hour)); err != nil || names(t, path) != 0 {
		t.Errorf("%d names: %v", names(t, path), err)
	}
}
