package cni

import (
	"context"
	"errors"
	"slices"

	"carob/internal/pod"
	"carob/internal/status"
)

// The modes of a Choice.
const (
	// Auto connects by plugins where there is a configuration, valid or not.
	Auto = "auto"
	// Only never uses the built-in network: on a cluster's node pods wait for the
	// configuration.
	Only = "cni"
	// Never is the built-in network, whatever is configured.
	Never = "builtin"
)

// Modes are the names of the modes.
func Modes() []string { return []string{Auto, Only, Never} }

// Choice connects each pod by plugins or by the built-in network. It implements
// pod.Network. Which of the two a pod has stays with it.
type Choice struct {
	Mode    string
	CNI     *Network
	Builtin pod.Network
}

// Prepare is the built-in network's: plugins do nothing ahead.
func (c Choice) Prepare(ctx context.Context, podID string, pid int) error {
	if c.plugins(pod.Attachment{PodID: podID}) {
		return c.CNI.Prepare(ctx, podID, pid)
	}
	return c.Builtin.Prepare(ctx, podID, pid)
}

// Attach chooses for a new pod, and otherwise adds where it is connected already.
func (c Choice) Attach(ctx context.Context, a pod.Attachment) ([]status.Connection, error) {
	if c.plugins(a) {
		if len(a.Connections) == 0 { // what was prepared before there was a configuration
			if err := c.Builtin.Detach(ctx, a.PodID, ""); err != nil {
				return nil, err
			}
		}
		return c.CNI.Attach(ctx, a)
	}
	return c.Builtin.Attach(ctx, a)
}

func (c Choice) plugins(a pod.Attachment) bool {
	switch {
	case c.CNI.Has(a.PodID):
		return true
	case len(a.Connections) > 0 || c.Mode == Never:
		return false
	case c.Mode == Only || len(a.Joins) == 0 || isDefault(a.Joins[0]):
		return c.Mode == Only || c.CNI.Configured()
	}
	// Networks by name: those of the one or those of the other.
	names := c.CNI.Networks()
	return slices.Contains(names, a.Joins[0].Network)
}

// Ready says why pods that name no network cannot be connected now, nil when they can.
func (c Choice) Ready(ctx context.Context) error {
	if c.plugins(pod.Attachment{}) {
		return c.CNI.Ready(ctx)
	}
	return nil
}

// Detach asks both: each knows what it has.
func (c Choice) Detach(ctx context.Context, podID, network string) error {
	return errors.Join(c.CNI.Detach(ctx, podID, network), c.Builtin.Detach(ctx, podID, network))
}

// Keep tells each of the pods that it connected.
func (c Choice) Keep(ctx context.Context, live []pod.Attachment) error {
	var ours, theirs []pod.Attachment
	for _, a := range live {
		if c.CNI.Has(a.PodID) {
			ours = append(ours, a)
		} else {
			theirs = append(theirs, a)
		}
	}
	return errors.Join(c.CNI.Keep(ctx, ours), c.Builtin.Keep(ctx, theirs))
}
