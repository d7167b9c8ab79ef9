// Package netns reaches into network namespaces from outside: it opens one of a
// process and makes sockets in it. A socket stays in the namespace it was made in,
// wherever it is used, so that nothing else of this process has to go there. The
// package keeps no state; what it returns is close-on-exec and the caller's.
package netns

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Open opens the network namespace of a process. id is what the link /proc/PID/ns/net
// said when the process was known to be the right one ("net:[4026531840]"): another
// process that has got the pid since is NotFound. An empty id is not compared.
func Open(pid int, id string) (*os.File, error) {
	name := "/proc/" + strconv.Itoa(pid) + "/ns/net"
	n, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, name, err)
	}
	f := os.NewFile(uintptr(n), name)
	var st unix.Stat_t
	if err := unix.Fstat(n, &st); err != nil {
		_ = f.Close() // only looked at
		return nil, fault.Wrap(fault.Internal, name+": stat", err)
	}
	if is := "net:[" + strconv.FormatUint(st.Ino, 10) + "]"; id != "" && is != id {
		_ = f.Close() // only looked at
		return nil, fault.New(fault.NotFound, name+": is "+is+", not "+id+": the process has ended")
	}
	return f, nil
}

// DialLocal connects to a TCP port of the namespace's own loopback: 127.0.0.1, and
// where nobody listens there ::1. The file is a connected, non-blocking socket; see
// net.FileConn. A refused connection is Unavailable. ctx ends the attempt.
func DialLocal(ctx context.Context, ns *os.File, port uint16) (*os.File, error) {
	v4, v6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	f, err := dial(ctx, ns, netip.AddrPortFrom(v4, port))
	if err == nil || ctx.Err() != nil {
		return f, err
	}
	f, err6 := dial(ctx, ns, netip.AddrPortFrom(v6, port))
	if err6 == nil || ctx.Err() != nil {
		return f, err6
	}
	if errors.Is(err6, unix.EAFNOSUPPORT) || errors.Is(err6, unix.EADDRNOTAVAIL) || errors.Is(err6, unix.ENETUNREACH) {
		return nil, err // a namespace without IPv6: the other answer is the one that tells something
	}
	return nil, err6
}

// DialProcess is DialLocal in the namespace of a process: see Open.
func DialProcess(ctx context.Context, pid int, id string, port uint16) (*os.File, error) {
	ns, err := Open(pid, id)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }() // only entered
	return DialLocal(ctx, ns, port)
}

func dial(ctx context.Context, ns *os.File, to netip.AddrPort) (*os.File, error) {
	var n int
	err := inside(ns, func() (err error) {
		n, err = unix.Socket(family(to), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, to.String()+": socket", err)
	}
	err = unix.Connect(n, sockaddr(to))
	f := os.NewFile(uintptr(n), to.String())
	if errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.EINTR) {
		err = connected(ctx, f)
	}
	if err != nil {
		_ = f.Close() // never connected
		return nil, fault.Wrap(fault.Unavailable, to.String()+": connect", err)
	}
	return f, nil
}

func family(a netip.AddrPort) int {
	if a.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// connected waits until a connection that was begun stands or has failed.
func connected(ctx context.Context, f *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(time.Unix(1, 0)) }) // ends the wait
	defer stop()
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	err = rc.Write(func(n uintptr) bool {
		var pending int
		if pending, result = unix.GetsockoptInt(int(n), unix.SOL_SOCKET, unix.SO_ERROR); result != nil {
			return true
		}
		if pending != 0 {
			result = unix.Errno(pending)
			return true
		}
		_, result = unix.Getpeername(int(n))
		if errors.Is(result, unix.ENOTCONN) {
			return false // a wakeup that meant nothing
		}
		return true
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, result)
}

// inside runs do on a thread in the namespace.
func inside(ns *os.File, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		done <- entered(ns, do)
	}()
	return <-done
}

// entered goes back when it is done: a thread that is the process's first does not end,
// and /proc/PID/ns/net of this process would show the pod's namespace from then on.
func entered(ns *os.File, do func() error) error {
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(home) }() // only read from
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fault.Wrap(fault.Denied, "setns", err)
	}
	return errors.Join(do(), unix.Setns(home, unix.CLONE_NEWNET))
}

// Pin gives a namespace a path: a bind mount, which keeps it alive until Unpin. Missing
// directories are made as `ip netns` makes them. Exists when something is at the path.
func Pin(ns *os.File, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fault.Wrap(fault.Denied, "network namespace: path", err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return fault.Wrap(fault.Exists, "network namespace: path", err)
	}
	_ = f.Close() // an empty file, to be mounted on
	from := "/proc/self/fd/" + strconv.Itoa(int(ns.Fd()))
	if err := unix.Mount(from, path, "", unix.MS_BIND, ""); err != nil {
		return errors.Join(fault.Wrap(fault.Denied, path+": mount", err), os.Remove(path))
	}
	return nil
}

// Pinned reports whether a namespace is at the path.
func Pinned(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// Unpin takes a namespace's path away. It is idempotent.
func Unpin(path string) error {
	// EINVAL: not mounted, as after a restart of the machine.
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fault.Wrap(fault.Internal, path+": unmount", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.Internal, "network namespace", err)
	}
	return nil
}
