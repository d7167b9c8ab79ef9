package server

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/fault"
	"carob/internal/testenv"
)

// counted is a listener that counts.
type counted struct {
	net.Listener
	n atomic.Int32
}

func (l *counted) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.n.Add(1)
	}
	return conn, err
}

// TestCallsShareAConnection: the next call takes the connection of the last one, also
// after a refusal, but not one whose call was given up.
func TestCallsShareAConnection(t *testing.T) {
	e := newEngine()
	path := filepath.Join(t.TempDir(), "sock")
	inner, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l := &counted{Listener: inner}
	serveOn(t, l, e)
	c := dialled(t, path)
	for range 3 {
		if _, err := client.Call(t.Context(), c, api.Version, api.None{}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Call(t.Context(), c, api.Method[api.None, api.None, api.None]("no-such"), api.None{}); !fault.Is(err, fault.Unsupported) {
			t.Fatal(err)
		}
	}
	if n := l.n.Load(); n != 1 {
		t.Errorf("calls in turn made %d connections", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-e.waiting
		cancel()
	}()
	if _, err := client.Call(ctx, c, api.Wait, api.WaitParams{Ref: "c"}); err == nil {
		t.Fatal("the container has ended")
	}
	if _, err := client.Call(t.Context(), c, api.Version, api.None{}); err != nil {
		t.Error(err)
	}
	if n := l.n.Load(); n != 2 {
		t.Errorf("%d connections: the one of a call that was given up is no other call's", n)
	}
}

// TestNextDaemon: a daemon does not wait for clients that ask nothing, and they find the
// next one.
func TestNextDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	daemon := func() (end func()) {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- Serve(ctx, l, Services{Engine: newEngine(), Handlers: func() []api.Handler { return nil }, Log: slog.New(slog.DiscardHandler)})
		}()
		return func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(testenv.Patience(requestTime / 2)):
				t.Fatal("it waits for its clients")
			}
		}
	}
	end := daemon()
	c := dialled(t, path)
	for range 2 {
		if _, err := client.Call(t.Context(), c, api.Version, api.None{}); err != nil {
			t.Fatal(err)
		}
		end()
		end = daemon()
	}
	end()
}
