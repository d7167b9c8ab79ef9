package spawn

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/sys/fd"
	"carob/internal/testenv"
)

// start runs the program with out as standard output of the child and returns
// what it wrote, the reports, and how the last process ended.
func start(t *testing.T, b *Builder) (out string, reports []Report, status syscall.WaitStatus) {
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
	c, e := p.Start([]int{-1, int(w.Fd()), -1, -1})
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

func BenchmarkSpawnTrue(b *testing.B) {
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
		c, e := prog.Start(nil)
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
