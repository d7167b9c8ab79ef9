package supervisor

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/podproc/wire"
	"carob/internal/sys/fd"
)

// conn is a connection to a supervisor: requests are answered by number.
type conn struct {
	c *net.UnixConn

	mu      sync.Mutex
	seq     uint32
	waiting map[uint32]waiter
	err     error // why the connection ended
}

// waiter takes the answers to one request until it is gone.
type waiter struct {
	answers chan wire.Packet
	gone    chan struct{}
}

// callTimeout bounds the answer to what a supervisor does at once; starting a
// process is bounded by the caller only.
const callTimeout = 10 * time.Second

// dial connects to the supervisor of a pod's directory, or to its socket before there is
// one.
func dial(podDir string) (*conn, error) {
	dir, err := os.Open(podDir)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, "sandbox", err)
	}
	defer dir.Close()
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socketPath(dir), Net: "unixpacket"})
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, "supervisor", err)
	}
	return &conn{c: c, waiting: map[uint32]waiter{}}, nil
}

func (c *conn) close() { _ = c.c.Close() } // its reader sees the end

// read receives until the connection ends; events go to the callback.
func (c *conn) read(event func(wire.Packet)) {
	var b [wire.Size]byte
	for {
		n, err := c.c.Read(b[:])
		if err != nil || n != wire.Size {
			c.fail(fault.New(fault.Unavailable, "supervisor: the connection has ended"))
			return
		}
		var p wire.Packet
		p.Decode(&b)
		if p.Op == wire.Exit || p.Op == wire.Full {
			event(p)
			continue
		}
		c.mu.Lock()
		w, ok := c.waiting[p.Seq]
		c.mu.Unlock()
		if ok {
			select {
			case w.answers <- p:
			case <-w.gone: // a supervisor that has been taken over answers as often as it likes
			}
		}
	}
}

func (c *conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for seq, w := range c.waiting {
		close(w.answers)
		delete(c.waiting, seq)
	}
}

// send sends a request and returns the channel of its answers, closed if the
// connection ends, and a function to stop listening.
func (c *conn) send(p wire.Packet, files []*os.File) (<-chan wire.Packet, func(), error) {
	// A listing is received by a loop that keeps up; everything else is one packet.
	w := waiter{make(chan wire.Packet, 1), make(chan struct{})}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, nil, c.err
	}
	c.seq++
	p.Seq = c.seq
	c.waiting[p.Seq] = w
	c.mu.Unlock()
	forget := func() {
		close(w.gone)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, p.Seq)
	}
	var b [wire.Size]byte
	p.Encode(&b)
	if err := fd.Send(c.c, b[:], files); err != nil {
		forget()
		return nil, nil, fault.Wrap(fault.Unavailable, "supervisor: send", err)
	}
	return w.answers, forget, nil
}

// call sends a request and waits for its answer.
func (c *conn) call(ctx context.Context, p wire.Packet, files ...*os.File) (wire.Packet, error) {
	ch, forget, err := c.send(p, files)
	if err != nil {
		return wire.Packet{}, err
	}
	defer forget()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case r, ok := <-ch:
		if !ok {
			return r, fault.New(fault.Unavailable, "supervisor: the connection has ended")
		}
		return r, nil
	case <-ctx.Done():
		return wire.Packet{}, fault.Wrap(fault.Unavailable, "supervisor: no answer", ctx.Err())
	}
}

// do is call for requests whose answer is an errno only.
func (c *conn) do(ctx context.Context, what string, p wire.Packet, files ...*os.File) error {
	r, err := c.call(ctx, p, files...)
	if err != nil {
		return err
	}
	return errnoFault(what, r.Err)
}

func errnoFault(what string, errno uint16) error {
	switch e := fd.Errno(errno); e {
	case 0:
		return nil
	case fd.ESRCH, fd.ENOENT:
		return fault.Wrap(fault.NotFound, what, e)
	case fd.EBUSY:
		return fault.Wrap(fault.Conflict, what, e)
	case fd.EINVAL, fd.ENOTTY:
		return fault.Wrap(fault.Invalid, what, e)
	default:
		return fault.Wrap(fault.Internal, what, e)
	}
}

// maxListed bounds the processes that a supervisor lists.
const maxListed = 1 << 16

// list asks for all processes.
func (c *conn) list(ctx context.Context) ([]wire.Packet, error) {
	ch, forget, err := c.send(wire.Packet{Op: wire.List}, nil)
	if err != nil {
		return nil, err
	}
	defer forget()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var all []wire.Packet
	for len(all) < maxListed {
		select {
		case p, ok := <-ch:
			if !ok {
				return nil, fault.New(fault.Unavailable, "supervisor: the connection has ended")
			}
			if p.Handle == 0 {
				return all, nil
			}
			all = append(all, p)
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, "supervisor: list", ctx.Err())
		}
	}
	return nil, fault.New(fault.Unavailable, "supervisor: lists too many processes")
}
