// Package server answers the calls of package api, on a unix socket for root and the daemon's
// user. It decides nothing; each method is one or a few calls of the engine, the image store or
// the manifests, which it knows as the interfaces of Services. Every connection has a goroutine,
// every call one more that sees its client go; Serve waits for them all.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/sys/fd"
)

const (
	// requestTime is how long a peer may take for its request, and until the next one.
	requestTime = 10 * time.Second
	// replyTime is how long a peer may leave a frame unread.
	replyTime = 30 * time.Second
)

// Serve answers calls on l until ctx ends, then cancels those under way, waits for
// them and returns nil; any other end is an error. l is closed either way.
func Serve(ctx context.Context, l net.Listener, s Services) error {
	ctx, cancel := context.WithCancel(ctx)
	if s.Watch == nil {
		s.Watch = func(ctx context.Context, _ string) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	srv := &server{routes: routes(s), s: s}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { _ = l.Close(); close(closed) }) // ends Accept
	defer func() {
		if stop() {
			_ = l.Close() // may be closed already
		} else {
			<-closed // a second Close would return before the first has closed
		}
		cancel()
		srv.calls.Wait()
	}()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // came too late
			}
			return nil
		case err != nil && isTemporary(err):
			s.Log.Warn("accept", "error", err)
			sleep(ctx, 50*time.Millisecond)
			continue
		case err != nil:
			return fault.Wrap(fault.Internal, "api: accept", err)
		}
		unixConn, ok := conn.(*net.UnixConn)
		if !ok {
			_ = conn.Close() // not a unix socket: nothing here can work
			return fault.New(fault.Internal, "api: the listener is not a unix socket")
		}
		srv.calls.Go(func() { srv.serve(ctx, unixConn) })
	}
}

// isTemporary is out of descriptors or memory: waiting helps.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

type server struct {
	routes map[string]route
	s      Services
	calls  sync.WaitGroup
}

// route decodes params, calls, and gives back what is to be encoded.
type route func(ctx context.Context, params json.RawMessage, t turn) (any, error)

// turn is one call as its handler sees it.
type turn struct {
	api.Files
	emit func(any) error
	give func(*os.File)
}

// streams are the files that a process gets.
func streams(f api.Files) pod.Streams {
	return pod.Streams{Stdin: f.Stdin, Stdout: f.Stdout, Stderr: f.Stderr}
}

// entry is a route with its method's name.
type entry struct {
	name string
	do   route
}

// on ties a method to what serves it.
func on[P, E, R any](m api.Method[P, E, R], do func(context.Context, P, turnOf[E]) (R, error)) entry {
	return entry{string(m), func(ctx context.Context, params json.RawMessage, t turn) (any, error) {
		var p P
		if err := api.Decode(params, &p); err != nil {
			return nil, fault.Wrap(fault.Invalid, string(m)+": params", err)
		}
		return do(ctx, p, turnOf[E]{Files: t.Files, Emit: func(e E) error { return t.emit(e) }, Give: t.give})
	}}
}

// turnOf is a turn with typed events. An error of Emit means that the client is gone.
// Give, called at most once, sends a file with the result; it is the server's then.
type turnOf[E any] struct {
	api.Files
	Emit func(E) error
	Give func(*os.File)
}

// plain ties a method without files and events to what serves it.
func plain[P, R any](m api.Method[P, api.None, R], do func(context.Context, P) (R, error)) entry {
	return on(m, func(ctx context.Context, p P, _ turnOf[api.None]) (R, error) { return do(ctx, p) })
}

// act ties a method that returns nothing to what serves it.
func act[P any](m api.Method[P, api.None, api.None], do func(context.Context, P) error) entry {
	return plain(m, func(ctx context.Context, p P) (api.None, error) { return api.None{}, do(ctx, p) })
}

// serve carries out the calls of a connection.
func (s *server) serve(ctx context.Context, conn *net.UnixConn) {
	defer func() { _ = conn.Close() }() // everything that mattered was written
	// The daemon's end is the end of what is awaited from clients.
	defer context.AfterFunc(ctx, func() { _ = conn.CloseRead() })()
	if uid, err := fd.PeerUID(conn); err != nil || uid != 0 && int(uid) != os.Geteuid() {
		s.s.Log.Warn("refused a connection", "uid", uid, "error", err)
		return
	}
	for first := true; s.next(ctx, conn, first); first = false {
	}
}

// next carries out one call, and reports whether another one may follow.
func (s *server) next(ctx context.Context, conn *net.UnixConn, first bool) bool {
	req, files, err := receive(conn)
	if err != nil {
		// A client that dialled in vain, or has had enough, is no event.
		if !errors.Is(err, io.EOF) && (first || !errors.Is(err, os.ErrDeadlineExceeded)) {
			_ = s.reply(conn, api.Reply{Error: api.ErrorOf(err)}) // it may be gone; nobody else wants to know
		}
		return false
	}
	defer files.Close()
	serving := ctx
	ctx, cancel := context.WithCancel(ctx)
	var gone sync.WaitGroup
	gone.Go(func() {
		// The client sends nothing until it has its answer: whatever comes, end or byte, ends the call.
		_ = fd.AwaitInput(conn)
		cancel()
	})
	var gift []*os.File
	defer func() { fd.CloseAll(gift) }()
	result, err := s.call(ctx, req, turn{
		Files: files, emit: func(e any) error { return s.event(conn, req.Method, e) },
		give: func(f *os.File) { gift = []*os.File{f} },
	})
	final := api.Reply{}
	if err != nil {
		final.Error = api.ErrorOf(err)
	} else if final.Result, err = json.Marshal(result); err != nil {
		final.Error = api.ErrorOf(fault.Wrap(fault.Internal, req.Method, err))
	}
	sent := errClosing // to the client that is ErrLost, and it may ask the next daemon
	if err == nil || serving.Err() == nil {
		sent = s.reply(conn, final, gift...) // a client that has gone misses it
	}
	_ = conn.SetReadDeadline(time.Now()) // ends the goroutine above
	gone.Wait()
	cancel()
	return sent == nil
}

var errClosing = fault.New(fault.Unavailable, "the daemon ends")

func (s *server) call(ctx context.Context, req api.Request, t turn) (any, error) {
	do, ok := s.routes[req.Method]
	if !ok {
		return nil, fault.New(fault.Unsupported, "method \""+req.Method+"\" is unknown to this daemon (another version?)")
	}
	ctx, end := s.s.Watch(ctx, req.Method)
	result, err := do(ctx, req.Params, t)
	end(err)
	failure{req, err}.report(ctx, s.s.Log)
	return result, err
}

func (s *server) event(conn *net.UnixConn, method string, e any) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return fault.Wrap(fault.Internal, method+": event", err)
	}
	return s.reply(conn, api.Reply{Event: raw})
}

func (s *server) reply(conn *net.UnixConn, r api.Reply, files ...*os.File) error {
	if err := conn.SetWriteDeadline(time.Now().Add(replyTime)); err != nil {
		return err
	}
	return api.Send(conn, r, files)
}

// receive reads the request; its files are the caller's unless there is an error.
func receive(conn *net.UnixConn) (req api.Request, f api.Files, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
		return req, f, err
	}
	if req, f, err = api.ReadRequest(conn); err != nil {
		return req, f, err
	}
	if err = conn.SetReadDeadline(time.Time{}); err != nil {
		f.Close()
	}
	return req, f, err
}
