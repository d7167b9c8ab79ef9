package main

import (
	"context"
	"os"
	"os/exec"
)

// unified is where a hybrid host has a cgroup v2 hierarchy beside its v1 ones.
const unified = "/sys/fs/cgroup/unified"

// withoutUnified runs this program again where no unified hierarchy is in sight, if there is
// one that crun would refuse to run beside. Nobody here uses it, so that all are measured
// alike; a contest of CRI runtimes sees to its own hierarchies. It reports whether that was to be done.
func withoutUnified(ctx context.Context, o options) (bool, error) {
	if _, err := os.Stat(unified + "/cgroup.procs"); err != nil || o.cri || !has("crun") {
		return false, nil
	}
	self, err := os.Executable()
	if err != nil {
		return true, err
	}
	script := []string{"--mount", "--propagation", "private", "sh", "-c", `umount -l "$0" && exec "$@"`, unified, self}
	c := exec.CommandContext(ctx, "unshare", append(script, os.Args[1:]...)...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.Cancel = func() error { return nil } // it is interrupted as this process is, and has to clean up
	return true, c.Run()
}
