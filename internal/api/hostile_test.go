package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"carob/internal/status"
	"carob/internal/sys/fd"
)

func raw(t *testing.T, path string, b []byte, files ...*os.File) []byte {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := fd.Send(conn, b, files); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	out, _ := io.ReadAll(conn) // a reset is an answer too
	return out
}

func frame(s string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...)
}

// Whatever is sent, the server answers or closes, and leaks nothing (see serve).
func TestHostileInput(t *testing.T) {
	path := serve(t, newEngine())
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		name  string
		in    []byte
		files []*os.File
		want  string
	}{
		{"half a length", []byte{0, 0}, nil, ""},
		{"huge length", []byte{0xff, 0xff, 0xff, 0xff}, nil, "too large"},
		{"length without body", []byte{0, 0x10, 0, 0}, nil, "EOF"},
		{"no JSON", frame("hello"), nil, "invalid"},
		{"unknown field", frame(`{"method":"version","x":1}`), nil, "unknown field"},
		{"unknown method", frame(`{"method":"nope"}`), nil, "unknown to this daemon"},
		{"deep JSON", frame(strings.Repeat("[", 100000)), nil, "invalid"},
		{"file without name", frame(`{"method":"version"}`), []*os.File{null}, "do not match"},
		{"name without file", frame(`{"method":"version","files":["stdin"]}`), nil, "do not match"},
		{"unknown file", frame(`{"method":"version","files":["x"]}`), []*os.File{null}, "unknown or repeated"},
		{"one file twice", frame(`{"method":"version","files":["data","data"]}`), []*os.File{null, null}, "unknown or repeated"},
		{"too many files", frame(`{"method":"version"}`), []*os.File{null, null, null, null, null}, "too many files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out := raw(t, path, c.in, c.files...); !strings.Contains(string(out), c.want) {
				t.Errorf("got %q", out)
			}
		})
	}
}

// TestPartOfAFrame: a peer that goes away is told from one that is slow.
func TestPartOfAFrame(t *testing.T) {
	for _, c := range []struct {
		sent       string
		then, want error
	}{
		{"", io.EOF, io.ErrUnexpectedEOF},
		{"ab", io.EOF, io.ErrUnexpectedEOF},
		{"ab", os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
	} {
		if _, err := readBody(io.MultiReader(strings.NewReader(c.sent), iotest.ErrReader(c.then)), 4, maxRequest); !errors.Is(err, c.want) {
			t.Errorf("%q, then %v: %v, want %v", c.sent, c.then, err, c.want)
		}
	}
}

// Many calls at once, some of which leave early.
func TestConcurrent(t *testing.T) {
	e := newEngine()
	path := serve(t, e)
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			c, err := Dial(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if n%5 == 0 {
				return
			}
			if v, err := Call(context.Background(), c, Version, None{}); err != nil || v.Version != "v" {
				t.Errorf("got %v, %v", v, err)
			}
			if list, err := Call(context.Background(), c, Containers, status.Filter{}); err != nil || len(list) != 1 {
				t.Errorf("got %v, %v", list, err)
			}
		})
	}
	all.Wait()
}

// Every method constant is served.
func TestEveryMethodIsServed(t *testing.T) {
	have := routes(Services{Engine: newEngine()})
	n := 0
	look := func(node ast.Node) bool {
		if v, ok := node.(*ast.ValueSpec); ok {
			name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if _, served := have[name]; err == nil && isMethod(v.Type) {
				n++
				if !served {
					t.Errorf("%s is not served", name)
				}
			}
		}
		return true
	}
	for _, name := range []string{"methods.go", "volumes.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, look)
	}
	if n != len(have) {
		t.Errorf("%d methods, %d routes", n, len(have))
	}
}

func isMethod(e ast.Expr) bool {
	list, ok := e.(*ast.IndexListExpr)
	if !ok {
		return false
	}
	name, ok := list.X.(*ast.Ident)
	return ok && name.Name == "Method"
}

func FuzzReadReply(f *testing.F) {
	f.Add(frame(`{"result":{}}`))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Add(frame(`{"error":{"kind":"invalid","text":"x","code":127}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readReply(bytes.NewReader(b))
		if err == nil && p.Error != nil {
			_ = p.Error.fromWire().Error()
		}
	})
}

// FuzzRequest holds what decodes a request against any JSON.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"method":"stop","params":{"ref":"x"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := readBody(bytes.NewReader(b), uint32(len(b)), maxRequest)
		if err != nil {
			t.Fatal(err)
		}
		var r request
		if strict(body, &r) == nil {
			_, _ = assign(r.Files, nil)
			var p RunParams
			_ = strict(r.Params, &p)
		}
	})
}
