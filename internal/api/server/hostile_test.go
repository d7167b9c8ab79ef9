package server

import (
	"context"
	"encoding/binary"
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
	"time"

	"carob/internal/api"
	"carob/internal/api/client"
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

func framed(s string) []byte {
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
		{"no JSON", framed("hello"), nil, "invalid"},
		{"unknown field", framed(`{"method":"version","x":1}`), nil, "unknown field"},
		{"unknown method", framed(`{"method":"nope"}`), nil, "unknown to this daemon"},
		{"deep JSON", framed(strings.Repeat("[", 100000)), nil, "invalid"},
		{"file without name", framed(`{"method":"version"}`), []*os.File{null}, "do not match"},
		{"name without file", framed(`{"method":"version","files":["stdin"]}`), nil, "do not match"},
		{"unknown file", framed(`{"method":"version","files":["x"]}`), []*os.File{null}, "unknown or repeated"},
		{"one file twice", framed(`{"method":"version","files":["data","data"]}`), []*os.File{null, null}, "unknown or repeated"},
		{"too many files", framed(`{"method":"version"}`), []*os.File{null, null, null, null, null}, "too many files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if out := raw(t, path, c.in, c.files...); !strings.Contains(string(out), c.want) {
				t.Errorf("got %q", out)
			}
		})
	}
}

// Many calls at once, some of which leave early.
func TestConcurrent(t *testing.T) {
	e := newEngine()
	path := serve(t, e)
	var all sync.WaitGroup
	for n := range 50 {
		all.Go(func() {
			c, err := client.Dial(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if n%5 == 0 {
				return
			}
			if v, err := client.Call(context.Background(), c, api.Version, api.None{}); err != nil || v.Version != "v" {
				t.Errorf("got %v, %v", v, err)
			}
			if list, err := client.Call(context.Background(), c, api.Containers, status.Filter{}); err != nil || len(list) != 1 {
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
	for _, name := range []string{"methods.go", "registry.go", "volume.go"} {
		file, err := parser.ParseFile(token.NewFileSet(), "../"+name, nil, 0)
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
