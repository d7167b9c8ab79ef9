package api

import (
	"context"

	"carob/internal/spec"
	"carob/internal/status"
)

type networks struct{ s Services }

func (s *networks) entries() []entry {
	return []entry{
		plain(NetworkCreate, func(ctx context.Context, p spec.Network) (status.Network, error) { return s.s.Networks.Create(ctx, p) }),
		plain(Networks, func(context.Context, None) ([]status.Network, error) { return s.s.Networks.Networks(), nil }),
		plain(InspectNetwork, func(_ context.Context, p Ref) (status.Network, error) { return s.s.Networks.Network(p.Ref) }),
		act(NetworkRemove, func(ctx context.Context, p Ref) error { return s.s.Networks.Remove(ctx, p.Ref) }),
		act(Connect, func(ctx context.Context, p ConnectParams) error { return s.s.Wiring.Connect(ctx, p.Ref, p.Join) }),
		act(Disconnect, func(ctx context.Context, p ConnectParams) error {
			return s.s.Wiring.Disconnect(ctx, p.Ref, p.Join.Network)
		}),
	}
}
