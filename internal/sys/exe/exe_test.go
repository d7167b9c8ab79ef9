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

// ownSlack is the timer slack that what is started here begins with.
func ownSlack(t *testing.T) string {
	t.Helper()
	own, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(own))
}

// TestProtect: one that is linked without Entry does the same by itself, once.
func TestProtect(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.Toolchain)
	cmd := exec.Command(shown(t, ""), "protect", "a")
	cmd.Env = []string{"A=1"}
	out, err := cmd.CombinedOutput()
	if want := `["protect" "a"] ["A=1" "GOMAXPROCS=1"] true <nil> shown 0 ` + ownSlack(t); err != nil || string(out) != want {
		t.Errorf("%v: %s\nwant %s", err, out, want)
	}
}

// TestEntry: a program that is linked with Entry is executed from a read-only mount before
// it does anything, with the arguments and the environment that it was given.
func TestEntry(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.Toolchain)
	program := shown(t, "-E carob/internal/sys/exe.Entry")
	slack := " " + ownSlack(t) + " 1000000"
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
		if err != nil || !strings.HasPrefix(string(out), c.want+" ") || !strings.HasSuffix(string(out), slack) {
			t.Errorf("%q: %v: %s\nwant %s … %s", c.args, err, out, c.want, slack)
		}
	}
}
