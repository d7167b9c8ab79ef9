package look

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/testenv"
)

// start runs a shell script in new namespaces until the end of the test and returns
// its PID once it has printed a line. In a user namespace of its own it is root.
func start(t *testing.T, flags uintptr, script string) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	in, err := cmd.StdinPipe() // its end is the script's signal to end
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Skipf("needs namespaces: %v", err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%s: %q, %v", script, line, err)
	}
	return cmd.Process.Pid
}

// wait is a script that does nothing until its input ends.
const wait = "echo ready; read x"

func readReal(t *testing.T, o Options) *Host {
	t.Helper()
	h, err := Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// inode asks the kernel by stat, which is another way than reading the link.
func inode(pid int, k Kind) uint64 {
	info, err := os.Stat(fmt.Sprintf("/proc/%d/ns/%v", pid, k))
	if err != nil {
		return 0
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

func TestNamespacesAreTheKernels(t *testing.T) {
	start(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS|syscall.CLONE_NEWNET, wait)
	start(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWPID|syscall.CLONE_NEWIPC|syscall.CLONE_NEWUTS, wait)
	// What others start here may move while it is read: those count that were at the same
	// place before and after.
	before := places(readReal(t, Options{}))
	h := readReal(t, Options{})
	after := places(h)
	checked := 0
	for i := range h.Processes {
		p := &h.Processes[i]
		if before[p.PID] != after[p.PID] || !after[p.PID].Known() || !p.NS.Known() {
			continue
		}
		checked++
		if p.NS != after[p.PID] {
			t.Errorf("process %d %s: %v, stat says %v", p.PID, p.Comm, p.NS, after[p.PID])
		}
	}
	if checked < 3 {
		t.Errorf("only %d processes could be compared", checked)
	}
}

// places are the namespaces of processes by stat.
func places(h *Host) map[int]NS {
	all := map[int]NS{}
	for i := range h.Processes {
		var ns NS
		for _, k := range Kinds() {
			ns[k] = inode(h.Processes[i].PID, k)
		}
		all[h.Processes[i].PID] = ns
	}
	return all
}

// unitOf returns the systemd unit whose cgroup the test is in, "" for none.
func unitOf(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	last := filepath.Base(strings.TrimSpace(string(text)))
	if strings.HasSuffix(last, ".service") || strings.HasSuffix(last, ".scope") {
		return last
	}
	return ""
}

func TestUnshared(t *testing.T) {
	pid := start(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWUTS|syscall.CLONE_NEWPID|syscall.CLONE_NEWNET, wait)
	h := readReal(t, Options{Lineage: true})
	th, err := h.Find(strconv.Itoa(pid))
	if err != nil || th.Container == nil {
		t.Fatalf("%+v, %v: want a group", th, err)
	}
	want := "sh"
	if unit := unitOf(t); unit != "" { // systemd's name for what the test runs in says more
		want = unit
	}
	if c := th.Container; c.Class != ClassGroup || c.Leader != pid || c.Name != want {
		t.Errorf("%+v, want the name %s", c, want)
	}
	me := h.Process(os.Getpid())
	own := []Kind{UTS, PID, Net, User}
	for _, k := range Kinds() {
		if same := th.NS[k] == me.NS[k]; same == slices.Contains(own, k) {
			t.Errorf("%s: %d, the test's %d", k, th.NS[k], me.NS[k])
		}
	}
	if p := h.Process(pid); len(p.NSpid) < 2 || p.NSpid[len(p.NSpid)-1] != 1 {
		t.Errorf("numbers in pid namespaces: %v", p.NSpid)
	}
	user := h.Lineage[Namespace{User, th.NS[User]}]
	if user.Parent != me.NS[User] || user.Owner != me.NS[User] || !user.Made || int(user.UID) != os.Getuid() {
		t.Errorf("user namespace: %+v, want it below and of %d, made by %d", user, me.NS[User], os.Getuid())
	}
	if p := h.Lineage[Namespace{PID, th.NS[PID]}]; p.Parent != me.NS[PID] || p.Owner != th.NS[User] {
		t.Errorf("pid namespace: %+v, want it below %d and of %d", p, me.NS[PID], th.NS[User])
	}
	if n := h.Lineage[Namespace{Net, th.NS[Net]}]; n.Owner != th.NS[User] || n.Parent != 0 {
		t.Errorf("net namespace: %+v, want it of %d", n, th.NS[User])
	}
	users, groups, err := h.Maps(pid)
	if want := (Map{0, uint32(os.Getuid()), 1}); err != nil || len(users) != 1 || users[0] != want || len(groups) != 1 {
		t.Errorf("maps %v %v, %v", users, groups, err)
	}
}

func keptOf(h *Host, n Namespace) *Kept {
	for i := range h.Kept {
		if h.Kept[i].Namespace == n {
			return &h.Kept[i]
		}
	}
	return nil
}

func TestKeptByAFile(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "read x")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL,
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("needs namespaces: %v", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/uts", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := Namespace{UTS, inode(cmd.Process.Pid, UTS)}
	if k := keptOf(readReal(t, Options{Kept: true}), n); k != nil {
		t.Errorf("%v is said to live by %+v while a process is in it", n, k)
	}
	_ = in.Close()
	if err := cmd.Wait(); err == nil {
		t.Fatal("read came to no end of its input")
	}
	k := keptOf(readReal(t, Options{Kept: true}), n)
	want := Held{os.Getpid(), fmt.Sprintf("fd/%d", f.Fd())}
	if k == nil || len(k.Mounts) > 0 || !slices.Contains(k.Files, want) {
		t.Errorf("%v: %+v, want it held by %+v", n, k, want)
	}
}

func TestKeptByAMount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uts")
	script := "mount --make-rprivate / && : >" + file + " && unshare --uts=" + file + " true && stat -c %i " + file + " >" + file + ".ino; " + wait
	pid := start(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWNS, script)
	b, err := os.ReadFile(file + ".ino")
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	k := keptOf(readReal(t, Options{Kept: true}), Namespace{UTS, number})
	if k == nil || len(k.Files) > 0 || len(k.Mounts) != 1 || k.Mounts[0] != (Held{pid, file}) {
		t.Errorf("uts:[%d]: %+v, want it mounted at %s in %d", number, k, file, pid)
	}
}

// TestKeptByAThread has one thread of the test in a namespace of its own.
func TestKeptByAThread(t *testing.T) {
	testenv.Require(t, testenv.Root)
	type place struct {
		tid int
		n   uint64
	}
	in, stop := make(chan place), make(chan struct{})
	var apart func()
	apart = func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if syscall.Gettid() == os.Getpid() {
			go apart() // the first thread is the process
			<-stop
			return
		}
		if err := syscall.Unshare(syscall.CLONE_NEWUTS); err != nil {
			in <- place{}
			return
		}
		tid := syscall.Gettid()
		info, err := os.Stat(fmt.Sprintf("/proc/self/task/%d/ns/uts", tid))
		if err != nil {
			in <- place{}
			return
		}
		in <- place{tid, info.Sys().(*syscall.Stat_t).Ino}
		<-stop
	}
	go apart()
	p := <-in
	defer close(stop)
	if p.n == 0 {
		t.Skip("needs a namespace for a thread")
	}
	k := keptOf(readReal(t, Options{Kept: true}), Namespace{UTS, p.n})
	if want := (Held{os.Getpid(), fmt.Sprintf("task/%d", p.tid)}); k == nil || !slices.Contains(k.Threads, want) || len(k.Files) > 0 {
		t.Errorf("uts:[%d]: %+v, want it held by %+v", p.n, k, want)
	}
}

// TestVanishing reads while processes come and go, without a stop.
func TestVanishing(t *testing.T) {
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			cmd := exec.Command("/bin/true")
			if cmd.Run() == nil {
				n++
			}
		}
	}()
	for range 20 {
		h := readReal(t, Options{Kept: true, Lineage: true})
		if h.Process(os.Getpid()) == nil {
			t.Error("the reader itself is missing")
		}
		for _, u := range h.Unread {
			if !strings.Contains(u.Why, "permission denied") {
				t.Errorf("%+v: an ended process counts as something that could not be read", u)
			}
		}
	}
	close(stop)
	if n := <-done; n < 10 {
		t.Errorf("only %d processes came and went", n)
	}
}

// TestZombie reads a process that has ended and that nobody has waited for.
func TestZombie(t *testing.T) {
	cmd := exec.Command("/bin/true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // ended well or not, it is gone then
	for range 500 {
		h := readReal(t, Options{PIDs: []int{cmd.Process.Pid}})
		if p := h.Process(cmd.Process.Pid); p != nil && p.State == "Z" {
			if p.NS.Known() || len(h.Containers) != 0 {
				t.Errorf("%+v in %v", p, seen(h))
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("never became a zombie")
}

// TestEnded asks for details of a process that is no more, and of one whose number is
// in use again.
func TestEnded(t *testing.T) {
	pid := start(t, 0, wait)
	h := readReal(t, Options{PIDs: []int{pid, 1 << 30}})
	if len(h.Processes) != 1 || h.Process(pid) == nil {
		t.Fatalf("%+v", h.Processes)
	}
	if _, err := h.Mounts(pid); err != nil {
		t.Errorf("a living process: %v", err)
	}
	if exe, err := h.Link(pid, "exe"); err != nil || !filepath.IsAbs(exe) {
		t.Errorf("exe: %q, %v", exe, err)
	}
	h.Process(pid).Start-- // another process had this number
	if _, err := h.Mounts(pid); err == nil {
		t.Error("mounts of another process with the same number")
	}
	if _, _, err := h.Maps(pid); err == nil {
		t.Error("maps of another process with the same number")
	}
}

// TestUnprivileged reads as somebody who may see little.
func TestUnprivileged(t *testing.T) {
	if os.Getenv("CAROB_LOOK_AS_NOBODY") != "" {
		h := readReal(t, Options{Kept: true, Lineage: true})
		for i := range h.Processes {
			if p := &h.Processes[i]; p.UID == 0 && p.NS.Known() {
				t.Errorf("process %d of root: %v", p.PID, p.NS)
			}
		}
		if !h.Process(os.Getpid()).NS.Known() || !h.NS.Known() {
			t.Error("not even its own namespaces")
		}
		for _, what := range []string{"namespaces", "open files"} {
			if !slices.ContainsFunc(h.Unread, func(u Unread) bool { return u.What == what && u.Count > 0 && u.Why == "permission denied" }) {
				t.Errorf("does not say that %s could not be read: %+v", what, h.Unread)
			}
		}
		return
	}
	testenv.Require(t, testenv.Root)
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "test")
	if err := os.WriteFile(exe, self, 0o755); err != nil {
		t.Fatal(err)
	}
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(exe, "-test.run=^TestUnprivileged$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "CAROB_LOOK_AS_NOBODY=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestUnprivileged") {
		t.Errorf("%v\n%s", err, out)
	}
}
