package fd

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Packets returns the two ends of a connection that keeps the bounds of messages
// (SOCK_SEQPACKET): one to use, one to pass on. Both are the caller's.
func Packets() (*net.UnixConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, failed("socketpair", "", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "socket"), os.NewFile(uintptr(pair[1]), "socket")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn.(*net.UnixConn), theirs, nil
}

// ReceivePacket reads one message and the files that came with it, at most max. A message
// that does not fit into b, or an end of the connection, is an error. The files are the
// caller's, as Receive's are.
func ReceivePacket(c *net.UnixConn, b []byte, max int) (n int, files []*os.File, err error) {
	oob := make([]byte, unix.CmsgSpace(4*(MaxPass+1)))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob)
	if oobn > 0 {
		files, _ = rights(oob[:oobn]) // what cannot be read as files are none
	}
	if err == nil && (flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || len(files) > max || n == 0) {
		err = failed("recvmsg", "message", unix.EMSGSIZE)
	}
	if err != nil {
		CloseAll(files)
		return 0, nil, err
	}
	return n, files, nil
}
