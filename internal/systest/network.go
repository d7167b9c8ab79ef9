package systest

import (
	"context"
	"fmt"
	"maps"

	"carob/internal/pod"
	"carob/internal/status"
)

type network struct{ m *Machine }

func (n network) Prepare(ctx context.Context, podID string, pid int) error {
	return n.m.do(ctx, "Network.Prepare", func() error {
		if b := n.m.boxes[podID]; b == nil || b.pid != pid {
			return missing("sandbox")
		}
		n.m.attached[podID] = true
		return nil
	})
}

func (n network) Attach(ctx context.Context, a pod.Attachment) (links []status.Connection, err error) {
	err = n.m.do(ctx, "Network.Attach", func() error {
		n.m.attached[a.PodID] = true
		links = []status.Connection{{Network: "default", Interface: "eth0", IPs: []string{fmt.Sprintf("10.88.0.%d", len(n.m.attached)+1)}}}
		return nil
	})
	return links, err
}

func (n network) Detach(ctx context.Context, podID, _ string) error {
	return n.m.do(ctx, "Network.Detach", func() error {
		delete(n.m.attached, podID)
		return nil
	})
}

func (n network) Keep(ctx context.Context, live []pod.Attachment) error {
	return n.m.do(ctx, "Network.Keep", func() error {
		keep := map[string]bool{}
		for _, a := range live {
			keep[a.PodID] = true
		}
		maps.DeleteFunc(n.m.attached, func(id string, _ bool) bool { return !keep[id] })
		return nil
	})
}
