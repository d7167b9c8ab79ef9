package e2e

import (
	"strings"
	"testing"
)

// TestExecTerminal: an exec finds its terminal by name, as tmux, gpg and agetty do.
func TestExecTerminal(t *testing.T) {
	h := start(t)
	for _, userns := range []string{"private", "host"} {
		c := h.container("tty", "--userns", userns)
		if out := h.ok("exec", "-t", c, "sh", "-c", "readlink /proc/self/fd/0"); strings.TrimSpace(out) != "/dev/pts/0" {
			t.Errorf("userns %s: %q", userns, out)
		}
		h.ok("rm", "-f", c)
	}
}
