package nsfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"carob/internal/fault"
)

// inside starts a process in a user and a pid namespace of its own.
func inside(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Skipf("needs user namespaces: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// number is what the link of a process says.
func number(t *testing.T, pid, kind string) uint64 {
	t.Helper()
	link, err := os.Readlink("/proc/" + pid + "/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.Trim(strings.TrimPrefix(link, kind+":"), "[]"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func inode(t *testing.T, n NS, err error) uint64 {
	t.Helper()
	if err != nil {
		t.Error(err)
		return 0
	}
	defer n.Close()
	i, err := n.Inode()
	if err != nil {
		t.Error(err)
	}
	return i
}

func TestLineage(t *testing.T) {
	pid := inside(t)
	name := strconv.Itoa(pid)
	for _, kind := range []string{"user", "pid", "uts"} {
		n, err := Of(pid, kind)
		if got, want := inode(t, n, err), number(t, name, kind); got != want {
			t.Errorf("%s: %d, the link says %d", kind, got, want)
		}
	}
	open := func(kind string) NS {
		n, err := Of(pid, kind)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.Close)
		return n
	}
	up, err := open("pid").Parent()
	if got, want := inode(t, up, err), number(t, "self", "pid"); got != want {
		t.Errorf("above the pid namespace: %d, want %d", got, want)
	}
	up, err = open("user").Parent()
	if got, want := inode(t, up, err), number(t, "self", "user"); got != want {
		t.Errorf("above the user namespace: %d, want %d", got, want)
	}
	owner, err := open("uts").Owner()
	if got, want := inode(t, owner, err), number(t, name, "user"); got != want {
		t.Errorf("owner of uts: %d, want %d", got, want)
	}
	if uid, err := open("user").OwnerUID(); err != nil || int(uid) != os.Getuid() {
		t.Errorf("made by %d, %v", uid, err)
	}
	if _, err := open("uts").Parent(); !fault.Is(err, fault.Invalid) {
		t.Errorf("above uts: %v", err)
	}
	if _, err := open("uts").OwnerUID(); !fault.Is(err, fault.Invalid) {
		t.Errorf("who made uts: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	if _, err := Of(1<<30, "net"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such process: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, err := n.Owner(); !fault.Is(err, fault.Unsupported) {
		t.Errorf("owner of a file: %v", err)
	}
	NS{fd: -1}.Close() // what was never open
}
