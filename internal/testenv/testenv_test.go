package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	for set, want := range map[string]time.Duration{"": time.Second, "10": 10 * time.Second, "2.5": 2500 * time.Millisecond, "0.1": time.Second, "x": time.Second} {
		t.Setenv(SlowVariable, set)
		if got := Patience(time.Second); got != want {
			t.Errorf("%s=%q: %v, want %v", SlowVariable, set, got, want)
		}
	}
}

// TestBuildWithoutToolchain takes what is in bin of the tree around the working directory.
func TestBuildWithoutToolchain(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"go.mod": "", "bin/carob": "", "bin/carobd": "", "bin/carob-look": "", "bin/carob-pod": "#!/bin/sh\necho it is me\n", "bin/carob-init": "", "bin/carob-oci": "", "bin/carob-toolbox": "", "deep/er/x": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(root + "/deep/er")
	t.Setenv("PATH", "/nowhere")
	if err := Build("carob-pod", root+"/copy"); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(root + "/copy").Output(); string(out) != "it is me\n" || err != nil {
		t.Errorf("the copy says %q, %v", out, err)
	}
	if err := Build("carob-nothing", root+"/copy"); err == nil || !strings.Contains(err.Error(), "carob-nothing") {
		t.Errorf("a program that is not there: %v", err)
	}
}
