package criu

import (
	"errors"
	"net"
	"os"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
)

// mute is a criu that is told of and says nothing. It looks at what it has been given.
type mute struct {
	look func(files []*os.File)
	err  error
}

func (mute) First() int { return 3 }

func (m mute) Start(files []*os.File) (func() error, error) {
	m.look(files)
	return func() error { return m.err }, nil
}

// TestHeld: a criu that is held has the other end of its own socket, so that the end of
// whoever speaks with it is no end of the talk; when it is that which wants an end, there is
// one. What is said of a criu that says nothing is how it ended.
func TestHeld(t *testing.T) {
	died := errors.New("exit status 127")
	for _, held := range []bool{false, true} {
		var theirs net.Conn
		s := mute{err: died, look: func(files []*os.File) {
			if want := map[bool]int{false: 1, true: 2}[held]; len(files) != want {
				t.Fatalf("held %v: %d files, want %d", held, len(files), want)
			}
			var err error
			if theirs, err = net.FileConn(files[0]); err != nil {
				t.Fatal(err)
			}
			if held {
				if _, err := files[1].Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
			}
			go func() { // it hears the request, and ends the talk
				buf := make([]byte, maxPacket)
				_, _ = theirs.Read(buf)
				if held {
					_, _ = theirs.Read(buf)
				}
				_ = theirs.(*net.UnixConn).CloseWrite()
			}()
		}}
		kind := rpc.CriuReqType_RESTORE
		_, err := (&action{kind: kind, name: "restore", held: held}).ask(s, &rpc.CriuReq{Type: &kind}, nil)
		if !errors.Is(err, died) {
			t.Errorf("held %v: %v, want %v", held, err, died)
		}
		if n, err := theirs.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("held %v: the talk goes on: %d, %v", held, n, err)
		}
		_ = theirs.Close()
	}
}
