package podproc_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/podproc/wire"
	"carob/internal/testenv"
)

var logLine = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([FP]) `)

// unlog reads a log in CRI format and returns what a stream wrote.
func unlog(t testing.TB, f *os.File, stream string) string {
	t.Helper()
	raw, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(raw)) {
		m := logLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a log line: %.100q", line)
		}
		if at, err := time.Parse(time.RFC3339Nano, m[1]); err != nil || time.Since(at).Abs() > testenv.Patience(30*time.Minute) {
			t.Fatalf("stamp %s: %v", m[1], err)
		}
		text := strings.TrimSuffix(line[len(m[0]):], "\n")
		if len(text) > 16<<10 {
			t.Fatalf("line of %d bytes", len(text))
		}
		if m[2] != stream {
			continue
		}
		out.WriteString(text)
		if m[3] == "F" {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

func TestLogAndClients(t *testing.T) {
	long := strings.Repeat("x", 40_000)
	for name, c := range map[string]struct{ script, out, err string }{
		"lines":        {"echo a; echo b >&2; echo c", "a\nc\n", "b\n"},
		"no newline":   {"printf a; printf b >&2", "a", "b"},
		"in pieces":    {"printf a; sleep 0.02; printf b; sleep 0.02; echo c", "abc\n", ""},
		"binary":       {`printf '\000\377\r\n\033[0m\n'`, "\x00\xff\r\n\x1b[0m\n", ""},
		"empty lines":  {`printf '\n\n\n'`, "\n\n\n", ""},
		"long line":    {"head -c 40000 /dev/zero | tr '\\0' x; echo", long + "\n", ""},
		"long, no end": {"head -c 40000 /dev/zero | tr '\\0' x", long, ""},
		"just 16 KiB":  {"head -c 16384 /dev/zero | tr '\\0' x; echo; echo y", long[:16384] + "\ny\n", ""},
		"one more":     {"head -c 16385 /dev/zero | tr '\\0' x; echo; echo y", long[:16385] + "\ny\n", ""},
		"nothing":      {":", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			log := tempFile(t)
			or, ow := pipe(t)
			er, ew := pipe(t)
			h, _ := p.start(job{prog: sh(c.script), flags: wire.HasLog | wire.HasStdout | wire.HasStderr, own: []*os.File{log, ow, ew}})
			ow.Close()
			ew.Close()
			out, _ := io.ReadAll(or)
			err, _ := io.ReadAll(er)
			if string(out) != c.out || string(err) != c.err {
				t.Errorf("clients got %.100q and %.100q", out, err)
			}
			p.finish(h)
			if o, e := unlog(t, log, "stdout"), unlog(t, log, "stderr"); o != c.out || e != c.err {
				t.Errorf("log has %.100q and %.100q", o, e)
			}
		})
	}
}

func TestSplitLinesAreTaggedP(t *testing.T) {
	p := newPod(t)
	log := tempFile(t)
	h, _ := p.start(job{prog: sh("head -c 16385 /dev/zero | tr '\\0' x; echo; printf end"), flags: wire.HasLog, own: []*os.File{log}})
	p.finish(h)
	raw, _ := os.ReadFile(log.Name())
	var tags string
	for line := range strings.Lines(string(raw)) {
		tags += fmt.Sprintf("%s%d ", line[38:39], len(line)-41)
	}
	if tags != "P16384 F1 P3 " {
		t.Errorf("got %s", tags)
	}
}

func TestHugeOutput(t *testing.T) {
	const size = 100 << 20
	p := newPod(t)
	or, ow := pipe(t)
	log := tempFile(t)
	h, _ := p.start(job{
		prog:  sh("head -c 104857600 /dev/zero | tr '\\0' '\\n' | head -c 1000000 >&2; seq -f %99.0f 1048576"),
		flags: wire.HasLog | wire.HasStdout, own: []*os.File{log, ow},
	})
	ow.Close()
	got := sha256.New()
	n, err := io.Copy(got, or)
	if n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	want := sha256.New()
	w := &limited{w: want, left: size}
	for i := 1; w.left > 0; i++ {
		fmt.Fprintf(w, "%99d\n", i)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Error("the client got something else")
	}
	p.finish(h)
	logged := sha256.New()
	io.WriteString(logged, unlog(t, log, "stdout"))
	if !bytes.Equal(logged.Sum(nil), want.Sum(nil)) {
		t.Error("the log has something else")
	}
	if e := unlog(t, log, "stderr"); len(e) != 1_000_000 {
		t.Errorf("stderr has %d bytes", len(e))
	}
}

type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	l.w.Write(b[:n])
	return len(b), nil
}

// TestSlowClient has one client that reads late and one that reads at once. The
// process waits for the slow one, its end does not, and nobody loses anything.
// narrow is a client that holds little and, other than a pipe, cannot be widened.
func narrow(t *testing.T) (r, w *os.File) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetsockoptInt(pair[1], unix.SOL_SOCKET, unix.SO_SNDBUF, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(pair[0]), "reader"), os.NewFile(uintptr(pair[1]), "writer")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestSlowClient(t *testing.T) {
	p := newPod(t)
	slow, sw := narrow(t)
	fast, fw := pipe(t)
	log := tempFile(t)
	h, _ := p.start(job{
		prog:  sh("read x; seq 60000; echo done >&2; read y; seq 30000 33000; exit 6"),
		flags: wire.HasLog | wire.OpenStdin | wire.HasStdout, own: []*os.File{log, sw},
	})
	sw.Close()
	p.must(wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasStdout}, fw)
	fw.Close()
	in, iw := pipe(t)
	p.must(wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasStdin}, in)
	all := make(chan string)
	go func() {
		b, _ := io.ReadAll(fast)
		all <- string(b)
	}()
	fmt.Fprintln(iw)
	time.Sleep(100 * time.Millisecond)
	said := func() bool { // a log that is being written may end within a line
		raw, _ := os.ReadFile(log.Name())
		return strings.Contains(string(raw), " stderr F done\n")
	}
	if said() {
		t.Error("the process was not held up")
	}
	first := make([]byte, 300_000)
	if _, err := io.ReadFull(slow, first); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process goes on", said)
	fmt.Fprintln(iw)
	if e := p.exit(h); unix.WaitStatus(e.A).ExitStatus() != 6 { // though the slow one has not read all
		t.Errorf("exit %+v", e)
	}
	var want strings.Builder
	for i := 1; i <= 60000; i++ {
		fmt.Fprintln(&want, i)
	}
	for i := 30000; i <= 33000; i++ {
		fmt.Fprintln(&want, i)
	}
	if got := unlog(t, log, "stdout"); got != want.String() {
		t.Errorf("the log has %d bytes, want %d", len(got), want.Len())
	}
	p.must(wire.Packet{Op: wire.Forget, Handle: h})
	p.refused(unix.EBUSY, wire.Packet{Op: wire.Quit}) // it still has bytes for the slow one
	if got := <-all; got != want.String() {
		t.Errorf("the fast client has %d bytes, want %d", len(got), want.Len())
	}
	rest, _ := io.ReadAll(slow)
	if got := string(first) + string(rest); got != want.String() {
		t.Errorf("the slow client has %d bytes, want %d", len(got), want.Len())
	}
	eventually(t, "nothing holds it", func() bool { return p.call(wire.Packet{Op: wire.Quit}).Err == 0 })
	<-p.done
}

// TestLastBytesOutliveTheSupervisor reads what a process wrote after its pod has gone.
func TestLastBytesOutliveTheSupervisor(t *testing.T) {
	var want strings.Builder
	for i := 1; i <= 20000; i++ {
		fmt.Fprintln(&want, i)
	}
	for name, script := range map[string]string{"at its end": "seq 20000", "before its end": "seq 20000; exec >&-; sleep 0.05"} {
		t.Run(name, func(t *testing.T) {
			p := newPod(t)
			slow, w := pipe(t)
			h, _ := p.start(job{prog: sh(script), flags: wire.HasStdout, own: []*os.File{w}})
			w.Close()
			p.finish(h)
			p.must(wire.Packet{Op: wire.Quit, A: 1})
			<-p.done
			if got, err := io.ReadAll(slow); string(got) != want.String() || err != nil {
				t.Errorf("%d bytes, want %d; %v", len(got), want.Len(), err)
			}
		})
	}
}

func TestKilledClient(t *testing.T) {
	p := newPod(t)
	r, w := pipe(t)
	log := tempFile(t)
	h, _ := p.start(job{prog: sh("seq 100000"), flags: wire.HasLog | wire.HasStdout | wire.OpenStdin, own: []*os.File{log, w}})
	w.Close()
	time.Sleep(20 * time.Millisecond)
	r.Close() // with a full pipe
	p.finish(h)
	if n := strings.Count(unlog(t, log, "stdout"), "\n"); n != 100_000 {
		t.Errorf("%d lines", n)
	}
}

// TestStrayWriter leaves a writer behind that never ends: the exit is not delayed
// and the writer finds its pipe closed.
func TestStrayWriter(t *testing.T) {
	p := newPod(t)
	log := tempFile(t)
	h, _ := p.start(job{prog: sh("yes $(seq -s . 5000) & echo $! >&2; sleep 0.02; exit 2"), flags: wire.HasLog, own: []*os.File{log}})
	if st := p.finish(h); st.ExitStatus() != 2 {
		t.Errorf("status %v", st)
	}
	var pid int
	fmt.Sscan(unlog(t, log, "stderr"), &pid)
	eventually(t, "the writer is gone", func() bool { return pid > 0 && gone(pid) })
}

func TestStdin(t *testing.T) {
	file := tempFile(t)
	fmt.Fprint(file, strings.Repeat("0123456789abcde\n", 20_000))
	tests := map[string]struct {
		flags uint64
		want  string
	}{
		"once":      {wire.OpenStdin | wire.StdinOnce, "320000\n"},
		"not open":  {0, "320000\n"},
		"kept open": {wire.OpenStdin, ""},
	}
	for name, c := range tests {
		for _, kind := range []string{"pipe", "file"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				p := newPod(t)
				log := tempFile(t)
				src, err := os.Open(file.Name())
				if err != nil {
					t.Fatal(err)
				}
				defer src.Close()
				if kind == "pipe" {
					r, w := pipe(t)
					go func(from io.Reader) {
						io.Copy(w, from)
						w.Close()
					}(src)
					src = r
				}
				h, _ := p.start(job{prog: sh("sleep 0.02; wc -c"), flags: wire.HasLog | wire.HasStdin | c.flags, own: []*os.File{log, src}})
				if c.want == "" {
					time.Sleep(100 * time.Millisecond)
					in, w := pipe(t)
					p.must(wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasStdin}, in) // still open
					w.Close()
					p.must(wire.Packet{Op: wire.Signal, Handle: h, A: 9})
				}
				p.finish(h)
				if got := unlog(t, log, "stdout"); got != c.want {
					t.Errorf("got %q", got)
				}
			})
		}
	}
}

func TestStdinRefusals(t *testing.T) {
	p := newPod(t)
	r, w := pipe(t)
	h, _ := p.start(job{prog: sh("sleep 100")})
	p.refused(unix.ENXIO, wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasStdin}, r)
	p.refused(unix.EINVAL, wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasLog}, r)
	p.refused(unix.EINVAL, wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasStdout})
	p.refused(unix.EINVAL, wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasStdout}, r, r)
	p.refused(unix.ENOTTY, wire.Packet{Op: wire.Resize, Handle: h, A: 1, B: 1})
	p.must(wire.Packet{Op: wire.Signal, Handle: h, A: 9})
	p.finish(h)

	// A process that closes its input lets the client know.
	h, _ = p.start(job{prog: sh("exec <&-; sleep 100"), flags: wire.HasStdin | wire.OpenStdin, own: []*os.File{r}})
	r.Close()
	eventually(t, "the client's pipe is closed", func() bool { _, err := w.Write([]byte("x")); return err != nil })
	r, _ = pipe(t)
	p.refused(unix.EPIPE, wire.Packet{Op: wire.Attach, Handle: h, A: wire.HasStdin}, r)
	p.must(wire.Packet{Op: wire.Signal, Handle: h, A: 9})
	p.finish(h)
}

func TestTerminal(t *testing.T) {
	p := newPod(t)
	master, slave := terminal(t)
	log := tempFile(t)
	in, iw := pipe(t)
	or, ow := pipe(t)
	h, _ := p.start(job{
		prog:  onTerminal("read x; sleep 0.02; echo got $x; stty size; read y; sleep 0.02; stty size >&2; exec </dev/null >/dev/null 2>&1; sleep 0.05; echo late >/dev/tty; exit 8"),
		flags: wire.HasLog | wire.HasTerminal | wire.HasStdin | wire.HasStdout, own: []*os.File{log, master, in, ow},
		files: []*os.File{slave},
	})
	for _, f := range []*os.File{master, slave, in, ow} {
		f.Close()
	}
	p.must(wire.Packet{Op: wire.Resize, Handle: h, A: 33, B: 99})
	fmt.Fprintln(iw, "hello")
	buf := make([]byte, 1000)
	var text string
	for !strings.Contains(text, "33 99") {
		n, err := or.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		text += string(buf[:n])
	}
	p.must(wire.Packet{Op: wire.Resize, Handle: h, A: 20, B: 40})
	fmt.Fprintln(iw, "there")
	rest, _ := io.ReadAll(or)
	text += string(rest)
	const want = "hello\r\ngot hello\r\n33 99\r\nthere\r\n20 40\r\nlate\r\n"
	if text != want {
		t.Errorf("client got %q", text)
	}
	if st := p.finish(h); st.ExitStatus() != 8 {
		t.Errorf("status %v", st)
	}
	if got := unlog(t, log, "stdout"); got != want {
		t.Errorf("log has %q", got)
	}
}

func TestReopenLog(t *testing.T) {
	p := newPod(t)
	first, second := tempFile(t), tempFile(t)
	in, w := pipe(t)
	h, _ := p.start(job{prog: sh("while read x; do echo $x; done"), flags: wire.HasLog | wire.HasStdin, own: []*os.File{first, in}})
	fmt.Fprintln(w, "one")
	eventually(t, "logged", func() bool { return unlog(t, first, "stdout") == "one\n" })
	p.must(wire.Packet{Op: wire.Reopen, Handle: h}, second)
	fmt.Fprintln(w, "two")
	w.Close()
	in.Close()
	p.finish(h)
	if a, b := unlog(t, first, "stdout"), unlog(t, second, "stdout"); a != "one\n" || b != "two\n" {
		t.Errorf("got %q and %q", a, b)
	}
}

// TestFullDisk gives the log a pipe that is full, as the nearest thing to a full
// disk: writing gives EAGAIN. The container goes on, and the log says what it lost.
func TestFullDisk(t *testing.T) {
	p := newPod(t)
	fd := make([]int, 2)
	if err := unix.Pipe2(fd, unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fd[0]), "r"), os.NewFile(uintptr(fd[1]), "w")
	defer r.Close()
	in, iw := pipe(t)
	er, ew := pipe(t)
	h, _ := p.start(job{
		prog:  sh("seq 100000; echo end >&2; read x; echo $x"),
		flags: wire.HasLog | wire.HasStdin | wire.HasStderr, own: []*os.File{w, in, ew},
	})
	w.Close()
	in.Close()
	if _, err := io.ReadFull(er, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	r.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if before, _ := io.ReadAll(r); len(before) < 20_000 {
		t.Errorf("%d bytes before", len(before))
	}
	r.SetReadDeadline(time.Time{})
	fmt.Fprintln(iw, "after")
	iw.Close()
	p.finish(h)
	text, _ := io.ReadAll(r)
	m := regexp.MustCompile(`(?m)^\S+ \S+ F carob: (\d+) bytes of log lost\n\S+ stdout F after\n`).FindSubmatch(text)
	if m == nil {
		t.Errorf("the log ends with %q", text)
	}
}
