package toolbox

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"carob/internal/testenv"
)

// TestAsCoreutils runs every line of testdata/coreutils.txt, which records what others'
// tools print, and compares.
func TestAsCoreutils(t *testing.T) {
	recorded, err := os.ReadFile("testdata/coreutils.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(recorded), "\n$ ")[1:]
	if len(lines) < 90 {
		t.Fatalf("only %d lines", len(lines))
	}
	for _, one := range lines {
		script, want, _ := strings.Cut(one, "\n")
		script, root := strings.CutPrefix(script, "root: ")
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			if root { // a user namespace of one user's has no others to give files to
				testenv.Require(t, testenv.Root)
			}
			out, err := command(t, "sh", "-c", script).CombinedOutput()
			got := fmt.Sprintf("%s[%d]", out, exitCode(err))
			if got != strings.TrimSuffix(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
