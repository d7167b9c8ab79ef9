package podproc_test

import (
	"fmt"
	"os"
	"testing"

	"carob/internal/podproc/wire"
)

// TestFullLog: a log that has taken its room is told of, once, and after long enough again; the
// next file has room of its own.
func TestFullLog(t *testing.T) {
	p := newPod(t)
	first, second := tempFile(t), tempFile(t)
	in, w := pipe(t)
	h, _ := p.start(job{
		prog:  sh("while read n; do head -c $n /dev/zero | tr '\\0' x; echo; done"),
		flags: wire.HasLog | wire.HasStdin, own: []*os.File{first, in}, room: 1000,
	})
	in.Close()
	size := func(f *os.File) int64 {
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	// write has n bytes written, and waits until they are in the log.
	write := func(f *os.File, n int64) {
		t.Helper()
		before := size(f)
		fmt.Fprintln(w, n)
		eventually(t, "logged", func() bool { return size(f) > before+n })
		p.list() // what the supervisor has said of it has come
	}
	fulls := func(when string, want int) {
		t.Helper()
		if n := len(p.fulls); n != want {
			t.Errorf("%s: full %d times, want %d", when, n, want)
		}
		for range len(p.fulls) {
			if f := <-p.fulls; f.Handle != h {
				t.Errorf("%s: %+v", when, f)
			}
		}
	}
	write(first, 500)
	fulls("with room", 0)
	write(first, 500)
	fulls("without", 1)
	write(first, 5000)
	fulls("as before", 0)
	write(first, wire.FullAgain)
	fulls("long after", 1)
	p.must(wire.Packet{Op: wire.Reopen, Handle: h, A: 2000}, second)
	write(second, 1000)
	fulls("in the next file", 0)
	write(second, 1000)
	fulls("which is full", 1)
	w.Close()
	p.finish(h)
}

// TestBoundlessLog: without a bound nobody is asked for another file.
func TestBoundlessLog(t *testing.T) {
	p := newPod(t)
	h, _ := p.start(job{prog: sh("head -c 3000000 /dev/zero"), flags: wire.HasLog, own: []*os.File{tempFile(t)}})
	p.finish(h)
	if len(p.fulls) > 0 {
		t.Errorf("full: %+v", <-p.fulls)
	}
}
