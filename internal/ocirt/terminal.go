package ocirt

import (
	"encoding/json"
	"fmt"
	"net"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
	"carob/internal/sys/task"
)

// terminal is a process's new terminal, if it has one.
type terminal struct{ mount.Terminal }

func (t *terminal) close() { t.Close() }

// keep takes the master out.
func (t *terminal) keep() *os.File {
	m := t.Master
	t.Master = nil
	return m
}

// hand gives the master to whoever listens at a unix socket (runc's docs/terminals.md).
func (t *terminal) hand(socket string) error {
	if socket == "" || t.Master == nil {
		return nil
	}
	err := sendFile(socket, []byte(t.Master.Name()), t.Master)
	if err != nil {
		return fmt.Errorf("console socket: %w", err)
	}
	return nil
}

// terminalFits refuses a terminal that nobody would hold, with the words that tools know.
func terminalFits(wanted, socket, console bool) error {
	switch {
	case wanted && !socket && !console:
		return fault.New(fault.Invalid, "cannot allocate tty if runc will detach without setting console socket")
	case !wanted && socket:
		return fault.New(fault.Invalid, "cannot use console socket if runc will not detach or allocate tty")
	}
	return nil
}

// terminal opens a terminal in the devpts that the container will have, and passes its
// slave to the process.
func (n *creation) terminal(s *scene) (err error) {
	p := n.spec.Process
	if !p.Terminal {
		return nil
	}
	if s.files.Pts < 0 {
		return fault.New(fault.Invalid, "process.terminal: needs a devpts at /dev/pts among the mounts")
	}
	n.term, err = openTerminal(s.passed.files[s.files.Pts], p, outside(s.spec.Linux.UIDMappings, p.User.UID), n.o.Console != nil)
	if err != nil {
		return err
	}
	s.files.Slave = s.passed.add(n.term.Slave)
	n.term.Slave = nil // the list's now
	return nil
}

// openTerminal opens a terminal for a process; plain is one whose output goes on through
// another terminal.
func openTerminal(pts *os.File, p *specs.Process, user uint32, plain bool) (terminal, error) {
	t, err := mount.OpenTerminal(pts, int(user))
	if err == nil && plain {
		err = task.PlainOutput(t.Master)
	}
	if err != nil {
		t.Close()
		return terminal{}, fmt.Errorf("terminal: %w", err)
	}
	if b := p.ConsoleSize; b != nil {
		if err := task.SetSize(t.Master, uint16(b.Height), uint16(b.Width)); err != nil {
			t.Close()
			return terminal{}, fmt.Errorf("process.consoleSize: %w", err)
		}
	}
	return terminal{t}, nil
}

// sendFile connects to a socket and sends a text with a descriptor.
func sendFile(socket string, text []byte, f *os.File) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	defer conn.Close()
	return fd.Send(conn, text, []*os.File{f})
}

// sendPidfd gives a pidfd of a process to whoever listens at a socket.
func sendPidfd(socket string, pid int) error {
	if socket == "" {
		return nil
	}
	pidfd, err := openProcess(pid)
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if err := sendFile(socket, []byte("pidfd"), pidfd); err != nil {
		return fmt.Errorf("pidfd socket: %w", err)
	}
	return nil
}

// sendListener takes the listener of a filter from the process that has loaded it, and
// gives it to the agent that the configuration names.
func sendListener(profile *specs.LinuxSeccomp, state specs.ContainerProcessState, number int) error {
	pidfd, err := openProcess(state.Pid)
	if err != nil {
		return err
	}
	defer pidfd.Close()
	listener, err := task.Take(pidfd, number)
	if err != nil {
		return fmt.Errorf("linux.seccomp: listener: %w", err)
	}
	defer listener.Close()
	state.Metadata = profile.ListenerMetadata
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if err := sendFile(profile.ListenerPath, text, listener); err != nil {
		return fmt.Errorf("linux.seccomp.listenerPath: %w", err)
	}
	return nil
}
