package spawn

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

// restless is the argument with which this program executes itself again and again, each
// time from another thread than its first, and with others about.
const restless = "restless"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == restless {
		for range 8 {
			go func() { runtime.LockOSThread(); select {} }()
		}
		runtime.LockOSThread()
		go func() {
			runtime.LockOSThread()
			time.Sleep(time.Millisecond)
			panic(syscall.Exec("/proc/self/exe", os.Args, nil))
		}()
		select {}
	}
	os.Exit(m.Run())
}

// TestEnterWhileItExecutes: the namespaces of a process can be joined at every moment, also
// when its first thread has made place for the one that executes a program.
func TestEnterWhileItExecutes(t *testing.T) {
	testenv.Require(t, testenv.Root)
	var pidfd int
	other, err := os.StartProcess("/proc/self/exe", []string{"/proc/self/exe", restless}, &os.ProcAttr{
		Files: []*os.File{nil, nil, os.Stderr}, Sys: &syscall.SysProcAttr{PidFD: &pidfd},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pidfd)
	enter := func() []Report {
		b := &Builder{}
		b.Step("join")
		Enter(b, File(FirstFile), unix.CLONE_NEWUTS)
		_, reports, _ := start(t, b, pidfd)
		return reports
	}
	for i := range 100 {
		if r := enter(); len(r) > 0 {
			t.Errorf("%d: %+v", i, r)
			break
		}
	}
	if err := other.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	if r := enter(); len(r) != 1 || syscall.Errno(r[0].Value) != syscall.ESRCH {
		t.Errorf("of nobody: %+v", r)
	}
}
