// Package client asks the daemon: the calling side of package api. A Client keeps at most one
// connection for the next call; each call has its own meanwhile.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// Client calls one daemon. Its connections are made as calls need them; it may be
// used from several goroutines.
type Client struct {
	path string

	mu sync.Mutex
	// idle is the connection Dial made, or that a call has left: the next one takes it.
	idle *net.UnixConn
}

// ErrLost is in the chain of an error of a call whose daemon went away before it
// answered: whether the call was carried out is not known.
var ErrLost = errors.New("the daemon went away")

// Dial connects to the daemon's socket at path. NotFound or Unavailable mean that
// no daemon listens there.
func Dial(path string) (*Client, error) {
	conn, err := connect(path)
	if err != nil {
		return nil, err
	}
	return &Client{path: path, idle: conn}, nil
}

// Close releases the connection that no call uses.
func (c *Client) Close() error {
	if conn := c.swap(nil); conn != nil {
		return conn.Close()
	}
	return nil
}

func (c *Client) swap(conn *net.UnixConn) (old *net.UnixConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old, c.idle = c.idle, conn
	return old
}

func connect(path string) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, "daemon", err)
	}
	return conn, nil
}

// conn returns a connection for a call: not one that its daemon has closed meanwhile.
// used says that it has waited for this call.
func (c *Client) conn() (conn *net.UnixConn, used bool, err error) {
	conn = c.swap(nil)
	if conn != nil && !fd.IsQuiet(conn) {
		_ = conn.Close()
		conn = nil
	}
	if conn != nil {
		return conn, true, nil
	}
	conn, err = connect(c.path)
	return conn, false, err
}

// leave keeps a connection for the next call.
func (c *Client) leave(conn *net.UnixConn) {
	if old := c.swap(conn); old != nil {
		_ = old.Close()
	}
}

// Exchange is what a call with files or events needs. Files stay the caller's; they
// have been passed when the first event or the result comes. OnEvent, when not nil,
// is called in the order of the events, from Do's goroutine. Take gets the file that
// comes with the result of a method that gives one; it is Take's to close.
type Exchange[P, E any] struct {
	Params  P
	Files   api.Files
	OnEvent func(E)
	Take    func(*os.File)
}

// Call calls a method that has neither files nor events. A cancelled ctx closes the
// connection, and the daemon cancels what it does.
func Call[P, E, R any](ctx context.Context, c *Client, m api.Method[P, E, R], p P) (R, error) {
	return Do(ctx, c, m, Exchange[P, E]{Params: p})
}

// Do calls a method with files or events: see Call. A connection may have waited for so long
// that the daemon closes it in the very moment of the call, which it has not read then: that is
// sent again.
func Do[P, E, R any](ctx context.Context, c *Client, m api.Method[P, E, R], x Exchange[P, E]) (R, error) {
	conn, used, err := c.conn()
	if err != nil {
		var none R
		return none, err
	}
	result, err := do(ctx, c, conn, asking[P, E, R]{m, x})
	if used && errors.Is(err, ErrLost) && fd.IsUnread(err) {
		if fresh, e := connect(c.path); e == nil {
			return do(ctx, c, fresh, asking[P, E, R]{m, x})
		}
	}
	return result, err
}

type asking[P, E, R any] struct {
	m api.Method[P, E, R]
	x Exchange[P, E]
}

// do is one call over a connection, which it closes or leaves to the next.
func do[P, E, R any](ctx context.Context, c *Client, conn *net.UnixConn, what asking[P, E, R]) (result R, err error) {
	m, x := what.m, what.x
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // the error that matters is ctx's
	answered := false
	defer func() {
		switch {
		case !stop():
			err = ctx.Err()
		case answered:
			c.leave(conn)
		default:
			_ = conn.Close()
		}
	}()
	params, err := json.Marshal(x.Params)
	if err != nil {
		return result, fault.Wrap(fault.Internal, string(m), err)
	}
	names, files := x.Files.Named()
	if err := api.Send(conn, api.Request{Method: string(m), Params: params, Files: names}, files); err != nil {
		return result, lost(err)
	}
	from := &carrier{UnixConn: conn}
	defer from.drop()
	for {
		p, err := api.ReadReply(from)
		switch {
		case err != nil:
			return result, lost(err)
		case p.Error != nil:
			answered = true
			return result, p.Error.Fault()
		case p.Result != nil:
			answered = true
			from.give(x.Take)
			return result, decode(p.Result, &result)
		case p.Event != nil && x.OnEvent != nil:
			var e E
			if err := decode(p.Event, &e); err != nil {
				return result, err
			}
			x.OnEvent(e)
		}
	}
}

func decode(raw json.RawMessage, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return fault.Wrap(fault.Internal, "reply", err)
	}
	return nil
}

// lost marks an error of the connection.
func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Wrap(fault.Unavailable, "", ErrLost)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fault.Wrap(fault.Unavailable, "", fmt.Errorf("%w (%w)", ErrLost, op.Err))
	}
	return err
}

// carrier reads from a connection and keeps the file that comes with what it reads.
type carrier struct {
	*net.UnixConn
	gift *os.File
}

// Read fills b unless the connection ends before.
func (c *carrier) Read(b []byte) (int, error) {
	files, err := fd.Receive(c.UnixConn, b, 1)
	if err != nil {
		return 0, err
	}
	if len(files) == 1 {
		c.drop()
		c.gift = files[0]
	}
	return len(b), nil
}

// give hands the file to whoever takes it.
func (c *carrier) give(take func(*os.File)) {
	if c.gift != nil && take != nil {
		take(c.gift)
		c.gift = nil
	}
}

// drop closes a file that nobody takes.
func (c *carrier) drop() {
	if c.gift != nil {
		_ = c.gift.Close() // never used
		c.gift = nil
	}
}
