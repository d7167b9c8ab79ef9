package ocirt

import (
	"errors"
	"os"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/sys/spawn"
	"carob/internal/sys/task"
)

// door is where a created container's process waits to be started. Between processes it is
// two FIFOs; where the process that creates also starts, two pipes, which take nothing to be
// made and end with it.
type door struct {
	// The process reads a byte from wait, and writes to report what goes wrong with execve.
	wait, report *os.File
	// knock and hear are their other ends, nil for FIFOs.
	knock, hear *os.File
}

const (
	startFile  = "start"
	reportFile = "report"
)

// openDoor makes the door of a container, for this process to start it or for another.
func openDoor(c *Container, here bool) (err error) {
	d := &c.door
	if here {
		if d.wait, d.knock, err = task.Pipe(); err == nil {
			d.hear, d.report, err = task.Pipe()
		}
		return err
	}
	if d.wait, err = task.FIFO(c.file(startFile)); err != nil {
		return err
	}
	d.report, err = task.FIFO(c.file(reportFile))
	return err
}

// leave closes the process's ends, which it has itself.
func (d *door) leave() {
	fd.CloseAll([]*os.File{d.wait, d.report})
	d.wait, d.report = nil, nil
}

// close closes all that is open.
func (d *door) close() {
	d.leave()
	fd.CloseAll([]*os.File{d.knock, d.hear})
	d.knock, d.hear = nil, nil
}

// waits tells whether a container's process, which lives, waits to be started.
func waits(c *Container) bool {
	_, err := os.Lstat(c.file(startFile))
	return err == nil || c.door.knock != nil
}

// knock wakes the process and hears whether its execve has succeeded.
func knock(c *Container) error {
	d := &c.door
	defer d.close()
	here := d.knock != nil
	var err error
	if here {
		if _, err = d.knock.Write([]byte{0}); errors.Is(err, fd.EPIPE) {
			err = errStillborn
		}
	} else if d.hear, err = task.Listen(c.file(reportFile)); err == nil {
		err = task.Knock(c.file(startFile))
	}
	if err != nil {
		return err
	}
	if !here { // from now on the container is not a created one, whatever comes
		if err := errors.Join(os.Remove(c.file(startFile)), os.Remove(c.file(reportFile))); err != nil {
			return err
		}
	}
	report := spawn.Child{Report: int(d.hear.Fd())}
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
