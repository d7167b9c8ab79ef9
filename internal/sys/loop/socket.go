package loop

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Accept takes a connection from a listening socket, non-blocking and
// close-on-exec.
func Accept(fd int) (int, Errno) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), 0, 0, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	return result(n, e)
}

// Send sends one packet.
func Send(fd int, b []byte) Errno {
	_, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		syscall.MSG_NOSIGNAL|syscall.MSG_DONTWAIT, 0, 0)
	return e
}

// Inbox receives packets with files. It is a value of its own because its room
// for 253 descriptors is too much for a small stack.
type Inbox struct {
	control [cmsgHeader + 4*maxFiles + 4]byte
	fds     [maxFiles]int
}

const (
	maxFiles   = 253 // SCM_MAX_FD
	cmsgHeader = int(unsafe.Sizeof(syscall.Cmsghdr{}))
)

// Receive takes one packet. size is its length, more than len(b) when it was cut;
// the files are close-on-exec, the caller's, and valid until the next call. An
// end of the connection is size 0.
func (in *Inbox) Receive(fd int, b []byte) (size int, files []int, e Errno) {
	iov := syscall.Iovec{Base: &b[0], Len: uint64(len(b))}
	h := syscall.Msghdr{Iov: &iov, Iovlen: 1, Control: &in.control[0], Controllen: uint64(len(in.control))}
	n, _, e := syscall.RawSyscall(syscall.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&h)),
		syscall.MSG_CMSG_CLOEXEC|syscall.MSG_DONTWAIT|syscall.MSG_TRUNC)
	if e != 0 {
		return 0, nil, e
	}
	return int(n), in.parse(in.control[:h.Controllen]), 0
}

// parse collects the descriptors of all SCM_RIGHTS messages.
func (in *Inbox) parse(c []byte) []int {
	n := 0
	for len(c) >= cmsgHeader {
		h := (*syscall.Cmsghdr)(unsafe.Pointer(&c[0]))
		end := int(h.Len)
		if end < cmsgHeader || end > len(c) {
			break
		}
		if h.Level == syscall.SOL_SOCKET && h.Type == syscall.SCM_RIGHTS {
			for at := cmsgHeader; at+4 <= end && n < len(in.fds); at += 4 {
				in.fds[n] = int(*(*int32)(unsafe.Pointer(&c[at])))
				n++
			}
		}
		c = c[min((end+7)&^7, len(c)):]
	}
	return in.fds[:n]
}

// Listening reports whether fd is a listening SOCK_SEQPACKET unix socket.
func Listening(fd int) bool {
	return sockopt(fd, syscall.SO_ACCEPTCONN) == 1 && sockopt(fd, syscall.SO_TYPE) == syscall.SOCK_SEQPACKET &&
		sockopt(fd, unix.SO_DOMAIN) == syscall.AF_UNIX
}

func sockopt(fd, name int) int {
	var v, n int32 = -1, 4
	if _, _, e := syscall.RawSyscall6(syscall.SYS_GETSOCKOPT, uintptr(fd), syscall.SOL_SOCKET, uintptr(name),
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&n)), 0); e != 0 {
		return -1
	}
	return int(v)
}
