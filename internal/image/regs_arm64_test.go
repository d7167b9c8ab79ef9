package image

import "golang.org/x/sys/unix"

// systemCall reads which one a stopped thread enters, and the third argument of it:
// openat's flags.
func systemCall(thread int) (call int, third uint64, err error) {
	var r unix.PtraceRegsArm64
	err = unix.PtraceGetRegSetArm64(thread, unix.NT_PRSTATUS, &r)
	return int(r.Regs[8]), r.Regs[2], err
}
