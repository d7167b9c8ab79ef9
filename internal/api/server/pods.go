package server

import (
	"context"
	"sync"
	"time"

	"carob/internal/api"
	"carob/internal/fault"
)

type pods struct{ s Services }

func (s *pods) entries() []entry {
	e := s.s.Engine
	return []entry{
		plain(api.PodCreate, e.RunPod),
		act(api.PodStop, func(ctx context.Context, p api.StopParams) error { return e.StopPod(ctx, p.Ref, p.Timeout) }),
		act(api.PodRemove, s.remove), on(api.PodDial, s.dial),
		on(api.Apply, func(ctx context.Context, p api.ApplyParams, t turnOf[api.Progress]) ([]api.Applied, error) {
			return s.s.Manifests.Apply(ctx, p, tell(t))
		}),
		on(api.Delete, func(ctx context.Context, p api.DeleteParams, t turnOf[api.Progress]) ([]api.Applied, error) {
			return s.s.Manifests.Delete(ctx, p, tell(t))
		}),
	}
}

func (s *pods) remove(ctx context.Context, p api.RemoveParams) error {
	now, err := s.s.Engine.Pod(p.Ref)
	if err != nil {
		return err
	}
	if p.Force {
		if err := s.s.Engine.StopPod(ctx, now.ID, nil); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
	}
	return s.s.Engine.RemovePod(ctx, now.ID)
}

// dialTime bounds a connection to a loopback: it takes microseconds, unless a packet
// filter of the pod's own swallows it.
const dialTime = 10 * time.Second

func (s *pods) dial(ctx context.Context, p api.DialParams, t turnOf[api.None]) (api.None, error) {
	now, err := s.s.Engine.Pod(p.Ref)
	if fault.Is(err, fault.NotFound) {
		if c, cerr := s.s.Engine.Container(p.Ref); cerr == nil {
			now, err = s.s.Engine.Pod(c.PodID)
		}
	}
	switch {
	case err != nil:
		return api.None{}, err
	case p.Port == 0:
		return api.None{}, fault.New(fault.Invalid, "pod "+now.Name+": port 0 cannot be connected to")
	case now.Pid == 0:
		return api.None{}, fault.New(fault.Conflict, "pod "+now.Name+": does not run")
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	socket, err := s.s.Dial(ctx, now.Pid, now.Namespaces["net"], p.Port)
	if fault.Is(err, fault.NotFound) {
		return api.None{}, fault.Wrap(fault.Conflict, "pod "+now.Name+": does not run", err)
	}
	if err != nil {
		return api.None{}, fault.Wrap(fault.KindOf(err), "pod "+now.Name, err)
	}
	t.Give(socket)
	return api.None{}, nil
}

// tell passes progress on, one frame at a time. A client that cannot be told has
// closed the connection, which cancels the call.
func tell(t turnOf[api.Progress]) func(api.Progress) {
	var mu sync.Mutex
	return func(p api.Progress) {
		mu.Lock()
		defer mu.Unlock()
		_ = t.Emit(p)
	}
}
