package api

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

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
			if _, _, err := receive(conn); err != nil {
				t.Error(err)
			}
			if err := (&server{}).reply(conn, reply{Result: []byte("{}")}); err != nil {
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
			_, err := Call(t.Context(), c, Remove, RemoveParams{Ref: "c"})
			if lost := n == 1 && !again; (err != nil) != lost || lost && !errors.Is(err, ErrLost) {
				t.Errorf("another daemon %v, call %d: %v", again, n, err)
			}
		}
		_ = l.Close()
		<-done
	}
}
