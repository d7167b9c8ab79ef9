package server

import (
	"context"
	"errors"
	"time"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/status"
)

// removeTime bounds waiting for a container that removes itself.
const removeTime = 10 * time.Second

// undoTime bounds taking back a container that could not be started.
const undoTime = 30 * time.Second

func routes(s Services) map[string]route {
	all := map[string]route{}
	for _, group := range [][]entry{
		(&containers{s.Engine}).entries(), (&processes{s.Engine}).entries(), (&views{s}).entries(),
		(&pods{s}).entries(), (&copies{s.Engine}).entries(), (&images{s.Images, s.Engine, &volumes{s.Volumes, s.Engine}}).entries(), (&mounts{s.HostMounts, s.Images}).entries(), (&commits{s}).entries(), (&checkpoints{s}).entries(),
		(&registries{s}).entries(), (&networks{s}).entries(), (&volumes{s.Volumes, s.Engine}).entries(),
	} {
		for _, e := range group {
			all[e.name] = e.do
		}
	}
	return all
}

type containers struct{ e Engine }

func (s *containers) entries() []entry {
	return []entry{
		on(api.Run, s.run), plain(api.Create, s.create), on(api.Start, s.start), on(api.Attach, s.attach),
		act(api.Stop, func(ctx context.Context, p api.StopParams) error { return s.e.StopContainer(ctx, p.Ref, p.Timeout) }),
		act(api.Kill, func(ctx context.Context, p api.SignalParams) error { return s.e.KillContainer(ctx, p.Ref, p.Signal) }),
		act(api.Remove, s.remove),
		act(api.Pause, func(ctx context.Context, p api.Ref) error { return s.e.PauseContainer(ctx, p.Ref) }),
		act(api.Unpause, func(ctx context.Context, p api.Ref) error { return s.e.UnpauseContainer(ctx, p.Ref) }),
		act(api.Update, func(ctx context.Context, p api.UpdateParams) error {
			return s.e.UpdateContainer(ctx, p.Ref, p.Resources, p.Restart)
		}),
		plain(api.Wait, s.wait),
	}
}

func (s *containers) create(ctx context.Context, p api.RunParams) (status.Container, error) {
	if p.PodRef != "" {
		return s.e.CreateContainer(ctx, p.PodRef, p.Container)
	}
	return s.e.CreateSolo(ctx, p.Pod, p.Container)
}

func (s *containers) remove(ctx context.Context, p api.RemoveParams) error {
	return s.e.RemoveContainer(ctx, p.Ref, pod.RemoveOptions{Force: p.Force})
}

// run is create, start and wait. What cannot be started is removed, so that a
// mistyped command leaves nothing behind.
func (s *containers) run(ctx context.Context, p api.RunParams, t turnOf[status.Container]) (api.Ended, error) {
	c, err := s.create(ctx, p)
	if err != nil {
		return api.Ended{}, err
	}
	err = t.Emit(c)
	var w waiter
	if err == nil {
		w, err = s.launch(ctx, c.ID, streams(t.Files), p.Size)
	}
	if err != nil {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		undo := s.e.RemoveContainer(back, c.ID, pod.RemoveOptions{Force: true})
		return api.Ended{}, errors.Join(err, gone(undo))
	}
	if p.Detach {
		return api.Ended{ID: c.ID}, nil
	}
	return s.report(ctx, c, w, t)
}

// gone forgives that what was to be removed is not there.
func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func (s *containers) start(ctx context.Context, p api.StartParams, t turnOf[status.Container]) (api.Ended, error) {
	c, err := s.e.Container(p.Ref)
	if err != nil {
		return api.Ended{}, err
	}
	w, err := s.launch(ctx, c.ID, streams(t.Files), p.Size)
	if err != nil {
		return api.Ended{}, err
	}
	if !p.Wait {
		return api.Ended{ID: c.ID}, nil
	}
	return s.report(ctx, c, w, t)
}

func (s *containers) attach(ctx context.Context, p api.StartParams, t turnOf[status.Container]) (api.Ended, error) {
	c, err := s.e.Container(p.Ref)
	if err != nil {
		return api.Ended{}, err
	}
	w, err := s.waiter(c.ID, status.WaitExit)
	if err != nil {
		return api.Ended{}, err
	}
	if err := s.e.Attach(ctx, c.ID, streams(t.Files)); err != nil {
		return api.Ended{}, err
	}
	s.resize(ctx, c.ID, p.Size)
	return s.report(ctx, c, w, t)
}

// launch starts a container. The wait begins first: with --rm the container may have
// come and gone before Start returns.
func (s *containers) launch(ctx context.Context, id string, io pod.Streams, size api.Size) (waiter, error) {
	w, err := s.waiter(id, status.WaitNextExit)
	if err != nil {
		return nil, err
	}
	if err := s.e.StartContainer(ctx, id, io); err != nil {
		return nil, err
	}
	s.resize(ctx, id, size)
	return w, nil
}

// resize sets a size that is known; a process that has ended already needs none.
func (s *containers) resize(ctx context.Context, id string, size api.Size) {
	if size != (api.Size{}) {
		_ = s.e.Resize(ctx, id, size.Rows, size.Cols)
	}
}

// waiter waits for the end that was agreed on when it was made.
type waiter func(context.Context) (status.Exit, error)

// waiter makes a waiter for the end of a container and, when it removes itself, for
// that too: whoever is told that it ended may use its name again.
func (s *containers) waiter(id string, cond status.WaitCondition) (waiter, error) {
	c, err := s.e.Container(id)
	if err != nil {
		return nil, err
	}
	ended, err := s.e.Waiter(id, cond)
	if err != nil || !c.Spec.AutoRemove {
		return ended, err
	}
	removed, err := s.e.Waiter(id, status.WaitRemoved)
	return func(ctx context.Context) (status.Exit, error) {
		exit, err := ended(ctx)
		if err == nil {
			ctx, cancel := context.WithTimeout(ctx, removeTime)
			defer cancel()
			_, _ = removed(ctx) // one that cannot be removed does not hide the exit code
		}
		return exit, err
	}, err
}

// report tells that the container runs and returns how it ended.
func (s *containers) report(ctx context.Context, c status.Container, wait waiter, t turnOf[status.Container]) (api.Ended, error) {
	if now, err := s.e.Container(c.ID); err == nil {
		c = now // with its pid; a container that is gone again is reported as it was
	}
	if err := t.Emit(c); err != nil {
		return api.Ended{}, err
	}
	exit, err := wait(ctx)
	if err != nil {
		return api.Ended{}, err
	}
	return api.Ended{ID: c.ID, Exit: &exit}, nil
}

func (s *containers) wait(ctx context.Context, p api.WaitParams) (api.Ended, error) {
	id := p.Ref // the whole ID of one that has removed itself
	if c, err := s.e.Container(p.Ref); err == nil {
		id = c.ID
	}
	exit, err := s.e.WaitContainer(ctx, id, p.Condition)
	return api.Ended{ID: id, Exit: &exit}, err
}
