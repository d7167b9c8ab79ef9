package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// TestReadProfile: what is no file of a profile's size is refused, and never waited for.
func TestReadProfile(t *testing.T) {
	dir := t.TempDir()
	good, large, pipe := filepath.Join(dir, "good"), filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	for path, text := range map[string]string{good: "{}", large: strings.Repeat(" ", maxProfile+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := exec.Command("mkfifo", pipe).Run(); err != nil {
		t.Fatal(err)
	}
	if text, err := readProfile(good); text != "{}" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, path := range []string{large, pipe, dir} {
			if _, err := readProfile(path); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v", path, err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(testenv.Patience(10 * time.Second)):
		t.Fatal("waits for a writer")
	}
}
