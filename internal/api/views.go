package api

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"carob/internal/fault"
	"carob/internal/logfile"
	"carob/internal/pod"
	"carob/internal/status"
)

// minInterval is the shortest time between two reports of stats.
const minInterval = 100 * time.Millisecond

type views struct{ s Services }

func (s *views) entries() []entry {
	e := s.s.Engine
	return []entry{
		plain(Containers, func(_ context.Context, f pod.Filter) ([]status.Container, error) { return e.Containers(f), nil }),
		plain(Container, func(_ context.Context, p Ref) (status.Container, error) { return e.Container(p.Ref) }),
		plain(InspectContainer, func(ctx context.Context, p Ref) (pod.ContainerInspection, error) {
			return e.InspectContainer(ctx, p.Ref)
		}),
		plain(Pods, func(_ context.Context, f pod.Filter) ([]status.Pod, error) { return e.Pods(f), nil }),
		plain(InspectPod, func(ctx context.Context, p Ref) (pod.PodInspection, error) { return e.InspectPod(ctx, p.Ref) }),
		plain(Top, func(ctx context.Context, p Ref) ([]status.Process, error) { return e.Top(ctx, p.Ref) }),
		on(Stats, s.stats), on(Events, s.events), on(Logs, s.logs),
		plain(Version, func(context.Context, None) (About, error) { return s.s.Host.About, nil }),
		plain(Info, s.info),
		plain(Reload, func(ctx context.Context, _ None) (Reloaded, error) { return s.s.Reload(ctx) }),
	}
}

func (s *views) stats(ctx context.Context, p StatsParams, t turnOf[[]status.Stats]) (None, error) {
	for {
		now, err := s.s.Engine.Stats(ctx, p.Refs...)
		if err == nil {
			err = s.traffic(now)
		}
		if err != nil {
			return None{}, err
		}
		if err := t.Emit(now); err != nil {
			return None{}, err
		}
		if p.Interval == 0 {
			return None{}, nil
		}
		sleep(ctx, max(p.Interval, minInterval))
		if err := ctx.Err(); err != nil {
			return None{}, err
		}
	}
}

// EventsParams say with which event to begin: 1 is the oldest that is kept, 0 the next
// one to come. Until, if there is one, ends the call; what happened by then has come.
type EventsParams struct {
	From  uint64    `json:"from,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

func (s *views) events(ctx context.Context, p EventsParams, t turnOf[status.Event]) (None, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the subscription
	ch := s.s.Engine.Events(ctx, p.From)
	var end <-chan time.Time
	if !p.Until.IsZero() {
		end = time.After(time.Until(p.Until))
	}
	for {
		select {
		case ev, ok := <-ch:
			if !ok {
				return None{}, ctx.Err()
			}
			if err := t.Emit(ev); err != nil {
				return None{}, err
			}
		case <-end:
			return None{}, emitKnown(ch, t)
		}
	}
}

// emitKnown emits what a subscription has by now.
func emitKnown(ch <-chan status.Event, t turnOf[status.Event]) error {
	for range len(ch) {
		ev, ok := <-ch
		if !ok {
			return nil
		}
		if err := t.Emit(ev); err != nil {
			return err
		}
	}
	return nil
}

func (s *views) logs(ctx context.Context, p LogsParams, t turnOf[None]) (None, error) {
	c, err := s.s.Engine.Container(p.Ref)
	if err != nil {
		return None{}, err
	}
	if c.LogPath == "" {
		return None{}, fault.New(fault.NotFound, "logs "+c.Name+": the container has no log")
	}
	ctx, cancel := context.WithCancel(ctx)
	o := logfile.Options{Tail: p.Tail, Since: p.Since, Until: p.Until, Timestamps: p.Timestamps}
	wait := func() {}
	if p.Follow {
		until, done := context.WithCancel(ctx)
		if !p.Until.IsZero() {
			until, done = context.WithDeadline(ctx, p.Until)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			defer done()
			_, _ = s.s.Engine.WaitContainer(until, c.ID, pod.WaitExit) // ended, gone, over or cancelled: nothing more comes
		}()
		o.Ended = ended
		wait = func() { <-ended }
	}
	defer wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { // a write that blocks ends with the call
		closeFiles(t.Stdout, t.Stderr)
	})
	defer stop()
	err = logfile.Read(ctx, c.LogPath, o, writer(t.Stdout), writer(t.Stderr))
	if fault.Is(err, fault.NotFound) && c.StartedAt.IsZero() {
		return None{}, nil // not started yet: nothing was logged
	}
	if errors.Is(err, os.ErrClosed) {
		return None{}, context.Cause(ctx)
	}
	return None{}, err
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // a second close later only says so
		}
	}
}

// writer drops what nobody asked for.
func writer(f *os.File) io.Writer {
	if f == nil {
		return io.Discard
	}
	return f
}

func (s *views) info(context.Context, None) (Host, error) {
	h := s.s.Host
	h.Handlers = s.s.Handlers()
	h.Containers = map[string]int{"running": 0, "paused": 0, "created": 0, "exited": 0}
	for _, c := range s.s.Engine.Containers(pod.Filter{}) {
		state := string(c.State)
		if c.Paused {
			state = "paused"
		}
		h.Containers[state]++
	}
	for _, p := range s.s.Engine.Pods(pod.Filter{}) {
		if !p.Spec.Solo {
			h.Pods++
		}
	}
	h.Images = len(s.s.Images.List())
	return h, nil
}
