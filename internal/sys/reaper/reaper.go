// Package reaper is what a container's first process does besides the command itself: it
// passes signals on, waits for whatever has lost its parent, and ends as the command ends.
// It is for containers that an OCI runtime makes; those of carob's own need no program for
// it (spawn.Builder.Init).
package reaper

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a shell gives for commands that cannot be executed.
const (
	cannotExecute = 126
	notFound      = 127
)

// Run executes a command as this process's child, with its environment, streams and open
// descriptors, and returns the child's exit status when it has ended: 128 and the number of
// the signal that has ended it. The streams are the child's alone from then on. An error
// says that there was nothing to execute; the status goes with it. It is called once, by main.
func Run(args []string) (code int, err error) {
	if len(args) == 0 {
		return cannotExecute, errors.New("no command")
	}
	file, err := exec.LookPath(args[0])
	if err != nil {
		return refused(err), err
	}
	// Where the pid namespace is a pod's or the host's, orphans come here all the same.
	// Process 1 has them anyway; gVisor allows it this call in its first thread alone.
	if os.Getpid() != 1 {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return cannotExecute, os.NewSyscallError("become the subreaper", err)
		}
	}
	ended, sent := make(chan os.Signal, 1), make(chan os.Signal, 64)
	signal.Notify(sent)
	signal.Notify(ended, syscall.SIGCHLD) // by itself: it must not be lost among others
	child, err := syscall.ForkExec(file, args, &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Foreground: isTerminal()},
	})
	if err != nil {
		return refused(err), &os.PathError{Op: "exec", Path: file, Err: err}
	}
	for n := range 3 { // else a pipe that the command closes would stay open
		_ = unix.Close(n)
	}
	return serve(child, ended, sent), nil
}

// serve is there for the child until that has ended.
func serve(child int, ended, sent <-chan os.Signal) (code int) {
	for {
		select {
		case <-ended:
			if code, ok := reap(child); ok {
				return code
			}
		case s := <-sent:
			// SIGURG is the Go scheduler's.
			if n, ok := s.(syscall.Signal); ok && n != syscall.SIGCHLD && n != syscall.SIGURG {
				_ = syscall.Kill(child, n) // it is there until reap says otherwise
			}
		}
	}
}

func refused(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return notFound
	}
	return cannotExecute
}

// isTerminal tells whether the command has a terminal. Then it is put into the foreground
// in a process group of its own: Ctrl-C is sent to it once, by the kernel.
func isTerminal() bool {
	_, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	return err == nil
}

// reap waits for whatever has ended. ok says that the child is among it.
func reap(child int) (code int, ok bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil || pid <= 0:
			return 0, false
		case pid != child:
			continue
		case status.Signaled():
			return 128 + int(status.Signal()), true
		}
		return status.ExitStatus(), true
	}
}
