package api

import (
	"context"
	"sync"

	"carob/internal/fault"
)

type pods struct{ s Services }

func (s *pods) entries() []entry {
	e := s.s.Engine
	return []entry{
		plain(PodCreate, e.RunPod),
		act(PodStop, func(ctx context.Context, p StopParams) error { return e.StopPod(ctx, p.Ref, p.Timeout) }),
		act(PodRemove, s.remove),
		on(Apply, func(ctx context.Context, p ApplyParams, t turnOf[Progress]) ([]Applied, error) {
			return s.s.Manifests.Apply(ctx, p, tell(t))
		}),
		on(Delete, func(ctx context.Context, p DeleteParams, t turnOf[Progress]) ([]Applied, error) {
			return s.s.Manifests.Delete(ctx, p, tell(t))
		}),
	}
}

func (s *pods) remove(ctx context.Context, p RemoveParams) error {
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

// tell passes progress on, one frame at a time. A client that cannot be told has
// closed the connection, which cancels the call.
func tell(t turnOf[Progress]) func(Progress) {
	var mu sync.Mutex
	return func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		_ = t.Emit(p)
	}
}
