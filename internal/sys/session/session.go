// Package session is what a command needs of the session it runs in: the signals
// a person or supervisor sends it, by name and number, and starting a process that
// outlives it.
package session

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Quit are the signals that ask a daemon to end.
func Quit() []os.Signal { return []os.Signal{syscall.SIGTERM, syscall.SIGINT} }

// Reload asks a daemon to read its configuration again.
func Reload() os.Signal { return syscall.SIGHUP }

// Resize is sent when the terminal changes its size.
func Resize() os.Signal { return syscall.SIGWINCH }

// Forwarded are the signals that `run` passes on to the container: all that can be
// caught, without those that are about this process itself (its children, its
// terminal, its pipes, the Go scheduler's SIGURG).
func Forwarded() []os.Signal {
	return []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGALRM, syscall.SIGCONT,
	}
}

// Number returns the number of a caught signal, 0 for one that is no system
// signal.
func Number(s os.Signal) int {
	if n, ok := s.(syscall.Signal); ok {
		return int(n)
	}
	return 0
}

// Signal reads a signal as `kill -s` takes it: a number, or a name with or without
// SIG in any case.
func Signal(s string) (int, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > 64 {
			return 0, fault.New(fault.Invalid, "signal "+s+": not between 1 and 64")
		}
		return n, nil
	}
	name := strings.ToUpper(s)
	if n := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG")); n != 0 {
		return int(n), nil
	}
	return 0, fault.New(fault.Invalid, "signal "+s+": unknown name (TERM, KILL, HUP, 15, …)")
}

// Detach makes cmd the leader of a session of its own: neither the terminal's
// Ctrl-C nor its hang-up reach it.
func Detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// Become executes a program in this process's place, with its pid, environment and
// descriptors; args[0] is the name it sees. It returns only when that did not succeed.
func Become(path string, args []string) error {
	return fault.Wrap(fault.Internal, path, syscall.Exec(path, args, os.Environ()))
}

// Umask sets the mask for new files of this process: once, before anything is
// created.
func Umask(mask int) { syscall.Umask(mask) }

// Ends tells whether a signal ends a process that does not handle it, among those
// of Forwarded.
func Ends(n int) bool { return n != 0 && n != int(syscall.SIGCONT) }

// Asks tells whether a signal is a person's or a session's wish to end what is going
// on, in distinction to one that means something to a program.
func Asks(n int) bool {
	switch syscall.Signal(n) {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// Group makes cmd the leader of a session of its own, and its cancelling the end of every
// process that is still in it.
func Group(cmd *exec.Cmd) {
	Detach(cmd)
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
}
