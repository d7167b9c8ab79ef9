package live

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v3"
	"github.com/gdamore/tcell/v3/vt"

	"carob/internal/fault"
	"carob/internal/look/ink"
	"carob/internal/look/recorded"
	"carob/internal/look/sample"
	"carob/internal/look/watch"
)

// table has a container of Docker and a group whose name is hostile.
var table = `
1 0 0 1 / /sbin/init
  mountinfo: 20 1 8:1 / / rw - ext4 /dev/sda rw\n30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
50 1 0 50,1 /docker/` + strings.Repeat("c", 64) + ` nginx
  mnt=51 pid=52 uts=53 ipc=54
70 1 0 70 / evil` + "\x1b]0;owned\x07" + `
  mnt=71
`

func root(t *testing.T) string {
	t.Helper()
	all, err := recorded.Parse(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := recorded.Write(dir, all); err != nil {
		t.Fatal(err)
	}
	cg := filepath.Join(dir, "sys/fs/cgroup/docker", strings.Repeat("c", 64))
	if err := os.MkdirAll(cg, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cg, "cgroup.procs"), []byte("50\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// terminal is an emulator with a view running in it.
type terminal struct {
	*testing.T
	vt.MockTerm
	ended chan error
}

func begin(t *testing.T, o Options) terminal {
	t.Helper()
	t.Setenv("LC_ALL", "C.UTF-8")
	term := terminal{t, vt.NewMockTerm(vt.MockOptSize{X: 100, Y: 20}), make(chan error, 1)}
	o.Root, o.Interval, o.Sort = root(t), 250*time.Millisecond, Orders()[0]
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { term.ended <- run(ctx, term.MockTerm, o) }()
	return term
}

// text is what stands on the screen.
func (term terminal) text() string {
	var b strings.Builder
	size, err := term.WindowSize()
	if err != nil {
		term.Fatal(err)
	}
	for y := range size.Height {
		for x := range size.Width {
			b.WriteString(term.GetCell(vt.Coord{X: vt.Col(x), Y: vt.Row(y)}).C)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// shows waits for a text on the screen.
func (term terminal) shows(want string) {
	term.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(term.text(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			term.Fatalf("%q is not shown:\n%s", want, term.text())
		}
	}
}

func (term terminal) ends() {
	term.Helper()
	select {
	case err := <-term.ended:
		if err != nil {
			term.Error(err)
		}
	case <-time.After(10 * time.Second):
		term.Fatal("it goes on")
	}
}

// TestRun drives the view in an emulated terminal through its pages to the end.
func TestRun(t *testing.T) {
	term := begin(t, Options{Colour: true})
	term.shows("cccccccccccc")
	term.SendRaw([]byte("a"))
	term.shows("evil?]0;owned?")
	term.SendRaw([]byte("/doc\r"))
	term.shows("filter doc")
	term.SendRaw([]byte("\r"))
	term.shows("container of docker, process 50")
	term.SetSize(vt.Coord{X: 60, Y: 15})
	term.shows("1–13 of")
	term.SendRaw([]byte("\x1b"))
	term.shows("RX/s") // an escape and a letter at once would be alt and the letter
	term.SendRaw([]byte("p"))
	term.shows("PAUSED")
	term.SendRaw([]byte("\x1b[B\x1b[Ap"))
	term.SendRaw([]byte("?"))
	term.shows("help")
	if got := term.GetTitle(); strings.Contains(got, "owned") {
		t.Errorf("a process has set the title: %q", got)
	}
	term.SendRaw([]byte("q"))
	term.ends()
}

// TestInterrupted ends by control-c, which is a key there and no signal.
func TestInterrupted(t *testing.T) {
	term := begin(t, Options{})
	term.shows("cccccccccccc")
	term.SendRaw([]byte("\x03"))
	term.ends()
}

// TestReadFails ends with what went wrong.
func TestReadFails(t *testing.T) {
	asks, answers := make(chan ask, 1), make(chan answer, 1)
	r, err := sample.New(root(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	asks <- ask{sample: true}
	close(asks)
	read(ctx, r, asks, answers)
	if a := <-answers; a.err == nil {
		t.Errorf("%+v", a)
	}
	if _, err := Once(ctx, Options{Root: root(t), Interval: time.Second}); err == nil {
		t.Error("once: no error")
	}
}

func TestOnce(t *testing.T) {
	got, err := Once(t.Context(), Options{Root: root(t), Interval: time.Millisecond})
	if err != nil || len(got.Rows) != 2 || got.Seconds <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCheck(t *testing.T) {
	good := Options{Interval: time.Second, Sort: "cpu"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, o := range []Options{{Interval: time.Millisecond, Sort: "cpu"}, {Interval: time.Hour, Sort: "cpu"}, {Interval: time.Second, Sort: "luck"}} {
		if err := o.Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for key, want := range map[tcell.Key]watch.Key{
		tcell.KeyUp: watch.Up, tcell.KeyDown: watch.Down, tcell.KeyLeft: watch.Left, tcell.KeyRight: watch.Right, tcell.KeyPgUp: watch.PageUp,
		tcell.KeyPgDn: watch.PageDown, tcell.KeyHome: watch.Home, tcell.KeyEnd: watch.End, tcell.KeyEnter: watch.Enter, tcell.KeyEscape: watch.Escape,
		tcell.KeyBackspace: watch.Backspace, tcell.KeyBackspace2: watch.Backspace, tcell.KeyCtrlC: watch.Interrupt, tcell.KeyF1: "",
	} {
		if got := keyOf(tcell.NewEventKey(key, "", tcell.ModNone)); got != want {
			t.Errorf("%s: %q, want %q", tcell.KeyNames[key], got, want)
		}
	}
	if got := keyOf(tcell.NewEventKey(tcell.KeyRune, "é", tcell.ModNone)); got != "é" {
		t.Errorf("é: %q", got)
	}
	if got := keyOf(tcell.NewEventKey(tcell.KeyRune, "q", tcell.ModAlt)); got != "" {
		t.Errorf("alt-q: %q", got)
	}
}

// TestStyles shows every style of the house in one of its own.
func TestStyles(t *testing.T) {
	seen := map[tcell.Style]ink.Style{}
	for _, st := range []ink.Style{ink.Plain, ink.Bold, ink.Dim, ink.Red, ink.Yellow, ink.Green, ink.Hue} {
		got := style(watch.Span{Ink: st}, true)
		if other, ok := seen[got]; ok {
			t.Errorf("%v is shown as %v is", st, other)
		}
		seen[got] = st
	}
	for _, colour := range []bool{true, false} {
		if style(watch.Span{Reverse: true}, colour) == style(watch.Span{}, colour) {
			t.Error("what is selected looks like the rest")
		}
		if style(watch.Span{Ink: ink.Red}, colour) == style(watch.Span{}, colour) {
			t.Error("alarm looks like the rest")
		}
	}
	for _, st := range []ink.Style{ink.Red, ink.Yellow, ink.Green, ink.Hue} {
		if got := style(watch.Span{Ink: st}, false); got.GetForeground() != tcell.ColorDefault {
			t.Errorf("%v has a colour where none is wanted", st)
		}
	}
}

// TestFallbacks has a stand-in of one column for all that the view draws beside ASCII.
func TestFallbacks(t *testing.T) {
	have := map[rune]bool{}
	for _, f := range fallbacks() {
		for _, r := range f[0] {
			have[r] = true
		}
		if len(f[1]) != 1 || f[1][0] > '~' {
			t.Errorf("%q for %q", f[1], f[0])
		}
	}
	m := watch.NewModel(time.Second, watch.View{Order: "cpu"})
	m.Resize(200, 60)
	s, err := sample.New(root(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		now, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.Take(now)
	}
	for _, key := range []watch.Key{"a", "r", watch.Enter, watch.Escape, "?"} {
		m.Press(key)
		if m.Asks() != "" {
			m.Explain(s.Details(m.Asks()))
		}
		for _, r := range m.Draw().Text() {
			if r > '~' && !have[r] {
				t.Errorf("no stand-in for %q", r)
			}
		}
	}
}
