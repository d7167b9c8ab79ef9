package podproc_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carob/internal/podproc/wire"
	"carob/internal/sys/fd"
	"carob/internal/sys/spawn"
)

// newReaper is a supervisor to which orphans come.
func newReaper(t *testing.T) *pod {
	p := newPod(t)
	var b spawn.Builder
	b.Call(unix.SYS_PRCTL, spawn.Imm(unix.PR_SET_CHILD_SUBREAPER), spawn.Imm(1), spawn.Imm(0), spawn.Imm(0), spawn.Imm(0))
	img, err := fd.Memory(&b)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	p.must(wire.Packet{Op: wire.Setup}, img)
	return p
}

// helper is a program that leads a process group.
func helper(script string) *spawn.Builder {
	var b spawn.Builder
	b.Call(unix.SYS_SETSID)
	for fd := range 3 {
		b.Call(unix.SYS_DUP3, spawn.File(spawn.FileStdin+fd), spawn.Imm(fd), spawn.Imm(0)).AllowAny()
	}
	execute(&b, script)
	return &b
}

// pidIn returns the pid that a script has written to a file.
func pidIn(t *testing.T, file string) (pid int) {
	t.Helper()
	eventually(t, "the pid has been written", func() bool {
		b, err := os.ReadFile(file)
		if err != nil || !strings.HasSuffix(string(b), "\n") {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil
	})
	return pid
}

// made spawns a helper that writes a pid to the file, and returns process and pid.
func (p *pod) made(t *testing.T, script, file string) (handle uint64, pid int) {
	t.Helper()
	h, answered := p.start(job{prog: helper(script), flags: wire.Helper})
	if answered != 0 {
		t.Errorf("a helper's process has pid %d before it is adopted", answered)
	}
	return h, pidIn(t, file)
}

func TestHelperMakesAProcess(t *testing.T) {
	p := newReaper(t)
	file := filepath.Join(t.TempDir(), "pid")
	r, w := pipe(t)
	h, _ := p.start(job{
		prog:  helper(fmt.Sprintf("(sleep 0.1; echo later; exec sleep 100) & echo $! > %s; echo made", file)),
		flags: wire.Helper | wire.HasStdout, own: []*os.File{w},
	})
	w.Close()
	pid := pidIn(t, file)
	if l := p.list(); l[h].B&wire.Made == 0 {
		t.Errorf("listed as %+v", l[h])
	}
	p.refused(unix.EBUSY, wire.Packet{Op: wire.Forget, Handle: h})
	p.refused(unix.ESRCH, wire.Packet{Op: wire.Signal, Handle: h, A: 9})
	p.refused(unix.ECHILD, wire.Packet{Op: wire.Adopt, Handle: h, B: 1})
	if got := p.call(wire.Packet{Op: wire.Adopt, Handle: h, B: uint64(pid)}); got.Err != 0 || int(got.A) != pid {
		t.Fatalf("adopt: %+v", got)
	}
	p.refused(unix.EBUSY, wire.Packet{Op: wire.Adopt, Handle: h, B: uint64(pid)})
	buf := make([]byte, len("made\nlater\n"))
	if _, err := io.ReadFull(r, buf); err != nil || string(buf) != "made\nlater\n" {
		t.Errorf("output %q, %v", buf, err)
	}
	p.must(wire.Packet{Op: wire.Signal, Handle: h, A: uint64(unix.SIGKILL)})
	if st := p.finish(h); st.Signal() != unix.SIGKILL {
		t.Errorf("status %v", st)
	}
}

func TestHelpersProcessMayHaveEnded(t *testing.T) {
	p := newReaper(t)
	file := filepath.Join(t.TempDir(), "pid")
	h, pid := p.made(t, fmt.Sprintf("(sleep 0.1; exit 5) & echo $! > %s", file), file)
	eventually(t, "it has been reaped", func() bool { return p.children() == "" })
	p.must(wire.Packet{Op: wire.Adopt, Handle: h, B: uint64(pid)})
	if st := p.finish(h); st.ExitStatus() != 5 {
		t.Errorf("status %v", st)
	}
}

// TestHelpersMakerStays: crun's helper ends before the process that has forked the
// container's.
func TestHelpersMakerStays(t *testing.T) {
	p := newReaper(t)
	dir := t.TempDir()
	file, gate := filepath.Join(dir, "pid"), filepath.Join(dir, "gate")
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	h, pid := p.made(t, fmt.Sprintf("(sleep 100 & echo $! > %[1]s; read x < %[2]s) & until [ -s %[1]s ]; do sleep 0.01; done", file, gate), file)
	answer := p.post(wire.Packet{Op: wire.Adopt, Handle: h, B: uint64(pid)})
	p.refused(unix.EBUSY, wire.Packet{Op: wire.Adopt, Handle: h, B: uint64(pid)}) // one is under way
	select {
	case r := <-answer:
		t.Fatalf("answered while the maker is there: %+v", r)
	default:
	}
	if err := os.WriteFile(gate, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	if r := p.wait(answer); r.Err != 0 {
		t.Fatalf("adopt: %v", unix.Errno(r.Err))
	}
	p.must(wire.Packet{Op: wire.Signal, Handle: h, A: uint64(unix.SIGTERM)})
	if st := p.finish(h); st.Signal() != unix.SIGTERM {
		t.Errorf("status %v", st)
	}
}

func TestHelperFails(t *testing.T) {
	p := newReaper(t)
	_, answer := p.postJob(job{prog: helper("exit 3"), flags: wire.Helper})
	if r := p.wait(answer); unix.Errno(r.Err) != unix.ECHILD || unix.WaitStatus(r.A).ExitStatus() != 3 {
		t.Errorf("answer %+v", r)
	}
	if l := p.list(); len(l) != 0 {
		t.Errorf("remembered: %+v", l)
	}
}

// TestHelperIsKilled with what it has started, and nothing counts as made.
func TestHelperIsKilled(t *testing.T) {
	p := newReaper(t)
	file := filepath.Join(t.TempDir(), "pid")
	h, answer := p.postJob(job{prog: helper(fmt.Sprintf("sleep 100 & echo $! > %s; wait", file)), flags: wire.Helper})
	pid := pidIn(t, file)
	p.must(wire.Packet{Op: wire.Signal, Handle: h, A: uint64(unix.SIGKILL)})
	if r := p.wait(answer); unix.Errno(r.Err) != unix.ECHILD || unix.WaitStatus(r.A).Signal() != unix.SIGKILL {
		t.Errorf("answer %+v", r)
	}
	eventually(t, "what it has started is gone", func() bool { return gone(pid) })
}

// TestEndOfWhatIsNobodysChild: gVisor's containers are no processes of the host's.
func TestEndOfWhatIsNobodysChild(t *testing.T) {
	p := newReaper(t)
	h, _ := p.start(job{prog: helper("true"), flags: wire.Helper})
	p.must(wire.Packet{Op: wire.End, Handle: h, A: 7 << 8})
	if st := p.finish(h); st.ExitStatus() != 7 {
		t.Errorf("status %v", st)
	}
	plain, _ := p.start(job{prog: sh("sleep 100")})
	p.refused(unix.EBUSY, wire.Packet{Op: wire.End, Handle: plain})
	p.must(wire.Packet{Op: wire.Signal, Handle: plain, A: 9})
	p.finish(plain)
}

// TestNextDaemonAdopts what a helper has made for one that has died since.
func TestNextDaemonAdopts(t *testing.T) {
	p := newReaper(t)
	file := filepath.Join(t.TempDir(), "pid")
	h, _ := p.postJob(job{prog: helper(fmt.Sprintf("sleep 0.1; sleep 100 & echo $! > %s", file)), flags: wire.Helper})
	fails, _ := p.postJob(job{prog: helper("sleep 0.1; exit 3"), flags: wire.Helper})
	eventually(t, "both have begun", func() bool { return len(p.list()) == 2 })
	p.conn.Close()
	p.peer = p.connect()
	eventually(t, "both helpers have ended", func() bool {
		l := p.list()
		return l[h].B&wire.Made != 0 && l[fails].B&wire.Ended != 0
	})
	p.must(wire.Packet{Op: wire.Adopt, Handle: h, B: uint64(pidIn(t, file))})
	p.must(wire.Packet{Op: wire.Signal, Handle: h, A: 9})
	for range 2 {
		if e := p.wait(p.exits); e.Handle == h {
			break
		}
	}
	p.must(wire.Packet{Op: wire.Forget, Handle: h})
	p.must(wire.Packet{Op: wire.Forget, Handle: fails})
}

func TestAdoptWithATerminal(t *testing.T) {
	p := newReaper(t)
	file := filepath.Join(t.TempDir(), "pid")
	master, slave := terminal(t)
	h, pid := p.made(t, fmt.Sprintf("(exec <%[1]s >%[1]s 2>&1; read x; echo got $x; exit 6) & echo $! > %[2]s", slave.Name(), file), file)
	in, iw := pipe(t)
	or, ow := pipe(t)
	p.must(wire.Packet{
		Op: wire.Adopt, Handle: h, B: uint64(pid), A: wire.HasTerminal | wire.HasStdin | wire.HasStdout,
	}, master, in, ow)
	for _, f := range []*os.File{master, in, ow, slave} {
		f.Close()
	}
	p.must(wire.Packet{Op: wire.Resize, Handle: h, A: 33, B: 99})
	fmt.Fprintln(iw, "hello")
	text, err := io.ReadAll(or)
	if err != nil || !strings.HasSuffix(string(text), "got hello\r\n") {
		t.Errorf("client got %q, %v", text, err)
	}
	if st := p.finish(h); st.ExitStatus() != 6 {
		t.Errorf("status %v", st)
	}
}
