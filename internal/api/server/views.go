package server

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/logfile"
	"carob/internal/status"
)

// minInterval is the shortest time between two reports of stats.
const minInterval = 100 * time.Millisecond

type views struct{ s Services }

func (s *views) entries() []entry {
	e := s.s.Engine
	return []entry{
		plain(api.Containers, func(_ context.Context, f status.Filter) ([]status.Container, error) { return e.Containers(f), nil }),
		plain(api.Container, func(_ context.Context, p api.Ref) (status.Container, error) { return e.Container(p.Ref) }),
		plain(api.InspectContainer, func(ctx context.Context, p api.Ref) (status.ContainerInspection, error) {
			return e.InspectContainer(ctx, p.Ref)
		}),
		plain(api.Pods, func(_ context.Context, f status.Filter) ([]status.Pod, error) { return e.Pods(f), nil }),
		plain(api.InspectPod, func(ctx context.Context, p api.Ref) (status.PodInspection, error) { return e.InspectPod(ctx, p.Ref) }),
		plain(api.Top, func(ctx context.Context, p api.Ref) ([]status.Process, error) { return e.Top(ctx, p.Ref) }),
		on(api.Stats, s.stats), on(api.Events, s.events), on(api.Logs, s.logs),
		plain(api.Version, func(context.Context, api.None) (api.About, error) { return s.s.Host.About, nil }),
		plain(api.Info, s.info),
		plain(api.Reload, func(ctx context.Context, _ api.None) (api.Reloaded, error) { return s.s.Reload(ctx) }),
	}
}

func (s *views) stats(ctx context.Context, p api.StatsParams, t turnOf[[]status.Stats]) (api.None, error) {
	for {
		now, err := s.s.Engine.Stats(ctx, p.Refs...)
		if err != nil {
			return api.None{}, err
		}
		if err := t.Emit(now); err != nil {
			return api.None{}, err
		}
		if p.Interval == 0 {
			return api.None{}, nil
		}
		sleep(ctx, max(p.Interval, minInterval))
		if err := ctx.Err(); err != nil {
			return api.None{}, err
		}
	}
}

func (s *views) events(ctx context.Context, p api.EventsParams, t turnOf[status.Event]) (api.None, error) {
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
				return api.None{}, ctx.Err()
			}
			if err := t.Emit(ev); err != nil {
				return api.None{}, err
			}
		case <-end:
			return api.None{}, emitKnown(ch, t)
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

func (s *views) logs(ctx context.Context, p api.LogsParams, t turnOf[api.None]) (api.None, error) {
	c, err := s.s.Engine.Container(p.Ref)
	if err != nil {
		return api.None{}, err
	}
	if c.LogPath == "" {
		return api.None{}, fault.New(fault.NotFound, "logs "+c.Name+": the container has no log")
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
			_, _ = s.s.Engine.WaitContainer(until, c.ID, status.WaitExit) // ended, gone, over or cancelled: nothing more comes
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
		return api.None{}, nil // not started yet: nothing was logged
	}
	if errors.Is(err, os.ErrClosed) {
		return api.None{}, context.Cause(ctx)
	}
	return api.None{}, err
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

func (s *views) info(context.Context, api.None) (api.Host, error) {
	h := s.s.Host
	h.Handlers = s.s.Handlers()
	h.Containers = map[string]int{"running": 0, "paused": 0, "created": 0, "exited": 0}
	for _, c := range s.s.Engine.Containers(status.Filter{}) {
		state := string(c.State)
		if c.Paused {
			state = "paused"
		}
		h.Containers[state]++
	}
	for _, p := range s.s.Engine.Pods(status.Filter{}) {
		if !p.Spec.Solo {
			h.Pods++
		}
	}
	h.Images = len(s.s.Images.List())
	return h, nil
}
