package e2e

import (
	"testing"

	"carob/internal/testenv"
)

// TestExecBesideItsOwnGroups: systemd in a container makes the container's cgroup a parent,
// in which no process can be (cgroup v2). An exec goes where the first process is.
func TestExecBesideItsOwnGroups(t *testing.T) {
	testenv.Require(t, testenv.Cgroup2)
	h := start(t)
	c := h.name("parent")
	h.ok("run", "-d", "--name", c, "--privileged", image, "sh", "-ec",
		`cd /sys/fs/cgroup; mkdir init; echo 0 > init/cgroup.procs; echo +pids > cgroup.subtree_control; echo ready; exec sleep 1000`)
	h.eventually("it is a parent", func() bool { return h.ok("logs", c) == "ready" })
	if got := h.ok("exec", c, "cat", "/proc/self/cgroup"); got != "0::/init" {
		t.Errorf("an exec is in %q, want /init", got)
	}
	h.ok("rm", "-f", c)
}
