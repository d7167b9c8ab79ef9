package podproc_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/podproc/wire"
	"carob/internal/sys/fd"
	"carob/internal/sys/spawn"
	"carob/internal/testenv"
)

func TestHello(t *testing.T) {
	p := newPod(t)
	if r := p.call(wire.Packet{Op: wire.Hello}); r.A != wire.Version || r.B != 0 || int(r.C) != p.cmd.Process.Pid {
		t.Errorf("got %+v", r)
	}
}

// TestUnsettled: a supervisor that has been asked for nothing yet, or only for what is made
// ahead, ends with its connection.
func TestUnsettled(t *testing.T) {
	var world spawn.Builder
	world.Call(unix.SYS_GETPID)
	ahead := func(p *pod) { p.setUp(&world, wire.Ahead) }
	for name, ask := range map[string]func(*pod){"nothing": func(*pod) {}, "ahead": ahead} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			ask(p)
			p.peer.conn.Close()
			select {
			case <-p.done:
			case <-time.After(testenv.Patience(10 * time.Second)):
				t.Error("it goes on")
			}
		})
	}
	t.Run("settled", func(t *testing.T) {
		p := newPod(t)
		ahead(p)
		p.setUp(&world, 0)
		p.peer.conn.Close()
		p.peer = p.connect()
		if r := p.call(wire.Packet{Op: wire.Hello}); r.A != wire.Version {
			t.Errorf("got %+v", r)
		}
	})
}

// setUp lets the supervisor run a program itself.
func (p *pod) setUp(world *spawn.Builder, flag uint64) {
	p.t.Helper()
	f, err := fd.Memory(world)
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	if r := p.call(wire.Packet{Op: wire.Setup, A: flag}, f); r.Err != 0 {
		p.t.Fatal(unix.Errno(r.Err))
	}
}

func TestExitStatusAndForget(t *testing.T) {
	p := newPod(t)
	h, pid := p.start(job{prog: sh("read x; exit 7"), flags: wire.OpenStdin})
	l := p.list()[h]
	if int(l.A) != pid || l.B&(wire.Ended|wire.Starting) != 0 {
		t.Errorf("list %+v", l)
	}
	p.refused(unix.EBUSY, wire.Packet{Op: wire.Forget, Handle: h})
	p.refused(unix.EBUSY, wire.Packet{Op: wire.Quit})
	in, w := pipe(t)
	fmt.Fprintln(w, "x")
	before := time.Now()
	p.must(wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasStdin}, in)
	e := p.exit(h)
	if unix.WaitStatus(e.A).ExitStatus() != 7 || e.B&wire.Ended == 0 || e.B&wire.OOMKilled != 0 {
		t.Errorf("exit %+v", e)
	}
	if at := time.Unix(0, int64(e.D)); at.Before(before) || at.After(time.Now()) {
		t.Errorf("ended at %v", at)
	}
	if l := p.list()[h]; l.C != e.A || l.D != e.D || l.B&wire.Ended == 0 {
		t.Errorf("list %+v", l)
	}
	p.refused(unix.ESRCH, wire.Packet{Op: wire.Signal, Handle: h, A: 9})
	p.must(wire.Packet{Op: wire.Forget, Handle: h})
	p.refused(unix.ENOENT, wire.Packet{Op: wire.Signal, Handle: h, A: 9})
	p.must(wire.Packet{Op: wire.Quit})
	<-p.done
	if c := p.cmd.ProcessState.ExitCode(); c != 0 {
		t.Errorf("supervisor ended with %d", c)
	}
}

func TestFailureNamesStep(t *testing.T) {
	p := newPod(t)
	var b spawn.Builder
	b.Step("first")
	b.Call(unix.SYS_GETPID)
	b.Step("second")
	b.Call(unix.SYS_EXECVE, b.Str("/no/such"), b.Strings(nil), b.Strings(nil))
	out, w := pipe(t)
	_, ch := p.postJob(job{prog: &b, flags: wire.HasStdout, own: []*os.File{w}})
	w.Close()
	if r := p.wait(ch); unix.Errno(r.Err) != unix.ENOENT || r.A != 1 {
		t.Errorf("got %+v", r)
	}
	if text, err := io.ReadAll(out); len(text) != 0 || err != nil {
		t.Errorf("client got %q, %v", text, err)
	}
	if l := p.list(); len(l) != 0 {
		t.Errorf("list %v", l)
	}
	p.must(wire.Packet{Op: wire.Quit}) // nothing is left, not even the child
	<-p.done
}

// TestProcessIsBornClean looks at what a process inherits of the supervisor.
func TestProcessIsBornClean(t *testing.T) {
	p := newPod(t)
	p.must(wire.Packet{Op: wire.Hello}) // it is up
	// What is sent to end the supervisor does not.
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGCHLD, syscall.SIGUSR1} {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	log := tempFile(t)
	h, _ := p.start(job{prog: sh("cat /proc/self/status; ls /proc/self/fd"), flags: wire.HasLog, own: []*os.File{log}})
	p.finish(h)
	text := unlog(t, log, "stdout")
	for _, f := range []string{"SigBlk", "SigIgn", "SigCgt", "SigPnd"} {
		if !strings.Contains(text, f+":\t0000000000000000\n") {
			t.Errorf("%s is not empty:\n%s", f, text)
		}
	}
	if !strings.HasSuffix(text, "\n0\n1\n2\n3\n") { // 3 is ls's own
		t.Errorf("descriptors:\n%s", text)
	}
}

func TestSetup(t *testing.T) {
	p := newPod(t)
	f := tempFile(t)
	run := func(file int) wire.Packet {
		var b spawn.Builder
		b.Step("skipped")
		b.Call(unix.SYS_GETPID)
		b.Step("write")
		b.Call(unix.SYS_WRITE, spawn.File(file), b.Str("hello"), spawn.Imm(5))
		img, err := fd.Memory(&b)
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		return p.call(wire.Packet{Op: wire.Setup}, img, f)
	}
	if r := run(spawn.FirstFile); r.Err != 0 {
		t.Errorf("got %+v", r)
	}
	if text, _ := os.ReadFile(f.Name()); string(text) != "hello" {
		t.Errorf("got %q", text)
	}
	if r := run(spawn.FileTarget); unix.Errno(r.Err) != unix.EBADF || r.A != 1 {
		t.Errorf("got %+v", r)
	}
	if r := run(spawn.FirstFile + 1); unix.Errno(r.Err) != unix.EINVAL {
		t.Errorf("got %+v", r)
	}
}

func TestSignalAndCancel(t *testing.T) {
	p := newPod(t)
	h, pid := p.start(job{prog: sh("trap 'exit 3' TERM; while :; do sleep 0.01; done")})
	untilCaught(t, pid, unix.SIGTERM)
	p.must(wire.Packet{Op: wire.Signal, Handle: h, A: uint64(unix.SIGTERM)})
	if st := p.finish(h); st.ExitStatus() != 3 {
		t.Errorf("status %v", st)
	}

	// A child that is stuck before its execve stops nobody, and can be killed.
	var b spawn.Builder
	b.Pause()
	stuck, ch := p.postJob(job{prog: &b})
	other, _ := p.start(job{prog: sh("exit 0")})
	p.finish(other)
	if l := p.list()[stuck]; l.B&wire.Starting == 0 || l.A == 0 {
		t.Errorf("list %+v", l)
	}
	p.must(wire.Packet{Op: wire.Signal, Handle: stuck, A: uint64(unix.SIGKILL)})
	if r := p.wait(ch); r.Err != 0 {
		t.Errorf("reply %+v", r)
	}
	if st := p.finish(stuck); st.Signal() != unix.SIGKILL {
		t.Errorf("status %v", st)
	}
}

// untilCaught waits until a process has a handler for a signal (proc_pid_status(5)).
func untilCaught(t *testing.T, pid int, sig unix.Signal) {
	t.Helper()
	for late := time.Now().Add(testenv.Patience(5 * time.Second)); time.Now().Before(late); time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "\nSigCgt:\t")
		var caught uint64
		_, _ = fmt.Sscanf(after, "%x", &caught) // 0 catches nothing
		if caught&(1<<(sig-1)) != 0 {
			return
		}
	}
	t.Fatalf("process %d does not catch %v", pid, sig)
}

// joining is sh in the target's PID namespace.
func joining(script string) *spawn.Builder {
	var b spawn.Builder
	b.Step("join")
	b.Call(unix.SYS_SETNS, spawn.File(spawn.FileTarget), spawn.Imm(unix.CLONE_NEWPID))
	b.Fork(0)
	b.Call(unix.SYS_DUP3, spawn.File(spawn.FileStdout), spawn.Imm(1), spawn.Imm(0))
	execute(&b, script)
	return &b
}

// TestExecIntoPidNamespace joins a container as an exec does: setns on the
// target's pidfd, then a fork whose child is the supervisor's.
func TestExecIntoPidNamespace(t *testing.T) {
	testenv.Require(t, testenv.Root)
	p := newPod(t)
	b := sh("sleep 100")
	b.CloneFlags = unix.CLONE_NEWPID
	h, _ := p.start(job{prog: b})

	log := tempFile(t)
	x, pid := p.start(job{prog: joining("echo $$; kill -9 $$"), target: h, flags: wire.HasLog, own: []*os.File{log}})
	if st := p.finish(x); st.Signal() != unix.SIGKILL {
		t.Errorf("status %v", st)
	}
	if text := unlog(t, log, "stdout"); text == "1\n" || text == fmt.Sprintln(pid) || text == "" {
		t.Errorf("pid in the namespace %q, outside %d", text, pid)
	}
	for range 50 {
		x, _ = p.start(job{prog: joining("exit 5"), target: h})
		if st := p.finish(x); st.ExitStatus() != 5 {
			t.Fatalf("status %v", st)
		}
	}
	bad := job{prog: joining("true"), target: 1 << 60}
	_, ch := p.postJob(bad)
	if r := p.wait(ch); unix.Errno(r.Err) != unix.ESRCH {
		t.Errorf("got %+v", r)
	}
	p.must(wire.Packet{Op: wire.Signal, Handle: h, A: 9})
	p.finish(h)
	eventually(t, "no children", func() bool { return p.children() == "" })
}

func TestDaemonDiesAndReturns(t *testing.T) {
	p := newPod(t)
	r, w := pipe(t)
	short, _ := p.start(job{prog: sh("read x; exit 4"), flags: wire.HasStdin, own: []*os.File{r}})
	long, pid := p.start(job{prog: sh("sleep 100")})
	fails, _ := p.postJob(job{prog: failing(50 * time.Millisecond)})
	p.conn.Close()
	w.Close() // ends short
	eventually(t, "short has ended", func() bool {
		p.peer = p.connect()
		l := p.list()
		return l[short].B&wire.Ended != 0 && l[fails].B&wire.Ended != 0
	})
	l := p.list()
	if st := unix.WaitStatus(l[short].C); st.ExitStatus() != 4 {
		t.Errorf("short: %v", st)
	}
	if st := unix.WaitStatus(l[fails].C); st.ExitStatus() != 127 {
		t.Errorf("fails: %v", st)
	}
	if int(l[long].A) != pid || l[long].B&wire.Ended != 0 {
		t.Errorf("long %+v", l[long])
	}
	// The newest connection replaces the former, which is one that was made when all that
	// has ended had: what ends between a connection and its list is told there, too.
	old := p.connect()
	p.peer = p.connect()
	p.must(wire.Packet{Op: wire.Signal, Handle: long, A: 9})
	if _, ok := <-old.exits; ok {
		t.Error("the old connection got an event")
	}
	p.finish(long)
	p.must(wire.Packet{Op: wire.Forget, Handle: short})
	p.must(wire.Packet{Op: wire.Forget, Handle: fails})
}

// failing is a program that fails a little later.
func failing(after time.Duration) *spawn.Builder {
	var b spawn.Builder
	ts := b.Words(spawn.Imm(0), spawn.Imm(after.Nanoseconds()))
	b.Call(unix.SYS_NANOSLEEP, ts, spawn.Imm(0))
	b.Call(unix.SYS_EXECVE, b.Str("/no/such"), b.Strings(nil), b.Strings(nil))
	return &b
}

func TestOOMFlag(t *testing.T) {
	for name, format := range map[string]string{
		"v1": "oom_kill_disable 0\nunder_oom 0\noom_kill %d\n",
		"v2": "low 0\nhigh 0\nmax 5\noom 2\noom_kill %d\noom_group_kill 9\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			f := tempFile(t)
			fmt.Fprintf(f, format, 3)
			for _, after := range []int{3, 5} {
				h, _ := p.start(job{prog: sh("read x"), flags: wire.HasOOM | wire.OpenStdin, own: []*os.File{f}})
				f.Truncate(0)
				fmt.Fprintf(f, format, after)
				p.must(wire.Packet{Op: wire.Signal, Handle: h, A: 9})
				e := p.exit(h)
				if (e.B&wire.OOMKilled != 0) != (after > 3) || int(e.C) != after-3 {
					t.Errorf("after %d: %+v", after, e)
				}
			}
		})
	}
}

func TestManySpawnsLeaveNothing(t *testing.T) {
	p := newPod(t)
	p.must(wire.Packet{Op: wire.Hello})
	before := p.fds()
	for i := range 300 {
		log, out, in := tempFile(t), tempFile(t), tempFile(t)
		j := job{
			prog: sh("echo a; echo b >&2; exit 1"), flags: wire.HasLog | wire.HasStdin | wire.HasStdout | wire.HasStderr,
			own: []*os.File{log, in, out, out},
		}
		if i%3 == 0 {
			j.prog = failing(0)
		}
		h, ch := p.postJob(j)
		log.Close()
		out.Close()
		in.Close()
		r := p.wait(ch)
		if (r.Err != 0) != (i%3 == 0) {
			t.Fatalf("spawn %d: %+v", i, r)
		}
		if r.Err == 0 {
			p.finish(h)
		}
	}
	eventually(t, "no children", func() bool { return p.children() == "" })
	if after := p.fds(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if l := p.list(); len(l) != 0 {
		t.Errorf("list %v", l)
	}
}

func TestQuitKills(t *testing.T) {
	p := newPod(t)
	_, pid := p.start(job{prog: sh("sleep 100")})
	p.must(wire.Packet{Op: wire.Quit, A: 1})
	<-p.done
	eventually(t, "the process is dead", func() bool { return gone(pid) })
}

// gone reports whether a process is dead, reaped or not.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// eventually waits for something that no event tells of.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not so: %s", what)
}
