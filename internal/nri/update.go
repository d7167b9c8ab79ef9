package nri

import (
	"context"

	"github.com/containerd/nri/pkg/api"

	"carob/internal/fault"
	"carob/internal/nri/asked"
	"carob/internal/plan/check"
)

// updater is the plugins as they change limits.
type updater struct{ *Plugins }

// ownUpdate marks the context of an update that a plugin wants: plugins are not asked about it.
type ownUpdate struct{}

// own tells whether an update of a container that has happened was a plugin's.
func (n updater) own(id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.updating[id] == 0 {
		return false
	}
	n.drop(id)
	return true
}

func (n updater) drop(id string) {
	if n.updating[id]--; n.updating[id] <= 0 {
		delete(n.updating, id)
	}
}

// apply changes limits as plugins want it, without holding anybody up.
func (n updater) apply(updates []*api.ContainerUpdate) {
	if len(updates) == 0 {
		return
	}
	n.work.Go(func() { _, _ = n.update(n.ctx, updates) }) // what fails is logged
}

// update changes limits as a plugin wants it, and returns those updates that failed although they
// must not. The error is always nil: with one the library would not pass on which they are.
func (n updater) update(ctx context.Context, updates []*api.ContainerUpdate) (failed []*api.ContainerUpdate, err error) {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, ownUpdate{}, true), n.c.Request)
	defer cancel()
	for _, u := range updates {
		if u == nil {
			continue
		}
		if err := n.updateOne(ctx, u); err != nil && !u.GetIgnoreFailure() {
			failed = append(failed, u)
			n.c.Log.Warn("nri: limits that a plugin wants stay as they were", "container", u.GetContainerId(), "cause", err)
		}
	}
	return failed, nil
}

func (n updater) updateOne(ctx context.Context, u *api.ContainerUpdate) error {
	id := u.GetContainerId()
	limits, err := asked.Limits(u.GetLinux().GetResources())
	if err != nil || limits == nil {
		return err
	}
	if _, err := n.engine.Container(id); err != nil || !check.ID(id) { // no names, no beginnings of IDs
		return fault.New(fault.NotFound, "container "+id+": there is none")
	}
	n.mu.Lock()
	n.updating[id]++
	n.mu.Unlock()
	if err := n.engine.UpdateContainer(ctx, id, limits, nil); err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.drop(id)
		return err
	}
	return nil
}
