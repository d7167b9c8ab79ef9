package ns

import (
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/testenv"
)

// launch runs a shell command through a Launch and returns what it wrote.
func launch(t *testing.T, script string, change func(*Launch)) (string, error) {
	t.Helper()
	shell, err := os.Open("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	binary, err := fd.Seal("sh", shell)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	l := Launch{Binary: binary, Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}, Files: []*os.File{null, w, w}}
	if change != nil {
		change(&l)
	}
	pid, err := l.Start()
	w.Close()
	if err != nil {
		return "", err
	}
	defer Reap(pid)
	out, rerr := io.ReadAll(r)
	if rerr != nil {
		t.Fatal(rerr)
	}
	return string(out), nil
}

func TestLaunchInFreshNamespaces(t *testing.T) {
	testenv.Require(t, testenv.Root)
	out, err := launch(t, "id -u; tr -s ' ' < /proc/self/uid_map; ls /proc/self/fd | tr '\\n' ' '; grep CapEff /proc/self/status", func(l *Launch) {
		l.Fresh = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWUTS
		l.Users = Mapping{HostID: 400000, Size: 2000}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out, "0\n 0 400000 2000\n0 1 2 3 ") || !strings.Contains(out, "CapEff:\t000001ffffffffff") {
		t.Errorf("out %q", out)
	}
}

func TestLaunchJoins(t *testing.T) {
	testenv.Require(t, testenv.Root)
	user, err := NewUser(Mapping{HostID: 400000, Size: 2000})
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	net, err := Open(os.Getpid(), "net")
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	out, err := launch(t, "id -u; readlink /proc/self/ns/user; readlink /proc/self/ns/uts", func(l *Launch) {
		l.JoinUser, l.Fresh = user, unix.CLONE_NEWUTS|unix.CLONE_NEWNS
	})
	want, uerr := os.Readlink(fd.Path(user))
	if uerr != nil {
		t.Fatal(uerr)
	}
	mine, uerr := os.Readlink("/proc/self/ns/uts")
	if uerr != nil {
		t.Fatal(uerr)
	}
	if err != nil || !strings.HasPrefix(out, "0\n"+want+"\n") || strings.Contains(out, mine) {
		t.Errorf("out %q, %v", out, err)
	}
	// The kernel lets nobody take a namespace of a foreign user namespace: it says so.
	_, err = launch(t, "true", func(l *Launch) {
		l.JoinUser, l.Join = user, map[uint64]*os.File{unix.CLONE_NEWNET: net}
	})
	if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "namespaces: join") {
		t.Errorf("joining the host's network from a user namespace gives %v", err)
	}
}

func TestLaunchThatCannotExecuteLeavesNoProcess(t *testing.T) {
	testenv.Require(t, testenv.Root)
	_, err := launch(t, "", func(l *Launch) {
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { null.Close() })
		l.Binary = null
	})
	if err == nil || !strings.Contains(err.Error(), "exec") {
		t.Errorf("got %v", err)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}

func TestOpenAndSame(t *testing.T) {
	if _, err := Open(1<<30, "net"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a process that is not there gives %v", err)
	}
	if !Same(os.Getpid(), os.Getpid(), "net") || Same(os.Getpid(), 1<<30, "net") {
		t.Error("Same is wrong")
	}
}

// TestHoldTogether holds many children at once: one that had another's way out in its
// hands would keep it, and be kept by it.
func TestHoldTogether(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					h, err := Hold()
					if err != nil {
						t.Error(err)
						return
					}
					h.Release()
				})
			}
			all.Wait()
		}
	}()
	select {
	case <-done:
	case <-time.After(testenv.Patience(20 * time.Second)):
		t.Fatal("children that were let go are there")
	}
}
