package api

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// TestCallsShareAConnection: the next call takes the connection of the last one, also
// after a refusal, but not one whose call was given up.
func TestCallsShareAConnection(t *testing.T) {
	e := newEngine()
	c := dial(t, serve(t, e))
	conn := c.idle
	for range 3 {
		if _, err := Call(t.Context(), c, Version, None{}); err != nil {
			t.Fatal(err)
		}
		if _, err := Call(t.Context(), c, Method[None, None, None]("no-such"), None{}); !fault.Is(err, fault.Unsupported) {
			t.Fatal(err)
		}
	}
	if c.idle != conn {
		t.Error("calls in turn made another connection")
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-e.waiting
		cancel()
	}()
	if _, err := Call(ctx, c, Wait, WaitParams{Ref: "c"}); err == nil {
		t.Fatal("the container has ended")
	}
	if c.idle != nil {
		t.Error("the connection of a call that was given up is kept")
	}
	if _, err := Call(t.Context(), c, Version, None{}); err != nil {
		t.Error(err)
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
			done <- Serve(ctx, l, Services{Engine: newEngine(), Handlers: func() []Handler { return nil }, Log: slog.New(slog.DiscardHandler)})
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
	c := dial(t, path)
	for range 2 {
		if _, err := Call(t.Context(), c, Version, None{}); err != nil {
			t.Fatal(err)
		}
		end()
		end = daemon()
	}
	end()
}
