package images

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/plan/port"
	"carob/internal/spec"
)

// Exposed are the ports that an image says its containers listen on, each to be
// published at a free port of the host.
func (e Env) Exposed(ctx context.Context, name string) ([]spec.Port, error) {
	c, err := e.Daemon(ctx)
	if err != nil {
		return nil, err
	}
	img, err := client.Call(ctx, c, api.InspectImage, api.Ref{Ref: name})
	if err != nil {
		return nil, err
	}
	var all []spec.Port
	for _, text := range slices.Sorted(maps.Keys(img.Config.ExposedPorts)) {
		ports, err := port.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("image %s: exposed: %w", name, err)
		}
		all = append(all, ports...)
	}
	return all, nil
}
