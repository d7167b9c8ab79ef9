package exe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carob/internal/testenv"
)

// TestEntry: a program that is linked with Entry is executed from a read-only mount before
// it does anything, with the arguments and the environment that it was given.
func TestEntry(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.Toolchain)
	program := filepath.Join(t.TempDir(), "shown")
	build := exec.Command("go", "build", "-ldflags", "-E carob/internal/sys/exe.Entry", "-o", program, "./testdata/shown")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range []struct {
		args, env []string
		want      string
	}{
		{nil, nil, `[] ["GOMAXPROCS=1"] true <nil>`},
		{[]string{"a"}, []string{"A=1"}, `["a"] ["GOMAXPROCS=1" "A=1"] true <nil>`},
		{[]string{"", "b c"}, []string{"A=1", "B="}, `["" "b c"] ["GOMAXPROCS=1" "A=1" "B="] true <nil>`},
	} {
		cmd := exec.Command(program, c.args...)
		cmd.Env = append([]string{}, c.env...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), c.want+" ") {
			t.Errorf("%q: %v: %s\nwant %s", c.args, err, out, c.want)
		}
	}
}
