package nofile_test

import (
	"os"
	"os/exec"
	"testing"

	"carob/internal/sys/nofile"
)

// The test is in a package of its own: what the tested one imports decides when it is initialised.

// TestStarted: a process that is given a limit knows it, although Go has raised it.
func TestStarted(t *testing.T) {
	if os.Getenv("CAROB_TEST_NOFILE") != "" {
		if soft, hard := nofile.Started(); soft != 77 || hard != 99 {
			t.Errorf("started with %d and %d, want 77 and 99", soft, hard)
		}
		return
	}
	cmd := exec.Command("/bin/sh", "-c", `ulimit -n 99; ulimit -Sn 77; exec "$0" -test.run TestStarted`, os.Args[0])
	cmd.Env = append(os.Environ(), "CAROB_TEST_NOFILE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
