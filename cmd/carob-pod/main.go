// Command carob-pod is the supervisor of one pod (package podproc). It takes no
// arguments: descriptor 0 and 1 are /dev/null, 2 is a file for a crash's trace, 3
// the listening socket on which the daemon is served, 4 a place for the mount
// namespace that containers begin in (initstage.BaseFile). The environment is
// wire.Env. It ends with status 0 after Quit, and 1 when descriptor 3 is not what
// it should be.
package main

import (
	"runtime"

	"carob/internal/podproc"
	"carob/internal/sys/loop"
)

const (
	socket = 3
	base   = 4
)

func main() {
	if !loop.IsOpen(socket) {
		loop.Sleep()
	}
	// What Setup changes of a thread must be what children inherit, and the blocked
	// SIGPIPE is this thread's.
	runtime.LockOSThread()
	loop.Shrug()
	loop.Prompt()
	if loop.Harden() != 0 || loop.CloseFrom(base+1) != 0 || loop.Shield(base) != 0 {
		loop.Exit(1)
	}
	v, e := podproc.New(socket)
	if e != 0 {
		loop.Exit(1)
	}
	v.Run()
	loop.Exit(0)
}
