// Package early catches the signals that ask a process to end as soon as Go lets it.
//
// The kernel gives the first process of a PID namespace no default action
// (pid_namespaces(7)), so a container's program must catch what is to end it. Until it
// does, Go's runtime takes such a signal for a reason to exit with code 2. From execve to
// main a program of this size takes milliseconds, mostly in the initialisation of
// packages that it may not need; packages are initialised in the order of their import
// paths as far as their imports allow, so one that imports little comes early. What
// comes even earlier, while the runtime itself starts, is still lost or ends with 2: of
// 360 signals sent within 6 ms of execve on a busy machine 56 ended with 2, and 118 when
// main caught them first thing.
//
// Catching takes a third of what such a process needs to start, so any other process is
// spared it: the kernel's default ends that one, unless it has a use for signals (Catch).
package early

import (
	"os"
	"os/signal"
	"syscall"
)

// Asked brings the signals, to the first process of a PID namespace from here on and to
// another once it has called Catch. It is the one variable of the toolbox that is set
// before main, and nothing sets it again.
var Asked = first()

// Enders are the signals that end a process which does nothing about them, and that
// people and runtimes send; the likeliest first.
func Enders() []syscall.Signal {
	return []syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
	}
}

func first() chan os.Signal {
	asked := make(chan os.Signal, 8)
	if First() {
		Catch(asked)
	}
	return asked
}

// First says whether this is the first process of its PID namespace.
func First() bool { return os.Getpid() == 1 }

// Catch has the signals brought to asked. It leaves alone what whoever started this
// process has it ignore, as nohup(1) does with SIGHUP.
func Catch(asked chan<- os.Signal) {
	for _, s := range Enders() {
		if !signal.Ignored(s) {
			signal.Notify(asked, s)
		}
	}
}
