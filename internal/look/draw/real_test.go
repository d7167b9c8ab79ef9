package draw

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/look"
	"carob/internal/testenv"
)

// process starts a program that sleeps, in new namespaces, and waits until it is asleep.
func process(t *testing.T, flags uintptr) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the test's context has killed it
	comm := fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(comm); err == nil && strings.TrimSpace(string(b)) == "sleep" {
			return cmd.Process.Pid
		}
		if time.Now().After(deadline) {
			t.Fatal("sleep does not sleep")
		}
	}
}

// joined starts such a process in some namespaces of another: from a thread that has
// gone there and is given up. The first thread must not be it: its namespaces are what
// /proc shows of the whole process.
func joined(t *testing.T, other int, kinds ...look.Kind) int {
	t.Helper()
	pid := make(chan int)
	go func() {
		defer close(pid)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			pid <- joined(t, other, kinds...) // another thread, while this one is held here
			runtime.UnlockOSThread()
			return
		}
		for _, k := range kinds {
			if err := enter(other, k); err != nil {
				t.Error(err)
				return
			}
		}
		pid <- process(t, 0)
	}()
	got := <-pid
	if got == 0 {
		t.FailNow()
	}
	return got
}

func enter(pid int, k look.Kind) error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%v", pid, k))
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Setns(int(f.Fd()), 0)
}

// inode asks the kernel in another way than look does: by stat.
func inode(t *testing.T, dir string, k look.Kind) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(dir+"/"+k.String(), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// TestReal draws real processes that share some of their namespaces with each other and
// others with the host, and holds the drawing against stat.
func TestReal(t *testing.T) {
	testenv.Require(t, testenv.Root)
	a := process(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWIPC|syscall.CLONE_NEWUTS)
	b := joined(t, a, look.Net, look.IPC)
	c := process(t, syscall.CLONE_NEWNET)
	in, err := Read(context.Background(), Options{Thing: strconv.Itoa(a)})
	if err != nil {
		t.Fatal(err)
	}
	p := lay(t, in)
	box := map[int]int{}
	for i := range p.Boxes {
		for _, pid := range []int{a, b, c} {
			if p.Boxes[i].Key == look.ClassGroup+"-"+strconv.Itoa(pid) {
				box[pid] = i
			}
		}
	}
	if _, seen := box[c]; seen || len(box) != 2 {
		t.Fatalf("drawn are %v; of %d, %d, %d the first two belong together", box, a, b, c)
	}
	inA, inB := fmt.Sprintf("/proc/%d/ns", a), fmt.Sprintf("/proc/%d/ns", b)
	for _, k := range look.Kinds() {
		o := crossing(t, p, box[a], k)
		if o == nil {
			continue
		}
		if same := inode(t, inA, k) == inode(t, inB, k); crosses(o, p.Boxes[box[b]].Rect) != same {
			t.Errorf("%v: stat says the same %v, the drawing does not", k, same)
		}
		if host := inode(t, inA, k) == inode(t, in.Host.NSFrom, k); o.Host != host {
			t.Errorf("%v: stat says the host's %v, the drawing does not", k, host)
		}
	}
	for _, medium := range []string{"text", "svg", "dot"} {
		if got := drawn(t, in, Form{Format: medium, Width: 120}); !bytes.Contains(got, []byte(strconv.FormatUint(inode(t, inA, look.Net), 10))) {
			t.Errorf("%s does not name the network's inode", medium)
		}
	}
}
