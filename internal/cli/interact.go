package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/cli/entry"
	"carob/internal/fault"
	"carob/internal/sys/session"
)

// drainTime is how long output may rest after the process has ended before its
// streams are given up: something else may hold them open.
const drainTime = 2 * time.Second

// interaction is a terminal or pipes connected with a process: run, exec, start -a and
// attach.
type interaction struct {
	*app
	stdin, tty bool
	keys       []byte
	proxy      bool
	// signal sends a signal to the process, resize sets its terminal's size, wait
	// learns its end anew after the daemon was away.
	signal func(ctx context.Context, id string, n int) error
	wait   func(ctx context.Context, id string) (api.Ended, error)

	id atomic.Pointer[string]
	// made says that there is something to signal soon, ready (closed) that it runs.
	made    atomic.Bool
	running atomic.Bool
	ready   chan struct{}
	cancel  context.CancelFunc
	left    atomic.Int32 // exit code + 1 when the user left before the end
}

// caller makes the call of an interaction. started is to be called when the process
// runs, with the ID for signals.
type caller func(ctx context.Context, files api.Files, started func(id string)) (api.Ended, error)

// run carries an interaction through: streams, terminal, signals, the end.
func (i *interaction) run(ctx context.Context, do caller) error {
	if i.tty && i.stdin && !term.IsTerminal(int(i.Stdin.Fd())) {
		return fault.New(fault.Invalid, "-it: standard input is not a terminal; use -i alone")
	}
	ctx, i.cancel = context.WithCancel(ctx)
	defer i.cancel()
	i.ready = make(chan struct{})
	s, err := i.open()
	if err != nil {
		return err
	}
	defer s.close()
	restore, err := i.raw()
	if err != nil {
		return err
	}
	defer restore()
	stop := i.signals(ctx)
	defer stop()
	ended, err := do(ctx, s.remote, func(id string) {
		s.passed()
		i.id.Store(&id)
		if !i.running.Swap(true) {
			close(i.ready)
		}
		s.pump()
	})
	s.passed()
	if errors.Is(err, client.ErrLost) && i.running.Load() && i.left.Load() == 0 {
		ended, err = i.again(ctx)
	}
	return i.end(s, ended, err)
}

// end waits for the last output and gives the exit code.
func (i *interaction) end(s *streams, ended api.Ended, err error) error {
	if code := i.left.Load(); code > 0 {
		return leave(int(code) - 1)
	}
	s.drain(err == nil)
	if err != nil {
		return err
	}
	if ended.Exit == nil {
		return nil
	}
	return leave(ended.Exit.Code)
}

func leave(code int) error {
	if code == 0 {
		return nil
	}
	return &entry.Exit{Code: code}
}

// again asks a restarted daemon for the end of a process whose daemon went away. The
// streams go on meanwhile: they never went through it.
func (i *interaction) again(ctx context.Context) (api.Ended, error) {
	for {
		i.forget()
		ended, err := i.wait(ctx, *i.id.Load())
		if errors.Is(err, client.ErrLost) && ctx.Err() == nil {
			continue // Dial waits until a daemon answers: this does not spin
		}
		return ended, err
	}
}

// raw puts the terminal into raw mode and returns what restores it.
func (i *interaction) raw() (func(), error) {
	if !i.tty || !i.stdin {
		return func() {}, nil
	}
	n := int(i.Stdin.Fd())
	old, err := term.MakeRaw(n)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "terminal", err)
	}
	var once sync.Once
	return func() { once.Do(func() { _ = term.Restore(n, old) }) }, nil // a terminal that is gone needs none
}

// size is that of the caller's terminal, zero when the process gets none.
func (a *app) size(tty bool) api.Size {
	if !tty {
		return api.Size{}
	}
	for _, f := range []*os.File{a.Stdout, a.Stdin} {
		if cols, rows, err := term.GetSize(int(f.Fd())); err == nil {
			return api.Size{Rows: uint16(rows), Cols: uint16(cols)}
		}
	}
	return api.Size{}
}

// signals forwards signals and changes of the terminal's size until stop is called.
func (i *interaction) signals(ctx context.Context) (stop func()) {
	ch := make(chan os.Signal, 16)
	signal.Notify(ch, session.Forwarded()...)
	if i.tty {
		signal.Notify(ch, session.Resize())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range ch {
			i.handle(ctx, s)
		}
	}()
	return func() {
		signal.Stop(ch)
		close(ch)
		i.cancel() // one may wait for a start that does not come
		<-done
	}
}

func (i *interaction) handle(ctx context.Context, s os.Signal) {
	n := session.Number(s)
	if s == session.Resize() {
		if i.running.Load() {
			_, _ = call(ctx, i.app, api.Resize, api.ResizeParams{Ref: *i.id.Load(), Size: i.size(true)}) // the next change tries again
		}
		return
	}
	if i.proxy && (i.made.Load() || !session.Asks(n)) {
		select { // before it runs nothing can be signalled, and a start is short
		case <-i.ready:
		case <-ctx.Done():
			return
		}
		if err := i.signal(ctx, *i.id.Load(), n); err == nil || !errors.Is(err, client.ErrLost) {
			return // what has ended needs no signal
		}
	}
	if session.Ends(n) { // nobody to pass it to: it is for us
		i.leave(128 + n)
	}
}

// leave ends the interaction and lets the process go on.
func (i *interaction) leave(code int) {
	i.left.CompareAndSwap(0, int32(code)+1)
	i.cancel()
}

// streams are the two ends of a process's standard streams.
type streams struct {
	i            *interaction
	remote       api.Files
	in, out, err *os.File
	once         sync.Once
	pumps        sync.WaitGroup
	ending       atomic.Bool
}

// open makes the pipes: the process's ends go to the daemon, ours stay.
func (i *interaction) open() (s *streams, err error) {
	s = &streams{i: i}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if i.stdin {
		if s.remote.Stdin, s.in, err = os.Pipe(); err != nil {
			return nil, fault.Wrap(fault.Internal, "streams", err)
		}
	}
	if s.out, s.remote.Stdout, err = os.Pipe(); err != nil {
		return nil, fault.Wrap(fault.Internal, "streams", err)
	}
	if !i.tty {
		if s.err, s.remote.Stderr, err = os.Pipe(); err != nil {
			return nil, fault.Wrap(fault.Internal, "streams", err)
		}
	}
	return s, nil
}

// passed closes the process's ends here, so that the end of output can be seen.
func (s *streams) passed() {
	for _, f := range []**os.File{&s.remote.Stdin, &s.remote.Stdout, &s.remote.Stderr} {
		if *f != nil {
			_ = (*f).Close() // the daemon has its own
			*f = nil
		}
	}
}

func (s *streams) close() {
	s.passed()
	for _, f := range []*os.File{s.in, s.out, s.err} {
		if f != nil {
			_ = f.Close() // a second close only says so
		}
	}
}

// pump starts copying. The reader of standard input is not waited for: nothing can
// interrupt a read of a terminal, and the process ends soon after.
func (s *streams) pump() {
	s.once.Do(func() {
		s.pumps.Go(func() { s.copyOut(s.out, s.i.Stdout) })
		if s.err != nil {
			s.pumps.Go(func() { s.copyOut(s.err, s.i.Stderr) })
		}
		if s.in != nil {
			go s.copyIn()
		}
	})
}

func (s *streams) copyOut(from, to *os.File) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				_ = from.Close() // nobody reads: the process is to see that too
				return
			}
		}
		if err != nil {
			return
		}
		if s.ending.Load() {
			_ = from.SetReadDeadline(time.Now().Add(drainTime)) // pipes have deadlines
		}
	}
}

func (s *streams) copyIn() {
	keys := newDetacher(s.i.keys)
	if !s.i.tty {
		keys = newDetacher(nil)
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := s.i.Stdin.Read(buf)
		out, detached := keys.feed(buf[:n])
		if _, werr := s.in.Write(out); werr != nil {
			return
		}
		if detached {
			_, _ = s.i.Stdout.WriteString("\r\n") // the shell's prompt gets a line of its own
			s.i.leave(0)
			return
		}
		if err != nil {
			_ = s.in.Close() // the process sees the end of its input
			return
		}
	}
}

// drain waits until all output has been written. When the process has ended, output
// that rests longer than drainTime is given up.
func (s *streams) drain(ended bool) {
	if !ended {
		_ = s.out.Close() // what comes now has no reader
		if s.err != nil {
			_ = s.err.Close()
		}
	}
	s.ending.Store(true)
	late := time.Now().Add(drainTime)
	_ = s.out.SetReadDeadline(late) // a closed pipe has no deadline and needs none
	if s.err != nil {
		_ = s.err.SetReadDeadline(late)
	}
	s.pumps.Wait()
}

// detacher finds the detach keys in what the user types and holds them back while
// they may still become the whole sequence.
type detacher struct {
	keys []byte
	seen int
}

func newDetacher(keys []byte) *detacher { return &detacher{keys: keys} }

// feed returns what is to be passed on, and whether the sequence is complete.
func (d *detacher) feed(in []byte) (out []byte, detached bool) {
	if len(d.keys) == 0 {
		return in, false
	}
	out = make([]byte, 0, len(in)+d.seen)
	for _, b := range in {
		switch {
		case b == d.keys[d.seen]:
			d.seen++
			if d.seen == len(d.keys) {
				return out, true
			}
		default:
			out = append(out, d.keys[:d.seen]...)
			d.seen = 0
			if b == d.keys[0] {
				d.seen = 1
			} else {
				out = append(out, b)
			}
			if d.seen == len(d.keys) {
				return out, true
			}
		}
	}
	return out, false
}
