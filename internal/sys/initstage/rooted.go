package initstage

import (
	"golang.org/x/sys/unix"

	"carob/internal/sys/spawn"
)

// Rooted executes the program that is running anew, as root of a user namespace: a new one
// with a mount namespace of its own, whose mapping is given to it in StepMapping, or with
// Join that of the process that Spawn names as target. Only a process of one thread can
// go into a user namespace, so that no program in Go can by itself.
type Rooted struct {
	Args, Env []string
	Join      bool
	// Alone has Turn and Release.
	Alone Alone
}

// Program returns the program.
func (r Rooted) Program() *spawn.Builder {
	b := &spawn.Builder{}
	b.Call(unix.SYS_CLOSE, passed(r.Alone.Release))
	if r.Join {
		b.Step("user namespace: join")
		b.Call(unix.SYS_SETNS, spawn.File(spawn.FileTarget), spawn.Imm(unix.CLONE_NEWUSER))
	} else {
		b.CloneFlags = unix.CLONE_NEWUSER | unix.CLONE_NEWNS
		r.Alone.wait(b, StepMapping, spawn.Imm(0))
	}
	becomeRoot(b)
	// Who waits for it and is killed takes it along; a change of users would forget that.
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_PDEATHSIG), spawn.Imm(unix.SIGKILL), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	b.Step(StepExec)
	b.Call(unix.SYS_RT_SIGPROCMASK, spawn.Imm(unix.SIG_SETMASK), b.Bytes(make([]byte, 8)), spawn.Imm(0), spawn.Imm(8))
	b.Call(unix.SYS_EXECVE, b.Str("/proc/self/exe"), b.Strings(r.Args), b.Strings(r.Env))
	return b
}
