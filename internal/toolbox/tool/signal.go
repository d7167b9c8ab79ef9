package tool

import (
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Die ends this process by a signal, as the kernel would, and not as Go's runtime would,
// which ignores SIGUSR1 and prints a trace for SIGQUIT: whoever waits for it sees that death. The first
// process of a PID namespace cannot be killed from inside it and ends with the code
// that shells give such a death.
func Die(s syscall.Signal) {
	if os.Getpid() != 1 {
		byDefault(s)
		_ = syscall.Kill(os.Getpid(), s) // the exit below is for where it does not come
		for range 100 {
			syscall.Nanosleep(&syscall.Timespec{Nsec: 1e6}, nil) // another thread may be the one it is for
		}
	}
	os.Exit(128 + int(s))
}

// byDefault gives a signal its default action, beneath Go's runtime, whose own way for
// SIGQUIT is a trace of all goroutines.
func byDefault(s syscall.Signal) {
	var action struct { // struct kernel_sigaction: handler, flags, restorer, mask; all zero is SIG_DFL
		_ [4]uintptr
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
}

// ByDefault lets the kernel act on those signals that this process was not started to
// ignore. Nothing of os/signal may be used for them afterwards.
func ByDefault(signals []syscall.Signal) {
	for _, s := range signals {
		if !signal.Ignored(s) {
			byDefault(s)
		}
	}
}

// DieWhenAsked ends this process when a signal comes; it lasts as long as the process.
func DieWhenAsked(asked <-chan os.Signal) {
	go func() {
		if s, ok := (<-asked).(syscall.Signal); ok {
			Die(s)
		}
	}()
}

// Signal reads TERM, SIGTERM or 15.
func Signal(s string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return syscall.Signal(n), n > 0 && n < 65
	}
	n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(s), "SIG"))
	return n, n != 0
}
