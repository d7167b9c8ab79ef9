package api

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/sys/fd"
)

// The bounds of one frame's JSON in bytes, to the daemon and from it.
const (
	maxRequest = 4 << 20
	maxReply   = 64 << 20
)

// maxFiles is the number of names in Files.
const maxFiles = 4

// Files are what travels with a request; nil ones do not. Data is the tar stream of
// images and copies.
type Files struct {
	Stdin, Stdout, Stderr, Data *os.File
}

// Request is the first frame. Files names the descriptors that came with it, in
// their order.
type Request struct {
	Method string          `json:"method"`
	Params json.RawMessage `json:"params,omitempty"`
	Files  []string        `json:"files,omitempty"`
}

// Reply is every other frame; exactly one field is set.
type Reply struct {
	Event  json.RawMessage `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *Error          `json:"error,omitempty"`
}

// Error carries a fault with its kind, never as text alone. Code is the exit
// status for a process that did not start: 125, 126 or 127; codeDeadline for an exec
// that was killed at its deadline; 0 with other errors.
type Error struct {
	Kind string `json:"kind"`
	Text string `json:"text"`
	Code int    `json:"code,omitempty"`
}

// Named lists the files there are, each with its name in a request.
func (f *Files) Named() (names []string, files []*os.File) {
	for _, n := range []string{"stdin", "stdout", "stderr", "data"} {
		if p, _ := f.at(n); *p != nil {
			names, files = append(names, n), append(files, *p)
		}
	}
	return names, files
}

// Close closes the files there are.
func (f *Files) Close() { fd.CloseAll([]*os.File{f.Stdin, f.Stdout, f.Stderr, f.Data}) }

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

// ErrorOf keeps what a caller may branch on; the causes stay here.
func ErrorOf(err error) *Error {
	w := &Error{Kind: fault.KindOf(err).String(), Text: err.Error()}
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

// Fault is the error as the other side had it: a *status.StartError or
// *status.DeadlineError when it has a code.
func (w *Error) Fault() error {
	err := fault.New(fault.ParseKind(w.Kind), w.Text)
	switch w.Code {
	case 0:
		return err
	case codeDeadline:
		return &status.DeadlineError{Err: err}
	}
	return &status.StartError{Code: w.Code, Err: err}
}

// Send writes v, a Request or a Reply, with the files attached to the first byte.
func Send(c *net.UnixConn, v any, files []*os.File) error {
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

// ReadReply reads a frame of the daemon; io.EOF means that it went away.
func ReadReply(r io.Reader) (Reply, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Reply{}, err
	}
	body, err := readBody(r, binary.BigEndian.Uint32(head[:]), maxReply)
	if err != nil {
		return Reply{}, err
	}
	var p Reply
	if err := json.Unmarshal(body, &p); err != nil {
		return Reply{}, fault.Wrap(fault.Internal, "reply", err)
	}
	return p, nil
}

// ReadRequest reads the frame of a client; io.EOF means that it wants nothing more. The
// files are the caller's unless there is an error.
func ReadRequest(conn *net.UnixConn) (req Request, f Files, err error) {
	var head [4]byte
	files, err := fd.Receive(conn, head[:], maxFiles)
	if err != nil {
		return req, f, err
	}
	defer func() {
		if err != nil {
			fd.CloseAll(files)
		}
	}()
	body, err := readBody(conn, binary.BigEndian.Uint32(head[:]), maxRequest)
	if err != nil {
		return req, f, err
	}
	if err := Decode(body, &req); err != nil {
		return req, f, fault.Wrap(fault.Invalid, "request", err)
	}
	f, err = assign(req.Files, files)
	return req, f, err
}

// Decode reads what a client sends: a field that is not known is an error, nothing is v as it is.
func Decode(raw json.RawMessage, v any) error {
	if len(raw) == 0 {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
