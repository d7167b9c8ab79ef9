package server

import (
	"context"

	"carob/internal/api"
	"carob/internal/spec"
	"carob/internal/status"
)

type networks struct{ s Services }

func (s *networks) entries() []entry {
	return []entry{
		plain(api.NetworkCreate, func(ctx context.Context, p spec.Network) (status.Network, error) { return s.s.Networks.Create(ctx, p) }),
		plain(api.Networks, func(context.Context, api.None) ([]status.Network, error) { return s.s.Networks.Networks(), nil }),
		plain(api.InspectNetwork, func(_ context.Context, p api.Ref) (status.Network, error) { return s.s.Networks.Network(p.Ref) }),
		act(api.NetworkRemove, func(ctx context.Context, p api.Ref) error { return s.s.Networks.Remove(ctx, p.Ref) }),
		act(api.Connect, func(ctx context.Context, p api.ConnectParams) error { return s.s.Wiring.Connect(ctx, p.Ref, p.Join) }),
		act(api.Disconnect, func(ctx context.Context, p api.ConnectParams) error {
			return s.s.Wiring.Disconnect(ctx, p.Ref, p.Join.Network)
		}),
	}
}
