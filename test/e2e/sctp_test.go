package e2e

import (
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// TestSCTP: associations through ports of the host and between pods; where the kernel has
// no SCTP, who asks for a port is told.
func TestSCTP(t *testing.T) {
	testenv.Require(t, testenv.Root)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	l := newLab(t)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		t.Log("this kernel has no SCTP")
		if r := l.code(125, "run", "--rm", "-p", "3868:3868/sctp", image, "true"); !strings.Contains(r.err, "port 3868 of the host: this kernel has no SCTP (module sctp)") {
			t.Error(r.err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(fd)
	server, other := l.container("server", "-p", "3868:3868/sctp"), l.container("other")
	v4, _ := l.ips("default", server)
	ways := []struct {
		from    string
		pid     int
		address string
	}{
		{"outside", l.outside, here4}, {"the host", l.here, here4}, {"localhost", l.here, "127.0.0.1"},
		{"another pod", l.pid(other), v4}, {"another pod by the host", l.pid(other), here4},
	}
	l.sctpEcho(l.pid(server), len(ways))
	if r := l.code(125, "run", "--rm", "-p", "3868:1/sctp", image, "true"); !strings.Contains(r.err, "port 3868/sctp of the host: pod "+server) {
		t.Error(r.err)
	}
	for _, c := range ways {
		if err := sctpAsk(c.pid, c.address); err != nil {
			t.Errorf("from %s to %s: %v", c.from, c.address, err)
		}
	}
}

// sctpSocket makes an SCTP socket in a process's namespace, for use that waits for a while
// at most. The file closes it.
func sctpSocket(pid int, use func(fd int) error) (*os.File, error) {
	var f *os.File
	err := enter(pid, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), "sctp")
		for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
			limit := unix.NsecToTimeval(testenv.Patience(5e9).Nanoseconds())
			if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
				return err
			}
		}
		return use(fd)
	})
	return f, err
}

// sctpEcho sends back what comes over the next associations with SCTP port 3868 of a
// process's namespace.
func (l *lab) sctpEcho(pid, associations int) {
	l.Helper()
	f, err := sctpSocket(pid, func(fd int) error {
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: 3868}); err != nil {
			return err
		}
		return unix.Listen(fd, 8)
	})
	if err != nil {
		l.Fatal(err)
	}
	ended := make(chan bool)
	l.Cleanup(func() {
		<-ended
		_ = f.Close()
	})
	go func() {
		defer close(ended)
		b := make([]byte, 100)
		for range associations {
			fd, _, err := unix.Accept4(int(f.Fd()), unix.SOCK_CLOEXEC)
			if err != nil {
				return // nobody came for long
			}
			if n, err := unix.Read(fd, b); err == nil {
				_, _ = unix.Write(fd, b[:n])
			}
			_ = unix.Close(fd)
		}
	}()
}

// sctpAsk sends some bytes from a process's namespace and wants them back.
func sctpAsk(pid int, address string) error {
	f, err := sctpSocket(pid, func(fd int) error {
		return unix.Connect(fd, &unix.SockaddrInet4{Port: 3868, Addr: [4]byte(net.ParseIP(address).To4())})
	})
	if f != nil {
		defer f.Close()
	}
	if err != nil {
		return err
	}
	fd := int(f.Fd())
	if _, err := unix.Write(fd, []byte("who?")); err != nil {
		return err
	}
	b := make([]byte, 100)
	n, err := unix.Read(fd, b)
	if err == nil && string(b[:n]) != "who?" {
		err = errors.New("something else came back: " + string(b[:n]))
	}
	return err
}
