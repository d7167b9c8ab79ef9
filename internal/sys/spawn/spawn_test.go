package spawn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/sys/fd"
	"carob/internal/testenv"
)

// start runs the program with out as standard output of the child, and files after
// FirstFile, and returns what it wrote, the reports, and how the last process ended.
func start(t *testing.T, b *Builder, files ...int) (out string, reports []Report, status syscall.WaitStatus) {
	t.Helper()
	return startAs(t, b, (*Program).Start, files...)
}

func startAs(t *testing.T, b *Builder, start func(*Program, []int) (Child, syscall.Errno), files ...int) (out string, reports []Report, status syscall.WaitStatus) {
	t.Helper()
	f, err := fd.Memory(b)
	if err != nil {
		t.Fatal(err)
	}
	p, e := Load(int(f.Fd()))
	f.Close()
	if e != 0 {
		t.Fatal(e)
	}
	defer p.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, e := start(p, append([]int{-1, int(w.Fd()), -1, -1}, files...))
	w.Close()
	if e != 0 {
		t.Fatal(e)
	}
	defer syscall.Close(c.PidFD)
	pid := c.Pid
	for {
		rep, ok, e := c.ReadReport()
		if e != 0 {
			t.Fatal(e)
		}
		if !ok {
			break
		}
		reports = append(reports, rep)
		if rep.Kind == ReportPid {
			pid = int(rep.Value)
			if _, err := syscall.Wait4(c.Pid, nil, 0, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	syscall.Close(c.Report)
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil {
		t.Fatal(err)
	}
	return string(text), reports, status
}

func stdout(b *Builder) { b.Call(unix.SYS_DUP3, File(FileStdout), Imm(1), Imm(0)) }

func unblock(b *Builder) {
	b.Call(unix.SYS_RT_SIGPROCMASK, Imm(unix.SIG_SETMASK), b.Bytes(make([]byte, 8)), Imm(0), Imm(8))
}

func exec(b *Builder, argv ...string) Ref {
	return b.Call(unix.SYS_EXECVE, b.Str(argv[0]), b.Strings(argv), b.Strings([]string{"A=b"}))
}

func TestExecve(t *testing.T) {
	var b Builder
	b.Step("streams")
	stdout(&b)
	unblock(&b)
	b.Step("exec")
	exec(&b, "/bin/sh", "-c", "echo hello $A; exit 7")
	out, reports, st := start(t, &b)
	if out != "hello b\n" || len(reports) != 0 || st.ExitStatus() != 7 {
		t.Errorf("out %q, reports %v, status %v", out, reports, st)
	}
}

func TestIgnoredSignalsAreNotInherited(t *testing.T) {
	signal.Ignore(syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Reset(syscall.SIGHUP, syscall.SIGUSR2)
	var b Builder
	b.Step("streams")
	stdout(&b)
	unblock(&b)
	b.Step("exec")
	exec(&b, "/bin/grep", "^SigIgn", "/proc/self/status")
	if out, _, _ := start(t, &b); out != "SigIgn:\t0000000000000000\n" {
		t.Errorf("got %q", out)
	}
}

func TestFailureNamesTheStep(t *testing.T) {
	var b Builder
	b.Step("first")
	stdout(&b)
	b.Step("second")
	exec(&b, "/no/such/command")
	_, reports, st := start(t, &b)
	want := Report{Kind: ReportFailed, Step: 1, Value: uint64(syscall.ENOENT)}
	if len(reports) != 1 || reports[0] != want || st.ExitStatus() != 127 {
		t.Errorf("reports %v, status %v", reports, st)
	}
}

func TestAllowedFailuresAndSkips(t *testing.T) {
	var b Builder
	b.Step("streams")
	stdout(&b)
	say := func(s string) { b.Call(unix.SYS_WRITE, Imm(1), b.Str(s), Imm(len(s))) }
	missing := func() Ref {
		return b.Call(unix.SYS_OPENAT, Imm(unix.AT_FDCWD), b.Str("/no/such"), Imm(0), Imm(0))
	}
	missing().Allow(uintptr(syscall.EPERM), uintptr(syscall.ENOENT)).SkipOnErr(1)
	say("skipped")
	missing().AllowAny()
	say("a")
	root := b.Call(unix.SYS_OPENAT, Imm(unix.AT_FDCWD), b.Str("/"), Imm(unix.O_PATH), Imm(0)).SkipOnOK(1).Result()
	say("skipped too")
	b.Call(unix.SYS_OPENAT, root, b.Str("etc/passwd"), Imm(0), Imm(0))
	say("b")
	missing()
	out, reports, _ := start(t, &b)
	if out != "ab" || len(reports) != 1 || reports[0].Value != uint64(syscall.ENOENT) {
		t.Errorf("out %q, reports %v", out, reports)
	}
}

func TestForkIntoPidNamespace(t *testing.T) {
	testenv.Require(t, testenv.Root)
	var b Builder
	b.Step("unshare")
	b.Call(unix.SYS_UNSHARE, Imm(unix.CLONE_NEWPID))
	b.Fork(0)
	b.Step("streams")
	stdout(&b)
	unblock(&b)
	b.Step("exec")
	exec(&b, "/bin/sh", "-c", "echo $$")
	out, reports, _ := start(t, &b)
	if out != "1\n" || len(reports) != 1 || reports[0].Kind != ReportPid {
		t.Errorf("out %q, reports %v", out, reports)
	}
}

// group makes a group of cgroup v2, which every host has to offer, and returns its
// directory.
func group(t *testing.T) *os.File {
	t.Helper()
	at := t.TempDir()
	if err := unix.Mount("cgroup2", at, "cgroup2", 0, ""); err != nil {
		t.Fatal(err)
	}
	dir := fmt.Sprintf("%s/carob-test-spawn-%d", at, os.Getpid())
	err := os.Mkdir(dir, 0o755)
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(dir), unix.Unmount(at, 0)); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// TestIntoCgroup: the first process, or the one after a fork, begins in the group.
func TestIntoCgroup(t *testing.T) {
	testenv.Require(t, testenv.Root)
	where := func(b *Builder) {
		b.Step("streams")
		stdout(b)
		unblock(b)
		b.Step("exec")
		exec(b, "/bin/sh", "-c", "grep ^0:: /proc/self/cgroup")
	}
	for name, build := range map[string]func(b *Builder, dir Arg){
		"clone": func(b *Builder, dir Arg) { b.CloneInto(dir) },
		"fork":  func(b *Builder, dir Arg) { b.ForkInto(0, dir) },
		"fork, which is allowed to fail and does not": func(b *Builder, dir Arg) {
			b.ForkInto(0, dir).Allow(uintptr(syscall.EACCES)).SkipOnOK(1)
			b.Call(unix.SYS_EXIT_GROUP, Imm(9))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := group(t)
			var b Builder
			build(&b, File(FirstFile))
			where(&b)
			out, _, _ := start(t, &b, int(dir.Fd()))
			if want := "0::/" + filepath.Base(dir.Name()) + "\n"; out != want {
				t.Errorf("out %q, want %q", out, want)
			}
		})
	}
}

// TestIntoForeignCgroup: who may not write to cgroup.procs is refused, and can go on.
func TestIntoForeignCgroup(t *testing.T) {
	testenv.Require(t, testenv.Root)
	dir := group(t)
	var b Builder
	b.Step("streams")
	stdout(&b)
	unblock(&b)
	b.Step("user")
	b.Call(unix.SYS_SETRESUID, Imm(65534), Imm(65534), Imm(65534))
	b.ForkInto(0, File(FirstFile)).Allow(uintptr(syscall.EACCES)).SkipOnOK(1)
	b.Fork(0)
	b.Step("exec")
	exec(&b, "/bin/echo", "outside")
	if out, _, st := start(t, &b, int(dir.Fd())); out != "outside\n" || st.ExitStatus() != 0 {
		t.Errorf("out %q, status %v", out, st)
	}
}

func TestInitReapsForwardsAndEndsLikeItsChild(t *testing.T) {
	testenv.Require(t, testenv.Root)
	var b Builder
	b.CloneFlags = unix.CLONE_NEWPID
	b.Step("init")
	b.Init()
	b.Step("streams")
	stdout(&b)
	unblock(&b)
	b.Step("exec")
	// The orphan's parent becomes PID 1; TERM sent to PID 1 must reach the shell.
	exec(&b, "/bin/sh", "-c", "trap 'echo term; exit 9' TERM; echo $$; (sleep 0.05 &) ; kill -TERM 1; while :; do sleep 0.01; done")
	out, _, st := start(t, &b)
	if out != "2\nterm\n" || st.ExitStatus() != 9 {
		t.Errorf("out %q, status %v", out, st)
	}
}

func TestLoadRefusesWhatPointsOutside(t *testing.T) {
	var b Builder
	b.Step("exec")
	exec(&b, "/bin/true")
	good, err := b.Image()
	if err != nil {
		t.Fatal(err)
	}
	load := func(img []byte) syscall.Errno {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(img); err != nil {
			t.Fatal(err)
		}
		p, e := Load(int(f.Fd()))
		if e == 0 {
			p.Close()
		}
		return e
	}
	if e := load(good); e != 0 {
		t.Fatalf("the good one: %v", e)
	}
	for n := range len(good) {
		if e := load(good[:n]); e == 0 {
			t.Fatalf("cut at %d was taken", n)
		}
	}
	for n := range 16 { // every word of header and first call made huge
		bad := []byte(string(good))
		copy(bad[8*n:], strings.Repeat("\xff", 8))
		load(bad) // must not crash; flags may legitimately be anything
	}
}

func BenchmarkSpawnTrue(b *testing.B) { benchmarkTrue(b, (*Program).Start) }

func benchmarkTrue(b *testing.B, start func(*Program, []int) (Child, syscall.Errno)) {
	var p Builder
	p.Step("exec")
	unblock(&p)
	exec(&p, "/bin/true")
	f, err := fd.Memory(&p)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for b.Loop() {
		prog, e := Load(int(f.Fd()))
		if e != 0 {
			b.Fatal(e)
		}
		c, e := start(prog, nil)
		if e != 0 {
			b.Fatal(e)
		}
		c.ReadReport()
		syscall.Close(c.Report)
		syscall.Close(c.PidFD)
		syscall.Wait4(c.Pid, nil, 0, nil)
		prog.Close()
	}
}

// TestShared starts children that share this process's memory, many at once and with
// work for the collector: what they leave in it would show.
func TestShared(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			word := fmt.Sprintf("word %d", i)
			for range 20 {
				var b Builder
				b.Step("streams")
				stdout(&b)
				unblock(&b)
				b.Step("exec")
				exec(&b, "/bin/echo", word)
				if out, reports, st := startAs(t, &b, (*Program).StartShared); out != word+"\n" || len(reports) != 0 || st != 0 {
					t.Errorf("out %q, reports %v, status %v", out, reports, st)
				}
				runtime.GC()
			}
		})
	}
	wg.Wait()
	var b Builder
	b.Step("first")
	b.Call(unix.SYS_GETPID)
	b.Step("second")
	exec(&b, "/no/such/command")
	want := Report{Kind: ReportFailed, Step: 1, Value: uint64(syscall.ENOENT)}
	if _, reports, st := startAs(t, &b, (*Program).StartShared); len(reports) != 1 || reports[0] != want || st.ExitStatus() != 127 {
		t.Errorf("reports %v, status %v", reports, st)
	}
}

// BenchmarkSharedTrue is BenchmarkSpawnTrue with memory that is shared until execve.
func BenchmarkSharedTrue(b *testing.B) { benchmarkTrue(b, (*Program).StartShared) }

// TestTooFar: a call cannot leave out more than its program can say.
func TestTooFar(t *testing.T) {
	for n, ok := range map[int]bool{255: true, 256: false} {
		b := &Builder{}
		b.Call(unix.SYS_GETPID).SkipOnOK(n)
		if _, err := b.Image(); (err == nil) != ok {
			t.Errorf("%d: %v", n, err)
		}
	}
}
