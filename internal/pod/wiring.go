package pod

import (
	"context"
	"fmt"
	"slices"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod/record"
	"carob/internal/spec"
	"carob/internal/status"
)

// Wiring changes which networks pods are in.
type Wiring struct{ *Engine }

// Connect brings a pod, or the pod of a container, into one more network, now when it
// runs and whenever it runs again.
func (e Wiring) Connect(ctx context.Context, ref string, j spec.Join) error {
	return e.rewire(ctx, ref, func(ctx context.Context, p *pod, s *status.Pod) error {
		if len(s.Spec.Networks) == 0 {
			s.Spec.Networks = []spec.Join{{Network: DefaultNetwork}}
		}
		if slices.ContainsFunc(s.Spec.Networks, func(o spec.Join) bool { return o.Network == j.Network }) {
			return fault.New(fault.Exists, "is in network "+j.Network+" already")
		}
		s.Spec.Networks = append(slices.Clip(s.Spec.Networks), j)
		if s.State != lifecycle.PodReady {
			return nil
		}
		a := attachmentOf(p, s.Pid)
		a.Joins = []spec.Join{j}
		more, err := e.d.Network.Attach(ctx, a)
		if err == nil {
			s.Connect(slices.Concat(s.Connections, more))
		}
		return err
	})
}

// Disconnect takes a pod, or the pod of a container, out of a network that is not its
// only one.
func (e Wiring) Disconnect(ctx context.Context, ref, network string) error {
	return e.rewire(ctx, ref, func(ctx context.Context, p *pod, s *status.Pod) error {
		other := func(name string) bool { return name != network }
		rest := slices.DeleteFunc(slices.Clone(s.Spec.Networks), func(o spec.Join) bool { return !other(o.Network) })
		switch {
		case len(rest) == len(s.Spec.Networks):
			return fault.New(fault.NotFound, fmt.Sprintf("is not in network %.80s", network))
		case len(rest) == 0:
			return fault.New(fault.Conflict, "is in no other network; --network none is a pod without")
		}
		s.Spec.Networks = rest
		if s.State != lifecycle.PodReady {
			return nil
		}
		s.Connect(slices.DeleteFunc(slices.Clone(s.Connections), func(c status.Connection) bool { return !other(c.Network) }))
		return e.d.Network.Detach(ctx, p.id, network)
	})
}

// rewire changes a pod's networks under its lock, and its record when that worked.
func (e Wiring) rewire(ctx context.Context, ref string, change func(context.Context, *pod, *status.Pod) error) error {
	p, err := registry(e).findPod(ref)
	if err != nil {
		c, missing := registry(e).findContainer(ref)
		if missing != nil {
			return err
		}
		p = c.pod
	}
	ctx, end, err := p.lock.Begin(ctx, nil)
	if err != nil {
		return err
	}
	defer end()
	rec := p.record()
	if rec.Namespaces.Net != spec.Own || rec.Peers["net"] != "" {
		return p.fault(fault.Conflict, "has no network of its own")
	}
	p.step.Set("network")
	if err := change(ctx, p, &rec.Status); err != nil {
		return fault.Wrap(fault.KindOf(err), "pod "+p.title(), err)
	}
	err = p.note(func(r *record.Pod) error {
		r.Status.Spec.Networks = rec.Status.Spec.Networks
		r.Status.Connect(rec.Status.Connections)
		return nil
	})
	if err == nil && rec.Status.State == lifecycle.PodReady {
		err = starter(e).writeFiles(p, rec.Status.Connections)
	}
	return err
}
