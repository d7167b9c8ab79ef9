// Package api is carob's own interface to the daemon: the engine's use-cases over a
// unix socket, for the CLI and for whatever is written against it. It decides
// nothing; each method is one or a few calls of the engine.
//
// One connection carries one call after another:
//
//	client                                     daemon
//	  ── request {method, params, files} ──────▶      files by SCM_RIGHTS, with the first byte
//	  ◀─────────────────────── {"event": …} ──        none, one or many
//	  ◀──────── {"result": …} or {"error": …} ──      exactly one;
//	                                                  a result may bring a file, too
//
// A frame is a length in 4 bytes, big-endian, and so many bytes of JSON. Closing the
// connection cancels the call; what has been done by then stays done unless the
// method undoes it. Data streams (standard streams, logs, tar) are pipes that the
// client makes and passes: they go to the pod supervisor and survive the daemon.
//
// Trust: the socket is 0600 and the peer must be the daemon's user or root
// (SO_PEERCRED). Frames, files, and the time until the request is complete are
// bounded; unknown methods, fields and file names are refused.
package api

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/status"
	"carob/internal/sys/fd"
)

// The bounds of one frame's JSON in bytes, to the daemon and from it.
const (
	maxRequest = 4 << 20
	maxReply   = 64 << 20
)

// Files are what travels with a request; nil ones do not. Data is the tar stream of
// images and copies.
type Files struct {
	pod.Streams
	Data *os.File
}

// request is the first frame. Files names the descriptors that came with it, in
// their order.
type request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
	Files  []string        `json:"files,omitempty"`
}

// reply is every other frame; exactly one field is set.
type reply struct {
	Event  json.RawMessage `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *wireError      `json:"error,omitempty"`
}

// wireError carries a fault with its kind, never as text alone. Code is the exit
// status for a process that did not start: 125, 126 or 127; codeDeadline for an exec
// that was killed at its deadline; 0 with other errors.
type wireError struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
	Code int    `json:"code,omitempty"`
}

func (f *Files) named() (names []string, files []*os.File) {
	for _, n := range []string{"stdin", "stdout", "stderr", "data"} {
		if p, _ := f.at(n); *p != nil {
			names, files = append(names, n), append(files, *p)
		}
	}
	return names, files
}

func (f *Files) at(name string) (**os.File, bool) {
	switch name {
	case "stdin":
		return &f.Stdin, true
	case "stdout":
		return &f.Stdout, true
	case "stderr":
		return &f.Stderr, true
	case "data":
		return &f.Data, true
	}
	return nil, false
}

// assign gives received files their names; on error they are still the caller's.
func assign(names []string, files []*os.File) (Files, error) {
	var f Files
	if len(names) != len(files) {
		return f, fault.New(fault.Invalid, "request: files and their names do not match")
	}
	for i, n := range names {
		p, ok := f.at(n)
		if !ok || *p != nil {
			return f, fault.New(fault.Invalid, "request: unknown or repeated file \""+n+"\"")
		}
		*p = files[i]
	}
	return f, nil
}

// toWire keeps what a caller may branch on; the causes stay here.
func toWire(err error) *wireError {
	w := &wireError{Kind: fault.KindOf(err).String(), Text: err.Error()}
	var start *status.StartError
	var late *status.DeadlineError
	switch {
	case errors.As(err, &start):
		w.Code = start.Code
	case errors.As(err, &late):
		w.Code = codeDeadline
	}
	return w
}

// codeDeadline is what timeout(1) exits with.
const codeDeadline = 124

// fromWire is the error as the other side had it: a *status.StartError or
// *status.DeadlineError when it has a code.
func (w *wireError) fromWire() error {
	err := fault.New(fault.ParseKind(w.Kind), w.Text)
	switch w.Code {
	case 0:
		return err
	case codeDeadline:
		return &status.DeadlineError{Err: err}
	}
	return &status.StartError{Code: w.Code, Err: err}
}

// writeFrame sends v with the files attached to the first byte.
func writeFrame(c *net.UnixConn, v any, files []*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap(fault.Internal, "frame", err)
	}
	if len(body) > maxReply {
		return fault.New(fault.Internal, "frame: too large")
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	return fd.Send(c, append(frame, body...), files)
}

// readBody reads size bytes in growing steps: a length alone must not make anyone
// allocate.
func readBody(r io.Reader, size, limit uint32) ([]byte, error) {
	if size > limit {
		return nil, fault.New(fault.Invalid, "frame: too large")
	}
	body := make([]byte, 0, min(size, 64<<10))
	for uint32(len(body)) < size {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := io.ReadFull(r, body[len(body):min(cap(body), int(size))])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
	}
	return body, nil
}

// readReply reads a frame of the daemon; io.EOF means that it went away.
func readReply(r io.Reader) (reply, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return reply{}, err
	}
	body, err := readBody(r, binary.BigEndian.Uint32(head[:]), maxReply)
	if err != nil {
		return reply{}, err
	}
	var p reply
	if err := json.Unmarshal(body, &p); err != nil {
		return reply{}, fault.Wrap(fault.Internal, "reply", err)
	}
	return p, nil
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
