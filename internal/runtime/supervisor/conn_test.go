package supervisor

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"carob/internal/podproc/wire"
	"carob/internal/testenv"
)

// supervised returns a connection and the supervisor's end of it.
func supervised(t *testing.T) (*conn, *net.UnixConn) {
	t.Helper()
	dir := t.TempDir()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close(); _ = peer.Close() })
	return c, peer
}

func say(t *testing.T, to *net.UnixConn, p wire.Packet) {
	t.Helper()
	var b [wire.Size]byte
	p.Encode(&b)
	if _, err := to.Write(b[:]); err != nil {
		t.Error(err)
	}
}

func ends(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(testenv.Patience(10 * time.Second)):
		t.Fatal("never ended: " + what)
	}
}

// TestTooManyAnswers: a supervisor that answers more often than it was asked holds up
// nobody, so that the daemon can end.
func TestTooManyAnswers(t *testing.T) {
	c, peer := supervised(t)
	read := make(chan struct{})
	go func() { defer close(read); c.read(func(wire.Packet) {}) }()
	for n := range uint32(200) { // whether the reader is at it when the caller goes is chance
		answer, forget, err := c.send(wire.Packet{Op: wire.Hello}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			say(t, peer, wire.Packet{Seq: n + 1})
		}
		select {
		case <-answer:
		case <-time.After(testenv.Patience(10 * time.Second)):
			t.Fatal("no answer")
		}
		forget()
	}
	_ = peer.Close()
	ends(t, "the reader", read)
}

// TestEndlessList: neither a list without an end nor one that nobody waits for any more
// keeps anything busy.
func TestEndlessList(t *testing.T) {
	c, peer := supervised(t)
	read := make(chan struct{})
	go func() { defer close(read); c.read(func(wire.Packet) {}) }()
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		var b [wire.Size]byte
		(&wire.Packet{Seq: 1, Handle: 7}).Encode(&b)
		for range maxListed + 1000 {
			if _, err := peer.Write(b[:]); err != nil {
				return
			}
		}
	}()
	if all, err := c.list(t.Context()); err == nil {
		t.Errorf("%d processes", len(all))
	}
	ends(t, "the flood", flood)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.list(gone); err == nil {
		t.Error("a list for nobody")
	}
	for range 3 {
		say(t, peer, wire.Packet{Seq: 2, Handle: 7})
	}
	c.close()
	ends(t, "the reader", read)
}

// TestStartOfNobody: a start that is cancelled while its child hangs in the kernel does not
// keep the caller, and is forgotten when the kernel lets go of the child.
func TestStartOfNobody(t *testing.T) {
	c, peer := supervised(t)
	read := make(chan struct{})
	go func() { defer close(read); c.read(func(wire.Packet) {}) }()
	sb := &Sandbox{conn: c, processes: map[uint64]*process{}}
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		if pid, err := sb.spawn(ctx, wire.Packet{Op: wire.Spawn, Handle: 7}, nil, nil); err == nil {
			t.Errorf("pid %d", pid)
		}
	}()
	start := hear(t, peer, wire.Spawn)
	cancel()
	say(t, peer, wire.Packet{Op: wire.Signal, Seq: hear(t, peer, wire.Signal).Seq})
	ends(t, "the start", returned)
	say(t, peer, wire.Packet{Op: wire.Spawn, Seq: start.Seq, Handle: 7, A: 4711})
	if f := hear(t, peer, wire.Forget); f.Handle != 7 {
		t.Errorf("forgets %d", f.Handle)
	}
	c.close()
	ends(t, "the reader", read)
}

// hear is the next request to the supervisor, of this kind.
func hear(t *testing.T, from *net.UnixConn, op wire.Op) wire.Packet {
	t.Helper()
	var b [wire.Size]byte
	if err := from.SetReadDeadline(time.Now().Add(testenv.Patience(10 * time.Second))); err != nil {
		t.Fatal(err)
	}
	if _, err := from.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	var p wire.Packet
	p.Decode(&b)
	if p.Op != op {
		t.Fatalf("heard %v, want %v", p.Op, op)
	}
	return p
}
