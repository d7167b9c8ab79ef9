package image

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// victimVariable makes the test binary do the victim's work in this store instead.
const victimVariable = "CAROB_TEST_VICTIM"

// A process that is killed at any change to the disk leaves a store that opens, has
// every image whole that it lists, and does the same work when it is asked again.
func TestKilledAtEveryStep(t *testing.T) {
	testenv.Require(t, testenv.Root)
	whole := map[string]bool{}
	disk := memory(t, "")
	for n := 1; ; n++ {
		root := filepath.Join(disk, fmt.Sprint(n))
		ended := runVictim(t, root, func(step int) (kill bool) { return step == n })
		s, err := Open(root)
		if err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		for _, img := range s.List() {
			for _, name := range img.Names {
				whole[name] = true
			}
			for _, tar := range layerTars(t, s, img.ID) {
				if len(tar) == 0 {
					t.Errorf("step %d: an empty layer", n)
				}
			}
			if _, err := s.NewRootfs(t.Context(), "after", img.ID, 0); err != nil {
				t.Errorf("step %d: %v", n, err)
			}
			if err := s.RemoveRootfs(t.Context(), "after"); err != nil {
				t.Errorf("step %d: %v", n, err)
			}
		}
		if err := s.Sweep(t.Context(), func(string) bool { return false }); err != nil {
			t.Errorf("step %d: %v", n, err)
		}
		checkStore(t, s)
		if err := work(t, s); err != nil {
			t.Errorf("step %d: the same work again: %v", n, err)
		}
		checkStore(t, s)
		if t.Failed() {
			t.FailNow()
		}
		if ended {
			if n < 50 || !whole["base:latest"] || !whole["made:1"] {
				t.Errorf("%d steps, images seen: %v; this tested nothing", n, whole)
			}
			t.Logf("killed at %d steps", n-1)
			return
		}
	}
}

// work imports, loads, pulls, commits, uses and removes.
func work(t *testing.T, s *Store) error {
	base, err := s.ImportTar(t.Context(), "base", bytes.NewReader(makeTar(t, dir("d"), file("d/f", "text"), symlink("l", "d"))), v1.ImageConfig{})
	if err != nil {
		return err
	}
	loaded := loadLayers(t, s, makeTar(t, file("one", "1")), makeTar(t, file("two", "2"), file(".wh.one", "")))
	if _, err := s.NewRootfs(t.Context(), "c", base.ID, 0); err != nil {
		return err
	}
	if err := pulled(t, s, makeTar(t, file("d/four", "4")), makeTar(t, file("d/five", strings.Repeat("5", 70<<10)))); err != nil {
		return err
	}
	if _, err := NewCommitter(s).Add(t.Context(), Commit{Parent: base.ID}, bytes.NewReader(makeTar(t, file("three", "3")))); err != nil {
		return err
	}
	if _, err := s.Discard(t.Context(), loaded.ID, false); err != nil {
		return err
	}
	_, _, err = s.Prune(t.Context(), Pruning{})
	if e := s.RemoveRootfs(t.Context(), "c"); err == nil {
		err = e
	}
	return err
}

// pulled adds an image as a registry's client does.
func pulled(t *testing.T, s *Store, tars ...[]byte) error {
	t.Helper()
	cfg := v1.Image{Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, RootFS: v1.RootFS{Type: "layers"}}
	r := Remote{Names: []string{"registry.example/pulled:1"}, Manifest: []byte("a manifest"), Digests: []string{"registry.example/pulled@" + digest.FromString("a manifest").String()}}
	for _, tar := range tars {
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, digest.FromBytes(tar))
		r.Layers = append(r.Layers, RemoteLayer{
			Open:  func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tar)), nil },
			Begin: func() {}, End: func() {},
		})
	}
	var err error
	if r.Config, err = json.Marshal(cfg); err != nil {
		return err
	}
	_, err = NewIntake(s).Add(t.Context(), r)
	return err
}

func TestVictim(t *testing.T) {
	root := os.Getenv(victimVariable)
	if root == "" {
		return // an ordinary run: the process that is killed runs this
	}
	s, err := Open(root)
	if err == nil {
		err = work(t, s)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runVictim runs TestVictim on a store, stopped before each change to the disk to ask
// whether it is killed there; ended says that it never was.
func runVictim(t *testing.T, root string, before func(step int) (kill bool)) (ended bool) {
	t.Helper()
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimVariable+"="+root, "GOMAXPROCS=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Ptrace: true}
	var out bytes.Buffer
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	state, killed := trace(t, cmd.Process.Pid, before)
	if killed {
		return false
	}
	if state.ExitStatus() != 0 {
		_, _ = log.Seek(0, 0)
		_, _ = out.ReadFrom(log)
		t.Fatalf("the victim failed by itself: %s", out.String())
	}
	return true
}

// trace follows all threads of a process that has just stopped at its execve.
func trace(t *testing.T, pid int, before func(step int) (kill bool)) (end unix.WaitStatus, killed bool) {
	t.Helper()
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	if err := unix.PtraceSetOptions(pid, options); err != nil {
		t.Fatal(err)
	}
	entering := map[int]bool{} // threads in a system call
	thread, signal, changes := pid, 0, 0
	for {
		if err := unix.PtraceSyscall(thread, signal); err != nil && err != unix.ESRCH {
			t.Fatal(err)
		}
		var err error
		if thread, err = unix.Wait4(-1, &status, unix.WALL, nil); err != nil {
			t.Fatal(err)
		}
		signal = 0
		switch {
		case status.Exited() || status.Signaled():
			if thread == pid {
				return status, killed
			}
		case status.StopSignal() == unix.SIGTRAP|0x80:
			entering[thread] = !entering[thread]
			if entering[thread] && !killed && changesDisk(t, thread) {
				if changes++; before(changes) {
					killed = true
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			}
		case status.StopSignal() != unix.SIGTRAP && status.StopSignal() != unix.SIGSTOP:
			signal = int(status.StopSignal())
		}
	}
}

// changesDisk tells whether the system call a thread enters changes a file system. (What
// write(2) adds to a file changes nothing that a name leads to.)
func changesDisk(t *testing.T, thread int) bool {
	t.Helper()
	call, flags, err := systemCall(thread)
	if err == unix.ESRCH {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	switch call {
	case unix.SYS_OPENAT:
		return flags&unix.O_CREAT != 0
	case unix.SYS_MKDIRAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT,
		unix.SYS_MKNODAT, unix.SYS_FSYNC, unix.SYS_SYNCFS, unix.SYS_FTRUNCATE:
		return true
	}
	return false
}

// memory mounts a file system that a flush of is for nothing.
func memory(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// The disk fills up at whatever byte: the error says so, nothing stays, and what was
// there before is as it was.
func TestFullDisk(t *testing.T) {
	testenv.Require(t, testenv.Root)
	content := makeTar(t, file("a", strings.Repeat("a", 300<<10)), file("b", strings.Repeat("b", 300<<10)))
	failed, succeeded := 0, 0
	for size := 256; size <= 2048; size += 256 {
		s, err := Open(filepath.Join(memory(t, fmt.Sprintf("size=%dk", size)), "images"))
		if err != nil {
			t.Fatal(err)
		}
		mustImport(t, s, "before", file("f", "x"))
		_, err = s.ImportTar(t.Context(), "large", bytes.NewReader(content), v1.ImageConfig{})
		checkStore(t, s)
		if err == nil {
			succeeded++
			continue
		}
		failed++
		wantFault(t, err, fault.Unavailable, "no space left on device")
		if got := s.List(); len(got) != 1 || len(layerTars(t, s, "before")) != 1 {
			t.Errorf("%d images are left", len(got))
		}
	}
	if failed == 0 || succeeded == 0 {
		t.Errorf("%d failed, %d did not: the sizes are badly chosen", failed, succeeded)
	}
}
