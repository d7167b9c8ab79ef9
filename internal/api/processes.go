package api

import (
	"context"
)

type processes struct{ e Engine }

func (s *processes) entries() []entry {
	return []entry{
		on(Exec, s.exec),
		plain(WaitExec, s.waitExec),
		act(SignalExec, func(ctx context.Context, p SignalParams) error { return s.e.SignalExec(ctx, p.Ref, p.Signal) }),
		act(Resize, func(ctx context.Context, p ResizeParams) error {
			return s.e.Resize(ctx, p.Ref, p.Size.Rows, p.Size.Cols)
		}),
	}
}

// exec starts a process and waits for it. A client that leaves does not end the
// process; another call may wait for it by its ID.
func (s *processes) exec(ctx context.Context, p ExecParams, t turnOf[ExecStarted]) (Ended, error) {
	id, err := s.e.Exec(ctx, p.Ref, p.Exec, t.Streams)
	if err != nil {
		return Ended{}, err
	}
	if p.Size != (Size{}) {
		_ = s.e.Resize(ctx, id, p.Size.Rows, p.Size.Cols) // it may have ended already
	}
	if err := t.Emit(ExecStarted{ID: id}); err != nil {
		return Ended{}, err
	}
	if p.Detach {
		return Ended{ID: id}, nil
	}
	return s.waitExec(ctx, Ref{id})
}

func (s *processes) waitExec(ctx context.Context, p Ref) (Ended, error) {
	exit, err := s.e.WaitExec(ctx, p.Ref)
	if err != nil {
		return Ended{}, err
	}
	return Ended{ID: p.Ref, Exit: &exit}, nil
}
