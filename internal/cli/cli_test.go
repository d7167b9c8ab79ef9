package cli

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/api/server"
	"carob/internal/fault"
	"carob/internal/image"
	wish "carob/internal/image/registry/call"
	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/fd"
	"carob/internal/sys/session"
)

// fake is an engine whose containers are goroutines: run executes "program" with the
// streams that were passed and returns the exit code.
type fake struct {
	server.Engine
	program func(io pod.Streams, signals <-chan int) int
	refuse  error
	pulled  atomic.Bool  // what is below far/ is here
	asked   atomic.Int32 // pulls

	mu      sync.Mutex
	made    spec.Container
	pod     spec.Pod
	signals chan int
	exit    chan int
	state   lifecycle.ContainerState
	removed int
}

func newFake(program func(pod.Streams, <-chan int) int) *fake {
	return &fake{program: program, signals: make(chan int, 10), exit: make(chan int, 1), state: lifecycle.ContainerCreated}
}

const fullID = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func (f *fake) it() status.Container {
	f.mu.Lock()
	defer f.mu.Unlock()
	return status.Container{
		ID: fullID, Name: "c", PodName: "c", Image: "img", State: f.state, Spec: f.made,
		CreatedAt: time.Now(), StartedAt: time.Now(), Command: []string{"sh"},
	}
}

func (f *fake) CreateSolo(_ context.Context, p spec.Pod, c spec.Container) (status.Container, error) {
	if c.Image == "none" || strings.HasPrefix(c.Image, "far/") && !f.pulled.Load() {
		return status.Container{}, fault.New(fault.NotFound, "image none: not here")
	}
	f.mu.Lock()
	f.pod, f.made = p, c
	f.mu.Unlock()
	return f.it(), nil
}

// keep duplicates what the server closes when the call ends.
func keep(f *os.File, mode int) *os.File {
	if f == nil {
		return nil
	}
	g, err := os.OpenFile(fd.Path(f), mode, 0)
	if err != nil {
		panic(err)
	}
	return g
}

func (f *fake) StartContainer(_ context.Context, _ string, io pod.Streams) error {
	if f.refuse != nil {
		return f.refuse
	}
	mine := pod.Streams{Stdin: keep(io.Stdin, os.O_RDONLY), Stdout: keep(io.Stdout, os.O_WRONLY), Stderr: keep(io.Stderr, os.O_WRONLY)}
	f.mu.Lock()
	f.state = lifecycle.ContainerRunning
	f.mu.Unlock()
	go func() {
		code := f.program(mine, f.signals)
		for _, s := range []*os.File{mine.Stdin, mine.Stdout, mine.Stderr} {
			if s != nil {
				_ = s.Close()
			}
		}
		f.exit <- code
	}()
	return nil
}

func (f *fake) Waiter(_ string, cond status.WaitCondition) (func(context.Context) (status.Exit, error), error) {
	return func(ctx context.Context) (status.Exit, error) {
		if cond == status.WaitRemoved {
			return status.Exit{}, nil
		}
		select {
		case code := <-f.exit:
			return status.Exit{Code: code}, nil
		case <-ctx.Done():
			return status.Exit{}, ctx.Err()
		}
	}, nil
}

func (f *fake) WaitContainer(ctx context.Context, ref string, c status.WaitCondition) (status.Exit, error) {
	w, _ := f.Waiter(ref, c)
	return w(ctx)
}

func (f *fake) KillContainer(_ context.Context, _ string, n int) error { f.signals <- n; return nil }
func (f *fake) Containers(status.Filter) []status.Container            { return []status.Container{f.it()} }
func (f *fake) Pods(status.Filter) []status.Pod                        { return nil }

func (f *fake) Container(ref string) (status.Container, error) {
	if ref != "c" && ref != fullID {
		return status.Container{}, fault.New(fault.NotFound, "container "+ref+": not found")
	}
	return f.it(), nil
}

func (f *fake) RemoveContainer(context.Context, string, pod.RemoveOptions) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed++
	return nil
}

// shelf has the images that were pulled.
type shelf struct {
	server.ImageStore
	*fake
}

func (s shelf) Resolve(_ context.Context, name string) (image.Image, error) {
	if name == "none" || strings.HasPrefix(name, "far/") && !s.pulled.Load() {
		return image.Image{}, fault.New(fault.NotFound, "image "+name+": not here")
	}
	return image.Image{ID: "sha256:1"}, nil
}

func (s shelf) Config(string) ([]byte, error) { return []byte("{}"), nil }

// far is a registry with every image below far/.
type far struct{ *fake }

func (r far) Pull(_ context.Context, name string, o wish.PullOptions) (image.Image, error) {
	r.asked.Add(1)
	if !strings.HasPrefix(name, "far/") {
		return image.Image{}, fault.New(fault.NotFound, "pull "+name+": the registry does not have it")
	}
	o.Progress(api.PullProgress{Layer: "0123456789ab", Step: "downloading", Done: 1, Total: 2_000_000})
	r.pulled.Store(true)
	return image.Image{ID: "sha256:2"}, nil
}

func (r far) Push(_ context.Context, name string, _ wish.PushOptions) (digest.Digest, error) {
	if !strings.HasPrefix(name, "far/") {
		return "", fault.New(fault.Denied, "push "+name+": not yours")
	}
	return digest.FromString(name), nil
}

func (r far) Login(_ context.Context, host string, a api.RegistryAuth, _ func(api.PullProgress)) error {
	if a.Username != "me" || a.Password != "secret" {
		return fault.New(fault.Denied, "login: "+host+": wrong")
	}
	return nil
}

// serve runs a daemon around f on a socket until stop.
func serve(t *testing.T, f *fake, path string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- server.Serve(ctx, l, server.Services{Engine: f, Images: shelf{fake: f}, Registries: far{f}, Log: slog.New(slog.DiscardHandler)})
	}()
	var once sync.Once
	return func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// result is what a command line left behind.
type result struct {
	code     int
	out, err string
}

// line runs a command line against a fake daemon.
func line(t *testing.T, f *fake, stdin string, args ...string) result {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	defer serve(t, f, path)()
	return with(t, func(context.Context) (*client.Client, error) { return client.Dial(path) }, stdin, args...)
}

func with(t *testing.T, dial func(context.Context) (*client.Client, error), stdin string, args ...string) result {
	t.Helper()
	return at(t, "", dial, stdin, args...)
}

// at is with, in somebody's home.
func at(t *testing.T, home string, dial func(context.Context) (*client.Client, error), stdin string, args ...string) result {
	t.Helper()
	in, inw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inw.WriteString(stdin); err != nil {
		t.Fatal(err)
	}
	_ = inw.Close()
	defer in.Close()
	var outs [2]string
	var files [2]*os.File
	var readers sync.WaitGroup
	for i := range files {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		files[i] = w
		readers.Go(func() {
			b, _ := io.ReadAll(r)
			outs[i] = string(b)
			_ = r.Close()
		})
	}
	code := Main(t.Context(), Env{
		Args: args, Stdin: in, Stdout: files[0], Stderr: files[1], Dial: dial,
		LookupEnv: func(name string) (string, bool) { return home, name == "HOME" && home != "" }, About: api.About{Version: "test"},
	})
	_ = files[0].Close()
	_ = files[1].Close()
	readers.Wait()
	return result{code, outs[0], outs[1]}
}

func TestRunStreamsAndExitCode(t *testing.T) {
	f := newFake(func(s pod.Streams, _ <-chan int) int {
		b, _ := io.ReadAll(s.Stdin)
		_, _ = s.Stdout.WriteString("out:" + string(b))
		_, _ = s.Stderr.WriteString("err")
		return 7
	})
	got := line(t, f, "typed", "run", "-i", "--name", "c", "img", "cat")
	if d := cmp.Diff(result{7, "out:typed", "err"}, got, cmp.AllowUnexported(result{})); d != "" {
		t.Error(d)
	}
	if f.made.Name != "c" || !f.made.StdinOnce || f.pod.Owner != "cli" {
		t.Errorf("asked %+v in %+v", f.made, f.pod)
	}
}

// Everything that was written arrives, however fast the end comes.
func TestRunLosesNoOutput(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<16)
	f := newFake(func(s pod.Streams, _ <-chan int) int {
		_, _ = s.Stdout.WriteString(big)
		return 0
	})
	if got := line(t, f, "", "run", "--rm", "img"); got.code != 0 || got.out != big || got.err != "" {
		t.Errorf("code %d, %d bytes, %q", got.code, len(got.out), got.err)
	}
}

func TestRunRefusals(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse error
		args   []string
		want   result
	}{
		{"missing command", &status.StartError{Code: 127, Err: fault.New(fault.NotFound, `container c: start: exec "x": command not found`)},
			[]string{"run", "img", "x"}, result{127, "", "carob: container c: start: exec \"x\": command not found\n"}},
		{"not executable", &status.StartError{Code: 126, Err: errors.New("container c: start: permission denied")},
			[]string{"run", "img", "x"}, result{126, "", "carob: container c: start: permission denied\n"}},
		{"missing image", nil, []string{"run", "none"}, result{125, "", "carob: pull none: the registry does not have it\n"}},
		{"bad value", nil, []string{"run", "--memory", "lots", "img"},
			result{125, "", "carob: --memory \"lots\": not a size; write bytes or a number with b, k, m, g\n"}},
		{"unknown flag", nil, []string{"run", "--frob", "img"}, result{125, "", "carob: run: unknown flag: --frob (see 'carob run --help')\n"}},
		{"no image", nil, []string{"run"}, result{125, "", "carob: needs an image: carob run [FLAGS] IMAGE [COMMAND] [ARG…]\n"}},
		{"unknown command", nil, []string{"frob"}, result{1, "", "carob: unknown command \"frob\" for \"carob\"\n"}},
		{"missing argument", nil, []string{"stop"}, result{1, "", "carob: stop: requires at least 1 arg(s), only received 0 (see 'carob stop --help')\n"}},
		{"unknown container", nil, []string{"rm", "x"}, result{1, "", "carob: container x: not found\n"}},
		{"rm -f forgives", nil, []string{"rm", "-f", "x"}, result{0, "", "carob: note: container x: not found\n"}},
		{"words too many", nil, []string{"ps", "x"}, result{1, "", "carob: ps: takes no arguments, not \"x\" (see 'carob ps --help')\n"}},
		{"not a number", nil, []string{"run", "--stop-timeout", "x", "img"}, result{125, "", "carob: run: invalid argument \"x\" for \"--stop-timeout\" flag (see 'carob run --help')\n"}},
		{"no manifest", nil, []string{"apply"}, result{1, "", "carob: apply: name a manifest with -f (see 'carob apply --help')\n"}},
		{"bad output", nil, []string{"ps", "-o", "xml"}, result{1, "", "carob: -o xml: use table, wide, json, yaml, name\n"}},
		{"terminal", nil, []string{"run", "-it", "img"}, result{125, "", "carob: -it: standard input is not a terminal; use -i alone\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(nil)
			f.refuse = c.refuse
			got := line(t, f, "", c.args...)
			if d := cmp.Diff(c.want, got, cmp.AllowUnexported(result{})); d != "" {
				t.Error(d)
			}
			if c.refuse != nil && f.removed != 1 {
				t.Error("the container that did not start stays")
			}
		})
	}
}

func TestDetached(t *testing.T) {
	f := newFake(func(pod.Streams, <-chan int) int { return 0 })
	if got := line(t, f, "", "run", "-d", "img"); got.code != 0 || got.out != fullID+"\n" {
		t.Errorf("got %+v", got)
	}
}

// Signals go to the container: the first and the second.
func TestSignalsAreForwarded(t *testing.T) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(func(s pod.Streams, signals <-chan int) int {
		sum := 0
		for range 2 {
			if err := self.Signal(session.Forwarded()[4]); err != nil { // USR1
				return 1
			}
			sum += <-signals
		}
		return sum
	})
	if got := line(t, f, "", "run", "img"); got.code != 20 {
		t.Errorf("got %+v", got)
	}
}

// The daemon dies in the middle: output goes on, and the next daemon tells the exit
// code.
func TestDaemonDiesInTheMiddle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	die, dead := make(chan struct{}), make(chan struct{})
	f := newFake(func(s pod.Streams, _ <-chan int) int {
		_, _ = s.Stdout.WriteString("before ")
		close(die)
		<-dead
		_, _ = s.Stdout.WriteString("after")
		return 9
	})
	stop := serve(t, f, path)
	go func() {
		<-die
		stop()
		close(dead)
	}()
	dials := 0
	got := with(t, func(context.Context) (*client.Client, error) {
		if dials++; dials > 1 {
			<-dead
			t.Cleanup(serve(t, f, path))
		}
		return client.Dial(path)
	}, "", "run", "img")
	if got.code != 9 || got.out != "before after" {
		t.Errorf("got %+v", got)
	}
}

// A daemon that is killed has not answered what it was asked. Whoever only looks asks the
// next one; whoever changes something is told.
func TestDaemonDiesBeforeItAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	dying, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		if conn, err := dying.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		_ = dying.Close()
		close(gone)
	}()
	f := newFake(nil)
	dials := 0
	dial := func(context.Context) (*client.Client, error) {
		dials++
		if dials > 1 {
			<-gone
			t.Cleanup(serve(t, f, path))
		}
		return client.Dial(path)
	}
	if got := with(t, dial, "", "ps", "-aq"); got.code != 0 || got.out != "001122334455\n" {
		t.Errorf("got %+v", got)
	}
	if dials != 2 {
		t.Errorf("%d connections", dials)
	}
}

func TestPs(t *testing.T) {
	f := newFake(nil)
	if got := line(t, f, "", "ps", "-a", "--format", "{{.ID}} {{.Names}} {{.Status}}"); got.out != "001122334455 c Created\n" {
		t.Errorf("got %+v", got)
	}
	if got := line(t, f, "", "ps", "--filter", "name=zzz", "-q"); got.out != "" || got.code != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestCompletion(t *testing.T) {
	f := newFake(nil)
	if got := line(t, f, "", "__complete", "stop", ""); !strings.HasPrefix(got.out, "c\n") {
		t.Errorf("got %+v", got)
	}
	if got := line(t, f, "", "__complete", "ps", "-o", ""); !strings.HasPrefix(got.out, "table\nwide\njson\n") {
		t.Errorf("got %+v", got)
	}
}

func TestDetacher(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []string
		out  string
		left bool
	}{
		{"nothing", []string{"abc"}, "abc", false},
		{"at once", []string{"a\x10\x11b"}, "a", true},
		{"in pieces", []string{"a\x10", "\x11"}, "a", true},
		{"half", []string{"a\x10", "b"}, "a\x10b", false},
		{"twice the first", []string{"\x10\x10\x11"}, "\x10", true},
		{"other order", []string{"\x11\x10x"}, "\x11\x10x", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDetacher([]byte("\x10\x11"))
			var out []byte
			var left bool
			for _, in := range c.in {
				b, l := d.feed([]byte(in))
				out, left = append(out, b...), left || l
			}
			if string(out) != c.out || left != c.left {
				t.Errorf("got %q, %v", out, left)
			}
		})
	}
}
