package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Forwarder carries connections into a pod.
type Forwarder struct {
	// Dial connects to a TCP port of the pod. It is called from several goroutines.
	Dial func(ctx context.Context, port uint16) (*os.File, error)
	// Report is told what went wrong with one connection; the others go on. It is called
	// from several goroutines.
	Report func(error)
}

// Serve accepts until ctx ends, then closes the listeners and all connections, and
// returns when the last goroutine has.
func (f Forwarder) Serve(ctx context.Context, ls []Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() { CloseAll(ls) })
	defer stop()
	var work sync.WaitGroup
	for _, l := range ls {
		work.Go(func() {
			if err := f.accept(ctx, l, &work); err != nil {
				cancel(err) // what was asked for cannot be done any more
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

func (f Forwarder) accept(ctx context.Context, l Listener, work *sync.WaitGroup) error {
	for {
		c, err := l.AcceptTCP()
		var t interface{ Temporary() bool }
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = c.Close() // came too late
			}
			return nil
		case errors.As(err, &t) && t.Temporary(): // no descriptors: wait for others to end
			f.Report(err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		case err != nil:
			return err
		}
		work.Go(func() {
			if err := f.carry(ctx, c, l.Remote); err != nil && ctx.Err() == nil {
				f.Report(fmt.Errorf("%s → %d: %w", l.Addr(), l.Remote, err))
			}
		})
	}
}

// carry connects one client with the pod and copies until both directions have ended. A
// client whose connection cannot be made sees a reset, not an empty answer.
func (f Forwarder) carry(ctx context.Context, client *net.TCPConn, port uint16) error {
	defer func() { _ = client.Close() }() // its end has been seen
	file, err := f.Dial(ctx, port)
	if err != nil {
		_ = client.SetLinger(0) // it is closed either way
		return err
	}
	pod, err := tcp(file)
	if err != nil {
		return err
	}
	defer func() { _ = pod.Close() }() // its end has been seen
	stop := context.AfterFunc(ctx, func() { _, _ = client.Close(), pod.Close() })
	defer stop()
	done := make(chan error, 1)
	go func() { done <- copyHalf(pod, client) }()
	err = copyHalf(client, pod)
	return errors.Join(err, <-done)
}

// tcp makes a connection of a socket's file, which it closes.
func tcp(file *os.File) (*net.TCPConn, error) {
	c, err := net.FileConn(file)
	_ = file.Close() // c has a copy
	if err != nil {
		return nil, err
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		_ = c.Close() // of no use
		return nil, errors.New("the daemon passed no TCP socket")
	}
	return t, nil
}

// copyHalf copies one direction to its end and passes the end on. A direction that broke
// ends both: whoever writes into it must learn that nobody reads. That a peer resets or
// that the other direction broke is how connections end, not an error of ours.
func copyHalf(to, from *net.TCPConn) error {
	_, err := io.Copy(to, from) // spliced in the kernel
	if err == nil {
		_ = to.CloseWrite() // a connection that is gone has no use for it
		return nil
	}
	for _, c := range []*net.TCPConn{to, from} {
		_ = c.SetLinger(0) // a reset is passed on as one
		_ = c.Close()
	}
	var op *net.OpError
	if errors.Is(err, net.ErrClosed) || errors.As(err, &op) {
		return nil
	}
	return err
}
