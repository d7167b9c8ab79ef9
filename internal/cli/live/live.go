// Package live runs the live view in a terminal: it reads samples, gives keys and
// samples to the model of package watch, and puts what that draws on the screen. The
// terminal is as it was when Run returns, whatever ended it.
package live

import (
	"context"
	"fmt"
	"os/signal"
	"time"

	"github.com/gdamore/tcell/v3"

	"carob/internal/fault"
	"carob/internal/look/sample"
	"carob/internal/look/watch"
	"carob/internal/sys/session"
)

// Options say what is watched and how.
type Options struct {
	// Root is where proc and sys are, "" for this machine; RunDirs are carob's.
	Root     string
	RunDirs  []string
	Interval time.Duration
	Colour   bool
	// Filter, Sort and All are what the view begins with: words, one of Orders, and
	// whether sandboxes and groups that no engine runs are shown.
	Filter, Sort string
	All          bool
}

// Orders are what Sort may be, the usual one first.
func Orders() []string { return watch.OrderNames() }

// Check refuses what cannot be. It is Invalid.
func (o Options) Check() error {
	if o.Interval < watch.Fastest || o.Interval > watch.Slowest {
		return fault.New(fault.Invalid, fmt.Sprintf("--interval %s: from %s to %s", o.Interval, watch.Fastest, watch.Slowest))
	}
	_, err := watch.ParseOrder(o.Sort)
	return fault.Wrap(fault.Invalid, "--sort", err)
}

// View is what of a table is shown at first.
func (o Options) View() watch.View {
	return watch.View{Order: watch.Order(o.Sort), Filter: o.Filter, All: o.All}
}

// Once takes two samples an interval apart.
func Once(ctx context.Context, o Options) (watch.Table, error) {
	r, err := sample.New(o.Root, o.RunDirs)
	if err != nil {
		return watch.Table{}, err
	}
	before, err := r.Read(ctx)
	if err != nil {
		return watch.Table{}, err
	}
	select {
	case <-ctx.Done():
		return watch.Table{}, ctx.Err()
	case <-time.After(o.Interval):
	}
	now, err := r.Read(ctx)
	if err != nil {
		return watch.Table{}, err
	}
	return watch.Rates(before, now), nil
}

// Run shows the view in the terminal of the process until its user or a signal ends it.
func Run(ctx context.Context, o Options) error {
	ctx, stop := signal.NotifyContext(ctx, session.Quit()...)
	defer stop()
	tty, err := tcell.NewStdIoTty()
	if err != nil {
		return fault.Wrap(fault.Unavailable, "terminal", err)
	}
	return run(ctx, tty, o)
}

func run(ctx context.Context, tty tcell.Tty, o Options) error {
	r, err := sample.New(o.Root, o.RunDirs)
	if err != nil {
		return err
	}
	screen, err := open(tty)
	if err != nil {
		return fault.Wrap(fault.Unavailable, "terminal", err)
	}
	defer screen.Fini()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := loop{
		model: watch.NewModel(o.Interval, o.View()), screen: screen, colour: o.Colour,
		asks: make(chan ask, 1), answers: make(chan answer, 1), timer: time.NewTimer(0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		read(ctx, r, l.asks, l.answers)
	}()
	err = l.run(ctx)
	stop()
	close(l.asks)
	<-done
	return err
}

// ask is what the loop wants read, and answer what was.
type ask struct {
	sample  bool
	details string
}

type answer struct {
	sample  *sample.Sample
	details *sample.Details
	err     error
}

// read answers until there are no more questions. It reads beside the loop, so that keys
// are not kept waiting on a host with thousands of processes.
func read(ctx context.Context, r *sample.Reader, asks <-chan ask, answers chan<- answer) {
	for q := range asks {
		var a answer
		if q.sample {
			a.sample, a.err = r.Read(ctx)
		}
		if q.details != "" && a.err == nil {
			a.details = r.Details(q.details)
		}
		answers <- a // has room: there is one question at a time
	}
}

// loop is the state of a running view.
type loop struct {
	model   *watch.Model
	screen  tcell.Screen
	colour  bool
	asks    chan ask
	answers chan answer
	asked   bool // and not yet answered
	samples int
	timer   *time.Timer
}

func (l *loop) run(ctx context.Context) error {
	l.model.Resize(l.screen.Size())
	for {
		show(l.screen, l.model.Draw(), l.colour)
		select {
		case <-ctx.Done():
			return nil
		case <-l.timer.C:
			if !l.model.Paused() {
				l.ask(true)
			}
		case a := <-l.answers:
			if a.err != nil {
				return a.err
			}
			l.take(a)
		case e, ok := <-l.screen.EventQ():
			if !ok || l.event(e) == watch.Quit {
				return nil
			}
		}
	}
}

// ask asks, unless an answer is still to come: take asks again then.
func (l *loop) ask(sample bool) {
	if !l.asked {
		l.asked = true
		l.asks <- ask{sample, l.model.Asks()}
	}
}

func (l *loop) take(a answer) {
	l.asked = false
	if a.sample != nil {
		l.model.Take(a.sample)
		l.samples++
		l.timer.Reset(l.wait())
	}
	if a.details != nil {
		l.model.Explain(a.details)
	}
	if key := l.model.Asks(); key != "" && (a.details == nil || a.details.Key != key) {
		l.ask(false)
	}
}

// wait is how long until the next sample: the second comes soon, because only then are
// there rates.
func (l *loop) wait() time.Duration {
	if l.samples == 1 {
		return min(l.model.Interval(), 400*time.Millisecond)
	}
	return l.model.Interval()
}

func (l *loop) event(e tcell.Event) watch.Action {
	switch e := e.(type) {
	case *tcell.EventResize:
		l.model.Resize(e.Size())
		l.screen.Sync()
	case *tcell.EventError: // the terminal is gone
		return watch.Quit
	case *tcell.EventKey:
		return l.press(keyOf(e))
	}
	return watch.None
}

func (l *loop) press(k watch.Key) watch.Action {
	if k == "" {
		return watch.None
	}
	a := l.model.Press(k)
	switch a {
	case watch.Look:
		l.ask(false)
	case watch.Tick:
		l.timer.Reset(l.model.Interval())
	}
	return a
}
