package initstage

import (
	"golang.org/x/sys/unix"

	"carob/internal/sys/spawn"
)

// NoX32 reports whether this kernel certainly refuses system calls of the x32
// interface. A child makes one: a filter over this process may kill whoever does.
func NoX32() bool {
	const x32 = 0x40000000 // __X32_SYSCALL_BIT, asm/unistd.h
	b := &spawn.Builder{}
	b.Call(unix.SYS_GETPID | x32)
	p, err := spawn.Link(b)
	if err != nil {
		return false
	}
	defer p.Close()
	child, errno := p.Start(nil)
	if errno != 0 {
		return false
	}
	r, failed, errno := child.ReadReport()
	_ = unix.Close(child.Report)
	_ = unix.Close(child.PidFD)
	_, _ = unix.Wait4(child.Pid, nil, 0, nil) // what it said is all that counts
	return errno == 0 && failed && unix.Errno(r.Value) == unix.ENOSYS
}
