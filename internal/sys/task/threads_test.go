package task

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain lets this program be a process without its first thread.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "headless" {
		for { // until the first thread has come to run one of them
			go func() {
				runtime.LockOSThread()
				if unix.Gettid() == unix.Getpid() {
					_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // this thread's end; does not return
				}
				select {}
			}()
			if s, err := Ask(os.Getpid(), func(dir string) (string, error) { return os.Readlink(dir + "/root") }); err != nil {
				os.Stdout.WriteString(err.Error())
			} else if _, err := os.Readlink("/proc/self/root"); err != nil {
				os.Stdout.WriteString(s)
				select {}
			}
		}
	}
	os.Exit(m.Run())
}

// TestProcessWithoutFirstThread: it lives, and its namespaces and root are its other threads'.
func TestProcessWithoutFirstThread(t *testing.T) {
	cmd := exec.Command(os.Args[0], "headless")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	said := make([]byte, 1)
	_, err = out.Read(said)
	if err != nil || said[0] != '/' {
		t.Errorf("it says %s, %v", said, err)
	}
	id, lives, err := Find(pid)
	if err != nil || !lives || !id.Lives() {
		t.Errorf("lives %v, %v", lives, err)
	}
	root := func(dir string) (string, error) { return os.Readlink(dir + "/root") }
	if _, err := root("/proc/" + strconv.Itoa(pid)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its first thread is there: %v", err)
	}
	if theirs, err := Ask(pid, root); err != nil || theirs != "/" {
		t.Errorf("root %q, %v", theirs, err)
	}
	link := func(dir string) (string, error) { return os.Readlink(dir + "/ns/net") }
	theirs, err := Ask(pid, link)
	if ours, _ := Ask(os.Getpid(), link); err != nil || theirs != ours {
		t.Errorf("namespace %s, this process's is %s: %v", theirs, ours, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if _, err := Ask(pid, link); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nobody: %v", err)
	}
}
