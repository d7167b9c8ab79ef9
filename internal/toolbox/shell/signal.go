package shell

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carob/internal/toolbox/tool"
)

// effect is what a signal does to the shell.
type effect int

const (
	ends       effect = iota // the shell, as it would any process
	ignored                  // by a shell somebody types at
	interrupts               // the line being typed or run
	trapped                  // its action runs between two commands
)

// effectOf decides. A shell at a terminal survives what a person's keys send, as POSIX
// has it; that it ignores SIGTERM too holds only where it is not the first process of
// a container: there SIGTERM means that the container is to stop, and nobody else is
// there to hear it.
func effectOf(s syscall.Signal, hasTrap, interactive, first bool) effect {
	switch {
	case hasTrap:
		return trapped
	case interactive && s == syscall.SIGINT:
		return interrupts
	case interactive && (s == syscall.SIGQUIT || s == syscall.SIGTERM && !first):
		return ignored
	}
	return ends
}

// errInterrupted ends what a person interrupted: the line being typed, or run.
var errInterrupted = errors.New("interrupted")

// signals is the shell's side of the signals it gets.
type signals struct {
	interactive, first bool
	// asked brings all of them: main's, and those that traps add.
	asked chan os.Signal
	// came tells a waiting command that a trap's signal is pending.
	came chan struct{}
	// wake ends a wait for input; it is a pipe because poll(2) waits for input too.
	wake [2]int

	mu          sync.Mutex
	traps       map[syscall.Signal]string // signal → action, "" ignores it
	pending     []syscall.Signal
	cancel      context.CancelCauseFunc // of the line being run, nil between lines
	foreground  int                     // commands that get the terminal's signals themselves
	interrupted time.Time               // when that last was while such a command ran
	waiting     bool                    // for input
}

func newSignals(asked chan os.Signal) *signals {
	return &signals{
		first: os.Getpid() == 1, asked: asked, came: make(chan struct{}, 1),
		wake: [2]int{-1, -1}, traps: map[syscall.Signal]string{},
	}
}

// watch looks after the signals until stop is called.
func (s *signals) watch() (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case sig := <-s.asked:
				if n, ok := sig.(syscall.Signal); ok {
					s.receive(n)
				}
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// atTerminal makes the shell one that a person types at. Job control is not offered:
// the signals that would stop jobs are ignored, here and in every command, so that
// Ctrl-Z does not leave behind a stopped command and a shell that waits for it.
func (s *signals) atTerminal() error {
	signal.Ignore(syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interactive = true
	return unix.Pipe2(s.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
}

func (s *signals) receive(n syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	action, has := s.traps[n]
	switch effectOf(n, has, s.interactive, s.first) {
	case ends:
		tool.Die(n)
	case interrupts:
		s.interruptLocked()
	case trapped:
		if action != "" {
			s.pending = append(s.pending, n)
			select {
			case s.came <- struct{}{}:
			default: // it is told already
			}
		}
	}
}

// atOnce is how soon after an interrupt a command's end is counted as its effect, if not
// the signal itself was: it may catch the signal and end, or just have ended.
const atOnce = 200 * time.Millisecond

// interruptLocked leaves the decision to a command in the foreground: it got the
// terminal's signal too, and when it goes on, as a shell or an editor does, so does the
// line.
func (s *signals) interruptLocked() {
	if s.waiting || s.cancel == nil {
		_, _ = unix.Write(s.wake[1], []byte{0}) // a full pipe wakes as well
	}
	if s.foreground > 0 {
		s.interrupted = time.Now()
	} else if s.cancel != nil {
		s.cancel(errInterrupted)
	}
}

// begin is called before a line runs, and the function it returns after it. The context
// is cancelled by an interrupt only: what runs in the background outlives the line.
func (s *signals) begin() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	set := func(c context.CancelCauseFunc) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cancel, s.interrupted = c, time.Time{}
	}
	set(cancel)
	return ctx, func() { set(nil) }
}

// enter is called before a command runs in the foreground, and what it returns after it,
// with whether SIGINT ended the command.
func (s *signals) enter() (leave func(bySignal bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.foreground++; s.foreground == 1 {
		s.interrupted = time.Time{}
	}
	return func(bySignal bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.foreground--
		// That of a command may be known before the shell's own has been brought.
		came := bySignal || !s.interrupted.IsZero() && time.Since(s.interrupted) < atOnce
		if s.interactive && came && s.cancel != nil {
			s.cancel(errInterrupted)
		}
	}
}

// wasInterrupted reports whether an interrupt came while a foreground command was begun.
func (s *signals) wasInterrupted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.interactive && !s.interrupted.IsZero()
}

// await waits until a file descriptor has input or its end, or until an interrupt.
func (s *signals) await(fd int) error {
	s.mu.Lock()
	s.waiting = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting = false
	}()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(s.wake[0]), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if fds[1].Revents != 0 {
			var b [64]byte
			_, _ = unix.Read(s.wake[0], b[:]) // several interrupts are one
			return errInterrupted
		}
		return err
	}
}

// setTrap changes what a signal does: "-" is the default, "" ignores it.
func (s *signals) setTrap(n syscall.Signal, action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch action {
	case "-":
		delete(s.traps, n)
		signal.Notify(s.asked, n) // its default is an effect too
	case "":
		s.traps[n] = ""
		signal.Ignore(n) // commands inherit that
	default:
		s.traps[n] = action
		signal.Notify(s.asked, n)
	}
}

// due returns the action of a signal that came since the last command.
func (s *signals) due() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return "", false
	}
	n := s.pending[0]
	s.pending = s.pending[1:]
	if len(s.pending) == 0 {
		select { // nothing is left to tell
		case <-s.came:
		default:
		}
	}
	return s.traps[n], s.traps[n] != ""
}

// firstPending is the oldest signal whose action has not run.
func (s *signals) firstPending() syscall.Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return 0
	}
	return s.pending[0]
}
