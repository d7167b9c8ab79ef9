package task_test

import (
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/sys/ns"
	"carob/internal/sys/task"
	"carob/internal/testenv"
)

// TestStillborn tells a child that has ended without execve from others.
func TestStillborn(t *testing.T) {
	testenv.Require(t, testenv.Root)
	held, err := ns.Hold()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	if task.Stillborn(held.Pid) {
		t.Error("one that lives is")
	}
	if err := unix.Kill(held.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended(t, held.Pid)
	if !task.Stillborn(held.Pid) {
		t.Error("one that has been killed is not")
	}
	cmd := exec.Command("/bin/sh", "-c", "kill -KILL $$")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended(t, cmd.Process.Pid)
	if task.Stillborn(cmd.Process.Pid) {
		t.Error("one that has been killed after execve is")
	}
	_ = cmd.Wait()
}

// ended waits for a child's end and leaves it there.
func ended(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
}
