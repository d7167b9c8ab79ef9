package foreign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFeatures: a runtime is asked once, be its answer good or bad, and again when there
// is another at its path. The kubelet's Status wants to know every few seconds.
func TestFeatures(t *testing.T) {
	dir := t.TempDir()
	path, calls := filepath.Join(dir, "runtime"), filepath.Join(dir, "calls")
	install := func(script string) {
		t.Helper()
		fresh := path + ".new"
		if err := os.WriteFile(fresh, []byte("#!/bin/sh\necho x >>"+calls+"\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(fresh, path); err != nil {
			t.Fatal(err)
		}
	}
	asked := func() int {
		text, _ := os.ReadFile(calls) // none: not yet
		return strings.Count(string(text), "x")
	}
	h := New(Config{Name: "odd", Path: path})
	if _, err := h.Features(); err == nil || !strings.Contains(err.Error(), "handler odd") {
		t.Errorf("a runtime that is not there: %v", err)
	}
	install("exit 1")
	for range 3 {
		if _, err := h.Features(); err == nil || !strings.Contains(err.Error(), "handler odd") {
			t.Errorf("a runtime that fails: %v", err)
		}
	}
	if n := asked(); n != 1 {
		t.Errorf("a runtime that fails was run %d times", n)
	}
	old := *h.known.Load()
	old.at = old.at.Add(-askAgain)
	h.known.Store(&old)
	if _, err := h.Features(); err == nil || asked() != 2 {
		t.Errorf("after %v: %v, run %d times", askAgain, err, asked())
	}
	install("[ $1 = --version ] && echo runc version 1.2.3")
	for range 3 {
		f, err := h.Features()
		if err != nil || f.Runtime != "runc" || f.Version != "1.2.3" {
			t.Errorf("%+v, %v", f, err)
		}
	}
	if n := asked(); n != 4 { // --version and features
		t.Errorf("a runtime that answers was run %d times", n-2)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Features(); err == nil {
		t.Error("a runtime that has gone")
	}
}

func TestHidden(t *testing.T) {
	link := filepath.Join(t.TempDir(), "run")
	if err := os.Symlink("/dev/shm", link); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{"/dev/shm": true, "/dev/shm/../shm/carob": true, link: true, "/run/carob": false, "/dev/shmx": false} {
		if hidden(dir) != want {
			t.Errorf("%s: not %v", dir, want)
		}
	}
}
