package hostfile

import (
	"context"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/adjust"
	"carob/internal/spec"
	"carob/internal/status"
)

// Devices reads the host's device nodes: see pod.Observer.
type Devices interface {
	Device(ctx context.Context, path string) (specs.LinuxDevice, error)
	HostDevices(ctx context.Context) ([]specs.LinuxDevice, error)
}

// Nodes resolves the device nodes that a container asks for.
//
// A privileged container with the host's user namespace gets them all, as Docker
// has it; in a user namespace of its own a device node gives nothing away.
func Nodes(ctx context.Context, host Devices, s *spec.Container, ids status.IDMapping) (out []specs.LinuxDevice, err error) {
	if s.Security.Privileged && ids.Size == 0 {
		if out, err = host.HostDevices(ctx); err != nil {
			return nil, fmt.Errorf("devices: %w", err)
		}
	}
	for _, d := range s.Devices {
		node, err := adjust.Node(d, ids)
		if d.Node == nil {
			node, err = host.Device(ctx, d.Source)
		}
		if err != nil {
			return nil, fmt.Errorf("device %.200s: %w", d.Source, err)
		}
		node.Path = d.Target
		if d.Target == "" {
			node.Path = d.Source
		}
		out = append(slices.DeleteFunc(out, func(have specs.LinuxDevice) bool { return have.Path == node.Path }), node)
	}
	return out, nil
}
