package server

import (
	"context"

	"carob/internal/api"
)

type processes struct{ e Engine }

func (s *processes) entries() []entry {
	return []entry{
		on(api.Exec, s.exec),
		plain(api.WaitExec, s.waitExec),
		act(api.SignalExec, func(ctx context.Context, p api.SignalParams) error { return s.e.SignalExec(ctx, p.Ref, p.Signal) }),
		act(api.Resize, func(ctx context.Context, p api.ResizeParams) error {
			return s.e.Resize(ctx, p.Ref, p.Size.Rows, p.Size.Cols)
		}),
	}
}

// exec starts a process and waits for it. A client that leaves does not end the
// process; another call may wait for it by its ID.
func (s *processes) exec(ctx context.Context, p api.ExecParams, t turnOf[api.ExecStarted]) (api.Ended, error) {
	id, err := s.e.Exec(ctx, p.Ref, p.Exec, streams(t.Files))
	if err != nil {
		return api.Ended{}, err
	}
	if p.Size != (api.Size{}) {
		_ = s.e.Resize(ctx, id, p.Size.Rows, p.Size.Cols) // it may have ended already
	}
	if err := t.Emit(api.ExecStarted{ID: id}); err != nil {
		return api.Ended{}, err
	}
	if p.Detach {
		return api.Ended{ID: id}, nil
	}
	return s.waitExec(ctx, api.Ref{Ref: id})
}

func (s *processes) waitExec(ctx context.Context, p api.Ref) (api.Ended, error) {
	exit, err := s.e.WaitExec(ctx, p.Ref)
	if err != nil {
		return api.Ended{}, err
	}
	return api.Ended{ID: p.Ref, Exit: &exit}, nil
}
