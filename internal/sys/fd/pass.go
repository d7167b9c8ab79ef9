package fd

import (
	"errors"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// MaxPass bounds the descriptors that Receive takes with one message from a client.
const MaxPass = 8

// scmMax is the kernel's own bound on what Send can attach (SCM_MAX_FD).
const scmMax = 253

// Send writes b with the files attached to its first byte (SCM_RIGHTS). The
// files stay the caller's and keep their blocking mode.
func Send(c *net.UnixConn, b []byte, files []*os.File) error {
	if len(files) == 0 {
		_, err := c.Write(b)
		return err
	}
	if len(files) > scmMax || len(b) == 0 {
		return fault.New(fault.Invalid, "send: too many files or nothing to attach them to")
	}
	fds := make([]int, len(files))
	if err := withFDs(files, fds, func() error {
		n, _, err := c.WriteMsgUnix(b, unix.UnixRights(fds...), nil)
		b = b[n:]
		return err
	}); err != nil {
		return err
	}
	if len(b) == 0 {
		return nil
	}
	_, err := c.Write(b) // a stream socket may take the first part only; the files went with it
	return err
}

// withFDs runs f while every file's descriptor is held open and known. os.File.Fd
// is avoided: it would switch a pipe the caller goes on using to blocking mode.
func withFDs(files []*os.File, fds []int, f func() error) error {
	if len(files) == 0 {
		return f()
	}
	rc, err := files[0].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := rc.Control(func(n uintptr) {
		fds[0] = int(n)
		inner = withFDs(files[1:], fds[1:], f)
	}); err != nil {
		return err
	}
	return inner
}

// Receive fills b and returns the files that came with it, at most max of them;
// more is an error. It returns io.EOF when the peer closed before the first byte
// and io.ErrUnexpectedEOF when it closed within b. The files are the caller's,
// close-on-exec, and pipes and sockets among them are non-blocking, so that
// closing one interrupts whoever waits in it. On error no file is left open.
func Receive(c *net.UnixConn, b []byte, max int) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			CloseAll(files)
			files = nil
		}
	}()
	// Room for one more than MaxPass: a message with too many is then seen as such,
	// and one with far too many is cut by the kernel, which tells (MSG_CTRUNC).
	oob := make([]byte, unix.CmsgSpace(4*(MaxPass+1)))
	for got := 0; got < len(b); {
		n, oobn, flags, _, err := c.ReadMsgUnix(b[got:], oob)
		if oobn > 0 {
			more, perr := rights(oob[:oobn])
			files = append(files, more...)
			if perr != nil {
				return files, perr
			}
		}
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return files, err
		case flags&unix.MSG_CTRUNC != 0 || len(files) > max:
			return files, fault.New(fault.Invalid, "receive: too many files")
		case n == 0 && got == 0:
			return files, io.EOF
		case n == 0:
			return files, io.ErrUnexpectedEOF
		}
		got += n
	}
	return files, nil
}

func rights(oob []byte) ([]*os.File, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, failed("parse", "control message", err)
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // another kind of control message: nothing was opened for it
		}
		for _, n := range fds {
			nonblocking(n)
			files = append(files, os.NewFile(uintptr(n), "passed"))
		}
	}
	return files, nil
}

// nonblocking makes a pipe or socket non-blocking; regular files and terminals
// are left as they are, a terminal being shared with the user's shell.
func nonblocking(n int) {
	var st unix.Stat_t
	if unix.Fstat(n, &st) != nil {
		return
	}
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFIFO || t == unix.S_IFSOCK {
		_ = unix.SetNonblock(n, true) // a file that cannot be is read blocking, as before
	}
}

// CloseAll closes the files that are not nil.
func CloseAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing is buffered here
		}
	}
}

// PeerUID returns the user of the process that connected (SO_PEERCRED), as it was
// when it did.
func PeerUID(c *net.UnixConn) (uint32, error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var inner error
	if err := rc.Control(func(n uintptr) {
		cred, inner = unix.GetsockoptUcred(int(n), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if inner != nil {
		return 0, failed("getsockopt", "SO_PEERCRED", inner)
	}
	return cred.Uid, nil
}

// AwaitInput waits, as long as the connection's read deadline allows, until there is
// something to be read, or the peer has closed, and takes nothing of it.
func AwaitInput(c *net.UnixConn) error { return peek(c, true) }

// IsQuiet reports whether a connection is open with nothing to be read from it now.
func IsQuiet(c *net.UnixConn) bool { return errors.Is(peek(c, false), unix.EAGAIN) }

// IsUnread reports whether an error of a stream says that its peer has closed it before it
// had read all that was sent to it.
func IsUnread(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

// peek looks for input. Without it, it waits or returns EAGAIN.
func peek(c *net.UnixConn, wait bool) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var found error
	err = rc.Read(func(n uintptr) bool {
		var b [1]byte
		_, _, found = unix.Recvfrom(int(n), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !wait || !errors.Is(found, unix.EAGAIN)
	})
	return errors.Join(err, found)
}
