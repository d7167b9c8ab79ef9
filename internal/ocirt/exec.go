package ocirt

import (
	"context"
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/mount"
	"carob/internal/sys/ns"
	"carob/internal/sys/task"
	"carob/internal/world"
)

// ExecOptions are an exec's.
type ExecOptions struct {
	Process       *specs.Process
	PidFile       string
	ConsoleSocket string
	PidfdSocket   string
	Console       **os.File
	Preserve      int
	// Paused lets a process be started in a paused container: it will wait there.
	Paused bool
	// Groups are cgroups below the container's, by v1 controller or with "" for all
	// hierarchies; what is not named is the container's own.
	Groups map[string]string
}

// Exec starts one more process in a container and returns its number when it has come to
// execve. It is a child of this process.
func (c *Container) Exec(_ context.Context, o ExecOptions) (pid int, err error) {
	if err := c.mayExec(o); err != nil {
		return 0, err
	}
	spec, err := c.Config()
	if err != nil {
		return 0, err
	}
	limitFiles(o.Process)
	if err := home(c, o.Process); err != nil {
		return 0, err
	}
	c.r.grantable(o.Process, ocispec.Own(spec, specs.UserNamespace))
	init, err := c.Init.Open()
	if err != nil {
		return 0, err
	}
	defer init.Close()
	s := scene{spec: spec}
	defer s.close()
	s.files = noFiles()
	if err := joinGroup(c, &s, o); err != nil {
		return 0, err
	}
	term, err := execTerminal(&s, c.Init.Pid, o)
	if err != nil {
		return 0, err
	}
	defer term.close()
	child, err := launchExec(c, &s, more{process: o.Process, preserve: o.Preserve}, init)
	if err != nil {
		return 0, named(o.Process, err)
	}
	pid = child.pid
	err = errors.Join(term.hand(o.ConsoleSocket), sendPidfd(o.PidfdSocket, pid), task.WritePid(o.PidFile, pid))
	if err != nil {
		task.Kill(pid)
		return 0, err
	}
	if o.Console != nil {
		*o.Console = term.keep()
	}
	return pid, nil
}

func (c *Container) mayExec(o ExecOptions) error {
	if err := ocispec.Process(o.Process); err != nil {
		return err
	}
	if err := world.MayLabel("process.selinuxLabel", o.Process.SelinuxLabel); err != nil {
		return err
	}
	status, err := c.Status()
	if err != nil {
		return err
	}
	switch {
	case status == specs.StateStopped:
		return fault.New(fault.Conflict, "cannot exec in a stopped container")
	case status == Paused && !o.Paused:
		return fault.New(fault.Conflict, "cannot exec in a paused container (use --ignore-paused to override)")
	}
	return terminalFits(o.Process.Terminal, o.ConsoleSocket != "", o.Console != nil)
}

// joinGroup opens the way into the container's cgroup, or those below it.
func joinGroup(c *Container, s *scene, o ExecOptions) error {
	if c.Cgroup == "" && len(o.Groups) == 0 {
		return nil
	}
	layout, err := c.r.groups()
	if err != nil {
		return err
	}
	if len(o.Groups) == 0 {
		if s.group, err = cgroup.Home(layout, c.Cgroup, c.Init.Pid); err != nil {
			return err
		}
		return s.enter()
	}
	if s.group, err = c.group(); err != nil {
		return err
	}
	entry, err := cgroup.EntryBelow(s.group, o.Groups)
	if err != nil {
		return err
	}
	s.enterBy(entry)
	return nil
}

func execTerminal(s *scene, init int, o ExecOptions) (terminal, error) {
	if !o.Process.Terminal {
		return terminal{}, nil
	}
	pts, err := devpts(init)
	if err != nil {
		return terminal{}, fmt.Errorf("terminal: %w", err)
	}
	defer pts.Close()
	t, err := openTerminal(pts, o.Process, outside(s.spec.Linux.UIDMappings, o.Process.User.UID), o.Console != nil)
	if err != nil {
		return terminal{}, err
	}
	s.files.Slave = s.passed.add(t.Slave)
	t.Slave = nil // the list's now
	return t, nil
}

// devpts opens a process's /dev/pts, in its own mount namespace, so that the terminal has
// a name there. A container may have put something else in its place.
func devpts(pid int) (*os.File, error) {
	root, err := ns.Root(pid)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	pts, err := fd.InRoot(root, "/dev/pts", false)
	if err != nil {
		return nil, err
	}
	if mount.FSType(fd.Path(pts)) != "devpts" {
		pts.Close()
		return nil, fault.New(fault.Invalid, "/dev/pts: is no devpts")
	}
	return pts, nil
}

// more is one more process for a container.
type more struct {
	process *specs.Process
	// file is what is executed, "" is what the process's arguments say.
	file string
	// streams are the process's descriptors 0 to 2, nil are this one's.
	streams  []*os.File
	preserve int
}

// launchExec starts the exec's program.
func launchExec(c *Container, s *scene, m more, init *os.File) (*child, error) {
	ready, turn, err := task.Pipe()
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	_, last := task.Bounding()
	x := initstage.Exec{
		Process: m.process, File: m.file, Namespaces: joined(c.Init.Pid), Cgroups: s.files.Cgroups, Group: s.files.Group, Slave: s.files.Slave,
		LastCap: last, Linux: s.spec.Linux,
		Alone: &initstage.Alone{Start: -1, Report: -1, Preserve: m.preserve, Streams: m.streams != nil, Rootless: c.r.Rootless},
	}
	if m.streams == nil {
		x.Alone.Own = streamsToGive(m.process, outside(s.spec.Linux.UIDMappings, m.process.User.UID))
	}
	x.Alone.Turn = s.passed.add(ready)
	x.Alone.Release = len(s.passed.files)
	var filters world.Filters
	profile := s.spec.Linux.Seccomp
	if x.Seccomp, err = filters.Get(profile); err != nil {
		return nil, err
	}
	shares, err := shares(c, s.spec)
	if err != nil {
		return nil, err
	}
	x.Alone.Place = shares != nil
	program, err := x.Program()
	if err != nil {
		return nil, err
	}
	child, err := launch(program, m.streams, append(s.passed.files, turn), init)
	if err != nil {
		return nil, err
	}
	child.turn = turn
	ready.Close() // see begin
	err = child.converse(answers{
		initstage.StepPlace: func(pid int, _ uint64) error { return shares.Add(pid) },
		initstage.StepListener: func(pid int, number uint64) error {
			return sendListener(profile, processState(c.State(specs.StateRunning), pid), int(number))
		},
	})
	return child, err
}
