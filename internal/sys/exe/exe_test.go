package exe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carob/internal/testenv"
)

// shown builds the command of that name with these flags of the linker.
func shown(t *testing.T, flags string) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "shown")
	build := exec.Command("go", "build", "-ldflags", flags, "-o", program, "./testdata/shown")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// TestProtect: one that is linked without Entry does the same by itself, once.
func TestProtect(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.Toolchain)
	cmd := exec.Command(shown(t, ""), "protect", "a")
	cmd.Env = []string{"A=1"}
	out, err := cmd.CombinedOutput()
	if want := `["protect" "a"] ["A=1" "GOMAXPROCS=1"] true <nil> shown`; err != nil || string(out) != want {
		t.Errorf("%v: %s\nwant %s", err, out, want)
	}
}

// TestEntry: a program that is linked with Entry is executed from a read-only mount before
// it does anything, with the arguments and the environment that it was given.
func TestEntry(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.Toolchain)
	program := shown(t, "-E carob/internal/sys/exe.Entry")
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
