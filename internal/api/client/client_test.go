package client

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// A daemon that closes a connection in the moment of the next call has not read that: it is
// sent again, whatever it is, over another one. Without another daemon it is lost.
func TestClosedWhileIdle(t *testing.T) {
	for _, again := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "sock")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		answer := func(conn *net.UnixConn) {
			if _, _, err := api.ReadRequest(conn); err != nil {
				t.Error(err)
			}
			if err := api.Send(conn, api.Reply{Result: []byte("{}")}, nil); err != nil {
				t.Error(err)
			}
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.AcceptUnix()
			if err != nil {
				t.Error(err)
				return
			}
			answer(conn)
			_ = fd.AwaitInput(conn) // the next call, which nobody reads
			if !again {
				_ = l.Close()
			}
			_ = conn.Close()
			if conn, err = l.AcceptUnix(); err == nil {
				answer(conn)
				_ = conn.Close()
			}
		}()
		c := dial(t, path)
		for n := range 2 {
			_, err := Call(t.Context(), c, api.Remove, api.RemoveParams{Ref: "c"})
			if lost := n == 1 && !again; (err != nil) != lost || lost && !errors.Is(err, ErrLost) {
				t.Errorf("another daemon %v, call %d: %v", again, n, err)
			}
		}
		_ = l.Close()
		<-done
	}
}

func TestDialNobody(t *testing.T) {
	_, err := Dial(filepath.Join(t.TempDir(), "sock"))
	if !fault.Is(err, fault.Unavailable) || !fd.NobodyListens(err) {
		t.Errorf("got %v", err)
	}
}

// A daemon that goes away in the middle is ErrLost.
func TestLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_, _, _ = api.ReadRequest(conn.(*net.UnixConn)) // it may have been carried out
			_ = conn.Close()
		}
	}()
	if _, err := Call(t.Context(), dial(t, path), api.Wait, api.WaitParams{Ref: "c"}); !errors.Is(err, ErrLost) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
