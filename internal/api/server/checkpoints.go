package server

import (
	"context"

	"carob/internal/api"
	"carob/internal/checkpoint"
	"carob/internal/fault"
)

// checkpoints are the calls that write containers down.
type checkpoints struct{ s Services }

func (s *checkpoints) entries() []entry { return []entry{on(api.Checkpoint, s.container)} }

func (s *checkpoints) container(ctx context.Context, p api.CheckpointParams, t turnOf[api.None]) (api.None, error) {
	o := checkpoint.Options{LeaveRunning: p.LeaveRunning}
	switch {
	case p.Export && t.Data == nil:
		return api.None{}, fault.Wrap(fault.Invalid, "checkpoint", errNoData)
	case p.Export:
		defer closeOn(ctx, t.Data)()
		o.To = t.Data
	case p.LeaveRunning:
		return api.None{}, fault.New(fault.Invalid, "checkpoint: of a container that goes on nothing is kept: it has to be exported")
	}
	return api.None{}, s.s.Checkpoints.Container(ctx, p.Ref, o)
}
