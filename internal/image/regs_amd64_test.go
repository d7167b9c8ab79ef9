package image

import "golang.org/x/sys/unix"

// systemCall reads which one a stopped thread enters, and the third argument of it:
// openat's flags.
func systemCall(thread int) (call int, third uint64, err error) {
	var r unix.PtraceRegsAmd64
	err = unix.PtraceGetRegsAmd64(thread, &r)
	return int(r.Orig_rax), r.Rdx, err
}
