package podproc_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/podproc/wire"
	"carob/internal/sys/fd"
	"carob/internal/sys/spawn"
	"carob/internal/testenv"
)

// binary is the supervisor, built for this run.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "carob-pod-test-")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "carob-pod")
	return out, testenv.Build("carob-pod", out)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// pod is a supervisor under test.
type pod struct {
	t       testing.TB
	cmd     *exec.Cmd
	socket  string
	crash   *os.File
	done    chan struct{} // closed when it has exited
	handles uint64
	*peer
}

func newPod(t testing.TB) *pod {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &pod{t: t, socket: filepath.Join(dir, "s"), done: make(chan struct{})}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: p.socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	l.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if p.crash, err = os.Create(filepath.Join(dir, "crash")); err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(path)
	hugePages, _ := os.ReadFile(wire.HugePages)
	p.cmd.Env = wire.Env(string(hugePages))
	p.cmd.Stderr = p.crash
	p.cmd.ExtraFiles = []*os.File{f}
	p.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL} // for a test that times out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.stop)
	p.peer = p.connect()
	return p
}

// stop ends the supervisor and checks that it did not crash.
func (p *pod) stop() {
	select {
	case <-p.done:
	default:
		c := p.connect()
		if r := c.call(wire.Packet{Op: wire.Quit, A: 1}); r.Err != 0 {
			p.t.Errorf("quit: %v", unix.Errno(r.Err))
		}
		c.conn.Close()
		select {
		case <-p.done:
		case <-time.After(testenv.Patience(5 * time.Second)):
			p.t.Error("the supervisor does not end")
			p.cmd.Process.Kill()
		}
	}
	p.peer.conn.Close()
	if text, _ := os.ReadFile(p.crash.Name()); len(text) > 0 {
		p.t.Errorf("supervisor wrote:\n%s", text)
	}
	p.crash.Close()
}

// peer is a connection to a supervisor.
type peer struct {
	t       testing.TB
	conn    *net.UnixConn
	mu      sync.Mutex
	seq     uint32
	waiting map[uint32]chan wire.Packet
	exits   chan wire.Packet
	fulls   chan wire.Packet
}

func (p *pod) connect() *peer {
	p.t.Helper()
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: p.socket, Net: "unixpacket"})
	if err != nil {
		p.t.Fatal(err)
	}
	c := &peer{t: p.t, conn: conn, waiting: make(map[uint32]chan wire.Packet), exits: make(chan wire.Packet, 1000), fulls: make(chan wire.Packet, 1000)}
	go c.receive()
	return c
}

func (c *peer) receive() {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, ch := range c.waiting {
			close(ch)
		}
		c.waiting = nil
		close(c.exits)
	}()
	for {
		var b [wire.Size]byte
		n, err := c.conn.Read(b[:])
		if err != nil || n != wire.Size {
			return
		}
		var p wire.Packet
		p.Decode(&b)
		if p.Op == wire.Exit {
			c.exits <- p
			continue
		}
		if p.Op == wire.Full {
			c.fulls <- p
			continue
		}
		c.mu.Lock()
		ch := c.waiting[p.Seq]
		c.mu.Unlock()
		if ch != nil {
			ch <- p
		}
	}
}

// post sends a request and returns where its replies come.
func (c *peer) post(p wire.Packet, files ...*os.File) <-chan wire.Packet {
	c.t.Helper()
	ch := make(chan wire.Packet, 1000)
	c.mu.Lock()
	c.seq++
	p.Seq = c.seq
	if c.waiting == nil {
		close(ch)
	} else {
		c.waiting[p.Seq] = ch
	}
	c.mu.Unlock()
	var b [wire.Size]byte
	p.Encode(&b)
	if _, _, err := c.conn.WriteMsgUnix(b[:], rights(files), nil); err != nil {
		c.t.Errorf("send %d: %v", p.Op, err)
	}
	return ch
}

func rights(files []*os.File) []byte {
	if len(files) == 0 {
		return nil
	}
	var fds []int
	for _, f := range files {
		rc, _ := f.SyscallConn()
		rc.Control(func(n uintptr) { fds = append(fds, int(n)) }) // Fd would make it blocking
	}
	return unix.UnixRights(fds...)
}

func (c *peer) call(p wire.Packet, files ...*os.File) wire.Packet {
	c.t.Helper()
	return c.wait(c.post(p, files...))
}

func (c *peer) wait(ch <-chan wire.Packet) wire.Packet {
	c.t.Helper()
	select {
	case r, ok := <-ch:
		if !ok {
			c.t.Fatal("connection lost")
		}
		return r
	case <-time.After(testenv.Patience(10 * time.Second)):
		c.t.Fatal("no answer")
	}
	panic("not reached")
}

// exit waits for the next Exit event, which must be of this process.
func (c *peer) exit(handle uint64) wire.Packet {
	c.t.Helper()
	p := c.wait(c.exits)
	if p.Handle != handle {
		c.t.Fatalf("exit of %d, want %d", p.Handle, handle)
	}
	return p
}

func (c *peer) list() map[uint64]wire.Packet {
	c.t.Helper()
	all := make(map[uint64]wire.Packet)
	ch := c.post(wire.Packet{Op: wire.List})
	for {
		p := c.wait(ch)
		if p.Handle == 0 {
			return all
		}
		all[p.Handle] = p
	}
}

// job is a process to be spawned.
type job struct {
	prog   *spawn.Builder
	flags  uint64
	target uint64
	own    []*os.File // by flags
	files  []*os.File // of the program
	room   uint64     // in the log
}

// post spawns it and returns its handle and where the answer comes.
func (p *pod) postJob(j job) (uint64, <-chan wire.Packet) {
	p.t.Helper()
	img, err := fd.Memory(j.prog)
	if err != nil {
		p.t.Fatal(err)
	}
	defer img.Close()
	p.handles++
	h := p.handles
	files := append(append([]*os.File{img}, j.own...), j.files...)
	return h, p.post(wire.Packet{Op: wire.Spawn, Handle: h, A: j.flags, B: j.target, C: j.room}, files...)
}

// start spawns it and waits until it executes.
func (p *pod) start(j job) (handle uint64, pid int) {
	p.t.Helper()
	h, ch := p.postJob(j)
	r := p.wait(ch)
	if r.Err != 0 {
		p.t.Fatalf("spawn: step %d: %v", r.A, unix.Errno(r.Err))
	}
	return h, int(r.A)
}

// finish waits for the end, forgets the process and returns the wait status.
func (p *pod) finish(handle uint64) unix.WaitStatus {
	p.t.Helper()
	e := p.exit(handle)
	p.must(wire.Packet{Op: wire.Forget, Handle: handle})
	return unix.WaitStatus(e.A)
}

// must calls and expects success.
func (p *pod) must(q wire.Packet, files ...*os.File) {
	p.t.Helper()
	if r := p.call(q, files...); r.Err != 0 {
		p.t.Fatalf("op %d: %v", q.Op, unix.Errno(r.Err))
	}
}

// refused calls and expects this error.
func (p *pod) refused(want unix.Errno, q wire.Packet, files ...*os.File) {
	p.t.Helper()
	if r := p.call(q, files...); unix.Errno(r.Err) != want {
		p.t.Errorf("op %d: got %v, want %v", q.Op, unix.Errno(r.Err), want)
	}
}

// sh is a program that executes a shell script with its streams in place.
func sh(script string) *spawn.Builder {
	var b spawn.Builder
	b.Step("streams")
	null := b.Call(unix.SYS_OPENAT, spawn.Imm(unix.AT_FDCWD), b.Str("/dev/null"), spawn.Imm(unix.O_RDWR|unix.O_CLOEXEC), spawn.Imm(0)).Result()
	for fd := range 3 {
		b.Call(unix.SYS_DUP3, spawn.File(spawn.FileStdin+fd), spawn.Imm(fd), spawn.Imm(0)).AllowAny().SkipOnOK(1)
		b.Call(unix.SYS_DUP3, null, spawn.Imm(fd), spawn.Imm(0))
	}
	execute(&b, script)
	return &b
}

func execute(b *spawn.Builder, script string) {
	b.Call(unix.SYS_RT_SIGPROCMASK, spawn.Imm(unix.SIG_SETMASK), b.Bytes(make([]byte, 8)), spawn.Imm(0), spawn.Imm(8))
	b.Step("exec")
	b.Call(unix.SYS_EXECVE, b.Str("/bin/sh"), b.Strings([]string{"sh", "-c", script}), b.Strings([]string{"PATH=/usr/bin:/bin"}))
}

// onTerminal is sh on a terminal, whose slave is the program's first file.
func onTerminal(script string) *spawn.Builder {
	var b spawn.Builder
	b.Step("terminal")
	b.Call(unix.SYS_SETSID)
	b.Call(unix.SYS_IOCTL, spawn.File(spawn.FirstFile), spawn.Imm(unix.TIOCSCTTY), spawn.Imm(0))
	for fd := range 3 {
		b.Call(unix.SYS_DUP3, spawn.File(spawn.FirstFile), spawn.Imm(fd), spawn.Imm(0))
	}
	execute(&b, script)
	return &b
}

func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func tempFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// terminal returns both sides of a new terminal.
func terminal(t testing.TB) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	// os.OpenFile would make it non-blocking, for the container too.
	path := fmt.Sprintf("/dev/pts/%d", n)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	slave = os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// fds counts the supervisor's descriptors.
func (p *pod) fds() int {
	p.t.Helper()
	d, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(d)
}

// children returns what /proc knows of the supervisor's children, zombies too.
func (p *pod) children() string {
	p.t.Helper()
	var all string
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range tasks {
		b, _ := os.ReadFile(f) // a thread may have ended
		all += string(b)
	}
	return all
}
