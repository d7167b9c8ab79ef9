package netns

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// place is a network namespace of its own with its loopback up, held by a process.
func place(t *testing.T) (ns *os.File, pid int) {
	t.Helper()
	testenv.Require(t, testenv.Root)
	cmd := exec.Command("sleep", "1000000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	ns, err := Open(cmd.Process.Pid, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	if err := inside(ns, func() error {
		n, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(n)
		r, err := unix.NewIfreq("lo")
		if err != nil {
			return err
		}
		r.SetUint16(unix.IFF_UP)
		return unix.IoctlIfreq(n, unix.SIOCSIFFLAGS, r)
	}); err != nil {
		t.Fatal(err)
	}
	return ns, cmd.Process.Pid
}

// listen listens on an address in ns and echoes.
func listen(t *testing.T, ns *os.File, address string) uint16 {
	t.Helper()
	var l net.Listener
	if err := inside(ns, func() (err error) { l, err = net.Listen("tcp", address); return err }); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			c.Close()
		}
	}()
	a, _ := netip.ParseAddrPort(l.Addr().String())
	return a.Port()
}

func TestDialLocal(t *testing.T) {
	ns, _ := place(t)
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		port := listen(t, ns, address)
		f, err := DialLocal(t.Context(), ns, port)
		if err != nil {
			t.Fatal(address, err)
		}
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		_ = c.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
			t.Errorf("%s: %q, %v", address, b, err)
		}
		c.Close()
		if _, err := net.Dial("tcp", address[:len(address)-1]+"9"); err == nil {
			t.Error("the host has that port, too: the test says nothing")
		}
	}
	if _, err := DialLocal(t.Context(), ns, 9); !errors.Is(err, unix.ECONNREFUSED) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("a port without a listener: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := DialLocal(ctx, ns, 9); err == nil {
		t.Error("connected for a caller who has gone")
	}
}

// TestStays: this process is where it was after it has been elsewhere.
func TestStays(t *testing.T) {
	ns, _ := place(t)
	home, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := inside(ns, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		now, err := os.Readlink("/proc/self/task/" + task.Name() + "/ns/net")
		if err == nil && now != home { // a thread may have ended meanwhile
			t.Errorf("thread %s is in %s, not %s", task.Name(), now, home)
		}
	}
}

func TestOpen(t *testing.T) {
	ns, pid := place(t)
	link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(ns.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(pid, link)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := Open(pid, "net:[1]"); !fault.Is(err, fault.NotFound) {
		t.Errorf("another process's namespace: %v", err)
	}
	if _, err := Open(1<<30, ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("no process: %v", err)
	}
}

func TestPin(t *testing.T) {
	ns, _ := place(t)
	path := t.TempDir() + "/netns/one"
	if Pinned(path) {
		t.Error("pinned before")
	}
	if err := Pin(ns, path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Unpin(path) })
	if !Pinned(path) {
		t.Error("not pinned")
	}
	if err := Pin(ns, path); !fault.Is(err, fault.Exists) {
		t.Errorf("twice: %v", err)
	}
	again, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := inside(again, func() error { return nil }); err != nil {
		t.Error(err)
	}
	for range 2 { // what is gone is gone
		if err := Unpin(path); err != nil || Pinned(path) {
			t.Error(err)
		}
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil { // as after a restart of the machine
		t.Fatal(err)
	}
	if err := Unpin(path); err != nil {
		t.Error(err)
	}
}
