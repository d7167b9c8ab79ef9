package ocirt

import (
	"errors"
	"os"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/sys/spawn"
	"carob/internal/sys/task"
)

// door is where a created container's process waits to be started: at a FIFO that it reads a
// byte from, with another one to which it writes what goes wrong with execve.
type door struct{ wait, report *os.File }

const (
	startFile  = "start"
	reportFile = "report"
)

// openDoor makes the door of a container whose process waits.
func (n *creation) openDoor() (err error) {
	if n.direct {
		return nil
	}
	if n.door.wait, err = task.FIFO(n.file(startFile)); err != nil {
		return err
	}
	n.door.report, err = task.FIFO(n.file(reportFile))
	return err
}

// waits tells whether a container's process, which lives, waits to be started.
func waits(c *Container) bool {
	_, err := os.Lstat(c.file(startFile))
	return err == nil
}

// knock wakes the process and hears whether its execve has succeeded.
func knock(c *Container) error {
	hear, err := task.Listen(c.file(reportFile))
	if err != nil {
		return err
	}
	defer hear.Close()
	if err := task.Knock(c.file(startFile)); err != nil {
		return err
	}
	// From now on the container is not a created one, whatever comes.
	if err := errors.Join(os.Remove(c.file(startFile)), os.Remove(c.file(reportFile))); err != nil {
		return err
	}
	report := spawn.Child{Report: int(hear.Fd())}
	r, failed, errno := report.ReadReport()
	switch {
	case errno != 0:
		return errno
	case failed && int(r.Step) == c.LastStep:
		return &errCommand{cause: fd.Errno(r.Value), found: true}
	case failed:
		return fault.Wrap(fd.KindOf(fd.Errno(r.Value)), "seccomp", fd.Errno(r.Value))
	}
	return nil
}
