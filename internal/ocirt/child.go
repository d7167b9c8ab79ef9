package ocirt

import (
	"errors"
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/spawn"
	"carob/internal/sys/task"
)

// errStillborn is a process that was gone before it got to execve, killed by somebody.
var errStillborn = fault.New(fault.Conflict, "the process has been killed before it could start")

// child is a process that runs a program and talks to this one.
type child struct {
	spawn.Child
	steps []string
	// pid is the process that goes on: another one after a fork in the program.
	pid  int
	fork bool     // the program forks, and pid is not that of the process that goes on yet
	turn *os.File // gives the child its turn
}

// answers are what is done in the steps in which a child waits, by the step's name.
type answers map[string]func(pid int, number uint64) error

// launch starts a program with its passed files, with this process's own streams or others;
// target, if there is one, is the pidfd of the process whose namespaces are joined. The child
// begins in a nest, and so has nothing of this process's memory while it waits. Whatever
// else is cloned and not executed (ns.Hold, ns.Mappings) has to be before: see spawn.NewNest.
func launch(b *spawn.Builder, streams, passed []*os.File, target *os.File) (*child, error) {
	nest, errno := spawn.NewNest(task.Slack())
	if errno != 0 {
		return nil, errno
	}
	p, err := spawn.Link(b)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	table := []int{0, 1, 2, -1}
	for i, f := range streams {
		table[i] = int(f.Fd())
	}
	if target != nil {
		table[spawn.FileTarget] = int(target.Fd())
	}
	for _, f := range passed {
		table = append(table, int(f.Fd()))
	}
	c, errno := nest.Start(p, table)
	if errno != 0 {
		return nil, fault.Wrap(fd.KindOf(errno), "namespaces: clone", errno)
	}
	return &child{Child: c, steps: b.Steps(), pid: c.Pid, fork: b.Forks() > 0}, nil
}

// converse answers the child until it is ready or has come to execve. On an error the
// child is gone.
func (c *child) converse(a answers) error {
	err := c.talk(a)
	c.close()
	if err != nil {
		task.Kill(c.pid)
	}
	return err
}

func (c *child) talk(a answers) error {
	// After a fork two processes report. What the younger one asks may come before the
	// elder one has said who that is.
	var early *spawn.Report
	for {
		r, ok, errno := c.ReadReport()
		switch {
		case errno != 0:
			return errno
		case !ok && task.Stillborn(c.pid):
			return errStillborn
		case !ok:
			return nil
		case r.Kind == spawn.ReportFailed:
			return stepFault(c.steps, r)
		case r.Kind == spawn.ReportPid:
			_, _ = task.Wait(c.pid) // it has done its part and is ending
			c.pid, c.fork = int(r.Value), false
			if early == nil {
				continue
			}
			r, early = *early, nil
		case c.fork:
			early = &r
			continue
		}
		if err := c.answer(a, r); err != nil {
			return err
		}
	}
}

// answer does what the child has asked for, and gives it its turn.
func (c *child) answer(a answers, r spawn.Report) error {
	if err := a[step(c.steps, r)](c.pid, r.Value); err != nil {
		return err
	}
	_, err := c.turn.Write([]byte{0})
	return err
}

// close gives up what belongs to the conversation.
func (c *child) close() {
	os.NewFile(uintptr(c.Report), "report").Close()
	os.NewFile(uintptr(c.PidFD), "pidfd").Close()
}

func step(steps []string, r spawn.Report) string {
	if int(r.Step) < len(steps) {
		return steps[r.Step]
	}
	return "?"
}

// errCommand says what is wrong with the command, in the words by which engines tell
// exit status 127 from 126.
type errCommand struct {
	name  string
	cause error
	found bool
}

// Error returns runc's text: that of os/exec for a command that is not found, another one
// for what execve says of a command that is there.
func (e *errCommand) Error() string {
	if e.found {
		return fmt.Sprintf("exec %s: %v", e.name, e.cause)
	}
	if errors.Is(e.cause, fd.ENOENT) && !strings.Contains(e.name, "/") {
		return fmt.Sprintf("exec: %q: executable file not found in $PATH", e.name)
	}
	return fmt.Sprintf("exec: %q: %v", e.name, e.cause)
}

func (e *errCommand) Unwrap() error { return e.cause }

// stepFault says in a person's words what a program's failed step means.
func stepFault(steps []string, r spawn.Report) error {
	name, e := step(steps, r), fd.Errno(r.Value)
	switch {
	case name == initstage.StepFind:
		return &errCommand{cause: e}
	case name == initstage.StepExec:
		return &errCommand{cause: e, found: true}
	case e == fd.ELOOP && (strings.HasPrefix(name, "mount /proc") || strings.HasPrefix(name, "mount /sys")):
		return fault.Wrap(fault.Invalid, name+": must be mounted on ordinary directory", e)
	}
	return fault.Wrap(fd.KindOf(e), name, e)
}

// named puts a command's name to the failure of its execve.
func named(p *specs.Process, err error) error {
	var e *errCommand
	if errors.As(err, &e) {
		e.name = p.Args[0]
	}
	return err
}
