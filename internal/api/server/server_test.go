package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/netns"
	"carob/internal/testenv"
)

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// engine is a fake with one container. Methods that no test needs are nil and would
// panic.
type engine struct {
	Engine
	root  string
	logs  string
	pods  func(ref string) (status.Pod, error)
	start error

	mu      sync.Mutex
	calls   []string
	exit    chan status.Exit
	events  chan status.Event
	waiting chan struct{}
}

func newEngine() *engine {
	none := func(string) (status.Pod, error) { return status.Pod{}, nil }
	return &engine{pods: none, exit: make(chan status.Exit, 1), events: make(chan status.Event, 10), waiting: make(chan struct{}, 10)}
}

func (e *engine) note(s string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, s)
}

func (e *engine) noted() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.calls...)
}

func (e *engine) it() status.Container {
	return status.Container{ID: id, Name: "c", State: lifecycle.ContainerRunning, LogPath: e.logs, PodID: "p"}
}

func (e *engine) CreateSolo(_ context.Context, _ spec.Pod, c spec.Container) (status.Container, error) {
	e.note("create " + c.Image)
	if c.Image == "none" {
		return status.Container{}, fault.New(fault.NotFound, "image none: not found")
	}
	return e.it(), nil
}

func (e *engine) StartContainer(_ context.Context, ref string, io pod.Streams) error {
	e.note("start " + ref[:4])
	if e.start != nil {
		return e.start
	}
	if io.Stdout != nil {
		if _, err := io.Stdout.WriteString("hello\n"); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) Waiter(ref string, _ status.WaitCondition) (func(context.Context) (status.Exit, error), error) {
	e.note("wait " + ref[:4])
	return func(ctx context.Context) (status.Exit, error) {
		e.waiting <- struct{}{}
		select {
		case x := <-e.exit:
			return x, nil
		case <-ctx.Done():
			e.note("cancelled")
			return status.Exit{}, ctx.Err()
		}
	}, nil
}

func (e *engine) WaitContainer(ctx context.Context, ref string, c status.WaitCondition) (status.Exit, error) {
	w, _ := e.Waiter(ref, c)
	return w(ctx)
}

func (e *engine) RemoveContainer(_ context.Context, ref string, o pod.RemoveOptions) error {
	e.note("remove " + ref[:4])
	return nil
}

func (e *engine) Container(ref string) (status.Container, error) {
	if ref != "c" && ref != id {
		return status.Container{}, fault.New(fault.NotFound, "container "+ref+": not found")
	}
	return e.it(), nil
}

func (e *engine) Pod(ref string) (status.Pod, error)                   { return e.pods(ref) }
func (e *engine) Containers(status.Filter) []status.Container          { return []status.Container{e.it()} }
func (e *engine) Resize(context.Context, string, uint16, uint16) error { e.note("resize"); return nil }
func (e *engine) Events(context.Context, uint64) <-chan status.Event   { return e.events }
func (e *engine) RootDir(context.Context, string) (*os.File, error)    { return os.Open(e.root) }

// serve runs a server around e and returns its socket.
func serve(t *testing.T, e *engine) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, e)
	return path
}

// serveOn runs a server around e, which has l. The cleanup checks that nothing is left: no
// goroutine of a call, no descriptor but the listener that there was.
func serveOn(t *testing.T, l net.Listener, e *engine) {
	t.Helper()
	before := descriptors(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, l, Services{Engine: e, Dial: netns.DialProcess, Host: api.Host{About: api.About{Version: "v"}}, Handlers: func() []api.Handler { return nil }, Log: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if after := descriptors(t); after >= before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
	})
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range all {
		if to, _ := os.Readlink("/proc/self/fd/" + f.Name()); !strings.HasPrefix(to, "anon_inode:") { // the poller's own stay
			n++
		}
	}
	return n
}

func dialled(t *testing.T, path string) *client.Client {
	t.Helper()
	c, err := client.Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestRun(t *testing.T) {
	e := newEngine()
	c := dialled(t, serve(t, e))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e.exit <- status.Exit{Code: 3}
	var events []string
	ended, err := client.Do(t.Context(), c, api.Run, client.Exchange[api.RunParams, status.Container]{
		Params: api.RunParams{Container: spec.Container{Image: "i"}, Size: api.Size{Rows: 24, Cols: 80}}, Files: api.Files{Stdout: w},
		OnEvent: func(s status.Container) { events = append(events, s.Name) },
	})
	_ = w.Close()
	if err != nil || ended.Exit == nil || ended.Exit.Code != 3 || len(events) != 2 {
		t.Fatalf("got %+v, %v, %v", ended, err, events)
	}
	if out, err := io.ReadAll(r); err != nil || string(out) != "hello\n" {
		t.Errorf("got %q, %v", out, err)
	}
	want := []string{"create i", "wait 0123", "start 0123", "resize"}
	if d := cmp.Diff(want, e.noted()); d != "" {
		t.Error(d)
	}
}

// A container that cannot be started is removed, and the exit code travels.
func TestRunRefused(t *testing.T) {
	e := newEngine()
	e.start = &status.StartError{Code: 127, Err: fault.New(fault.NotFound, "container c: command not found: x")}
	c := dialled(t, serve(t, e))
	_, err := client.Do(t.Context(), c, api.Run, client.Exchange[api.RunParams, status.Container]{Params: api.RunParams{Container: spec.Container{Image: "i"}}})
	var start *status.StartError
	if !errors.As(err, &start) || start.Code != 127 || !fault.Is(err, fault.NotFound) || err.Error() != e.start.Error() {
		t.Errorf("got %#v", err)
	}
	if calls := e.noted(); calls[len(calls)-1] != "remove 0123" {
		t.Errorf("calls %v", calls)
	}
}

func TestErrorKinds(t *testing.T) {
	e := newEngine()
	c := dialled(t, serve(t, e))
	for name, call := range map[string]func() error{
		"engine": func() error {
			_, err := client.Call(t.Context(), c, api.Create, api.RunParams{Container: spec.Container{Image: "none"}})
			return err
		},
		"ref": func() error { _, err := client.Call(t.Context(), c, api.Container, api.Ref{Ref: "x"}); return err },
	} {
		if err := call(); !fault.Is(err, fault.NotFound) || !strings.HasSuffix(err.Error(), ": not found") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := client.Call(t.Context(), c, api.Method[api.None, api.None, api.None]("frob"), api.None{}); !fault.Is(err, fault.Unsupported) {
		t.Errorf("got %v", err)
	}
	type odd struct{ Odd int }
	if _, err := client.Call(t.Context(), c, api.Method[odd, api.None, api.None]("stop"), odd{1}); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

// Cancelling a call closes its connection, and that cancels it in the daemon.
func TestCancel(t *testing.T) {
	e := newEngine()
	c := dialled(t, serve(t, e))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-e.waiting
		cancel()
	}()
	if _, err := client.Call(ctx, c, api.Wait, api.WaitParams{Ref: "c"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for late := time.Now().Add(5 * time.Second); ; {
		if calls := e.noted(); calls[len(calls)-1] == "cancelled" {
			return
		}
		if time.Now().After(late) {
			t.Fatal("the daemon goes on waiting")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestEvents(t *testing.T) {
	e := newEngine()
	c := dialled(t, serve(t, e))
	for n := range 3 {
		e.events <- status.Event{Seq: uint64(n + 1)}
	}
	close(e.events)
	var got []uint64
	_, err := client.Do(t.Context(), c, api.Events, client.Exchange[api.EventsParams, status.Event]{OnEvent: func(ev status.Event) { got = append(got, ev.Seq) }})
	if d := cmp.Diff([]uint64{1, 2, 3}, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

func TestLogs(t *testing.T) {
	e := newEngine()
	e.logs = filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(e.logs, []byte("2026-01-02T03:04:05Z stdout F one\n2026-01-02T03:04:05Z stderr F two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := dialled(t, serve(t, e))
	for _, follow := range []bool{false, true} {
		if follow {
			e.exit <- status.Exit{} // removed: the log ends
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Do(t.Context(), c, api.Logs, client.Exchange[api.LogsParams, api.None]{
			Params: api.LogsParams{Ref: "c", Tail: -1, Follow: follow}, Files: api.Files{Stdout: w, Stderr: w},
		})
		_ = w.Close()
		out, rerr := io.ReadAll(r)
		_ = r.Close()
		if err != nil || rerr != nil || string(out) != "one\ntwo\n" {
			t.Errorf("follow %v: got %q, %v, %v", follow, out, err, rerr)
		}
	}
}

// A reader that never reads does not hold the daemon: leaving ends the call.
func TestLogsBlocked(t *testing.T) {
	e := newEngine()
	e.logs = filepath.Join(t.TempDir(), "log")
	line := "2026-01-02T03:04:05Z stdout F " + strings.Repeat("x", 8000) + "\n"
	if err := os.WriteFile(e.logs, []byte(strings.Repeat(line, 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := dialled(t, serve(t, e))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client.Do(ctx, c, api.Logs, client.Exchange[api.LogsParams, api.None]{
		Params: api.LogsParams{Ref: "c", Tail: -1, Follow: true}, Files: api.Files{Stdout: w},
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestStatAndCopy(t *testing.T) {
	e := newEngine()
	e.root = t.TempDir()
	if err := os.MkdirAll(e.root+"/etc", 0o755); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"up": "../../../../../../../etc/passwd", "abs": "/etc"} {
		if err := os.Symlink(to, filepath.Join(e.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	c := dialled(t, serve(t, e))
	for _, s := range []struct {
		path        string
		follow      bool
		exists, dir bool
	}{{"/etc", false, true, true}, {"etc/", false, true, true}, {"/nope", false, false, false}, {"/up", true, false, false},
		{"/up", false, true, false}, {"/abs", true, true, true}, {"/abs", false, true, false}, {"/", false, true, true}, {"/../..", false, true, true}} {
		info, err := client.Call(t.Context(), c, api.Stat, api.PathParams{Ref: "c", Path: s.path, Follow: s.follow})
		if err != nil || info.Exists != s.exists || info.Dir != s.dir {
			t.Errorf("%+v: got %+v, %v", s, info, err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Do(t.Context(), c, api.CopyOut, client.Exchange[api.PathParams, api.None]{Params: api.PathParams{Ref: "c", Path: "/up", As: "x"}, Files: api.Files{Data: w}})
	_ = w.Close()
	out, _ := io.ReadAll(r)
	_ = r.Close()
	if err != nil || !bytes.Contains(out, []byte("../../etc/passwd")) || bytes.Contains(out, []byte("root:")) {
		t.Errorf("%v, %d bytes", err, len(out))
	}
}

// TestPodDial: the connection comes to the client, and stays when the daemon has gone.
func TestPodDial(t *testing.T) {
	testenv.Require(t, testenv.Root) // to enter a namespace, be it the own one
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	link, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	state := status.Pod{ID: "p", Name: "foo", Pid: os.Getpid(), Namespaces: map[string]string{"net": link}}
	e := newEngine()
	var mu sync.Mutex
	e.pods = func(ref string) (status.Pod, error) {
		mu.Lock()
		defer mu.Unlock()
		if ref != "p" {
			return status.Pod{}, fault.New(fault.NotFound, "no such pod")
		}
		return state, nil
	}
	become := func(s status.Pod) {
		mu.Lock()
		defer mu.Unlock()
		state = s
	}
	c := dialled(t, serve(t, e))
	for _, ref := range []string{"p", id} { // the pod's own, and a container's in it
		var f *os.File
		if _, err := client.Do(t.Context(), c, api.PodDial, client.Exchange[api.DialParams, api.None]{Params: api.DialParams{Ref: ref, Port: port}, Take: func(got *os.File) { f = got }}); err != nil || f == nil {
			t.Fatal(ref, f, err)
		}
		there, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := there.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		there.Close()
		if b, err := io.ReadAll(f); err != nil || string(b) != "hello" {
			t.Errorf("%q, %v", b, err)
		}
		f.Close()
	}
	// Nobody takes it: the descriptor is not lost (see serve).
	if _, err := client.Call(t.Context(), c, api.PodDial, api.DialParams{Ref: "p", Port: port}); err != nil {
		t.Error(err)
	}
	l.Close()
	refuse := func(kind fault.Kind, p api.DialParams) {
		t.Helper()
		if _, err := client.Call(t.Context(), c, api.PodDial, p); !fault.Is(err, kind) {
			t.Errorf("%+v: %v, want %v", p, err, kind)
		}
	}
	refuse(fault.Unavailable, api.DialParams{Ref: "p", Port: port})
	refuse(fault.Invalid, api.DialParams{Ref: "p"})
	become(status.Pod{ID: "p", Name: "foo", Pid: os.Getpid(), Namespaces: map[string]string{"net": "net:[1]"}}) // the pid is another process's now
	refuse(fault.Conflict, api.DialParams{Ref: "p", Port: port})
	become(status.Pod{ID: "p", Name: "foo"})
	refuse(fault.Conflict, api.DialParams{Ref: "p", Port: port})
}

// TestEventsUntil: an end that has passed shows what is known, and ends.
func TestEventsUntil(t *testing.T) {
	e := newEngine()
	c := dialled(t, serve(t, e))
	for n := range 3 {
		e.events <- status.Event{Seq: uint64(n + 1)}
	}
	var got []uint64
	_, err := client.Do(t.Context(), c, api.Events, client.Exchange[api.EventsParams, status.Event]{
		Params: api.EventsParams{From: 1, Until: time.Now().Add(-time.Second)}, OnEvent: func(ev status.Event) { got = append(got, ev.Seq) },
	})
	if d := cmp.Diff([]uint64{1, 2, 3}, got); d != "" || err != nil {
		t.Error(d, err)
	}
}

// TestLogsUntil: following a log ends where it was told to, though the container runs on.
func TestLogsUntil(t *testing.T) {
	e := newEngine()
	e.logs = filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(e.logs, []byte("2026-01-02T03:04:05Z stdout F one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := api.LogsParams{Ref: "c", Tail: -1, Follow: true, Until: time.Now().Add(-time.Second)}
	if _, err := client.Do(t.Context(), dialled(t, serve(t, e)), api.Logs, client.Exchange[api.LogsParams, api.None]{Params: p, Files: api.Files{Stdout: w}}); err != nil {
		t.Error(err)
	}
	_ = w.Close()
	if b, err := io.ReadAll(r); string(b) != "one\n" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
