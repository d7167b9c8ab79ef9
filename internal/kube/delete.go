package kube

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/kube/manifest"
	"carob/internal/lifecycle"
	"carob/internal/status"
)

// Delete stops and removes pods with their volumes. A ref is what the engine
// resolves: "name", "namespace/name" or an ID. grace nil is each pod's own. What is
// gone already is Absent, not an error; one pod's failure does not keep the others.
func (a *Applier) Delete(ctx context.Context, refs []string, grace *time.Duration, progress func(Progress)) ([]Result, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	results, errs := make([]Result, len(refs)), make([]error, len(refs))
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() {
			results[i], errs[i] = a.deleteOne(ctx, ref, grace, progress)
		})
	}
	wg.Wait()
	done := slices.DeleteFunc(results, func(r Result) bool { return r.Action == "" })
	return done, errors.Join(errs...)
}

func (a *Applier) deleteOne(ctx context.Context, ref string, grace *time.Duration, progress func(Progress)) (Result, error) {
	found, err := a.look(ref)
	if err != nil {
		return Result{}, err
	}
	name := ref
	if found != nil {
		name = found.pod.Namespace + "/" + found.pod.Name
	}
	unlock, err := a.lock(ctx, name)
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	if found, err = a.look(ref); err != nil {
		return Result{}, err
	}
	if found == nil {
		return Result{Pod: name, Action: Absent}, nil
	}
	if err := a.teardown(ctx, found, grace, progress); err != nil {
		return Result{}, err
	}
	return Result{Pod: name, ID: found.pod.ID, Action: Deleted}, nil
}

// teardown ends a pod as the kubelet does: its containers together, then its
// sidecars, last started first, in what is left of the grace period; then the
// sandbox, then the volumes. A container that could not be stopped is killed with
// the sandbox.
func (a *Applier) teardown(ctx context.Context, e *existing, grace *time.Duration, progress func(Progress)) error {
	name := e.pod.Namespace + "/" + e.pod.Name
	period := gracePeriod(e.pod, grace)
	end := time.Now().Add(period)
	ordinary, sidecars := running(e.containers)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var stuck []error
	stop := func(c status.Container, within time.Duration) {
		progress(Progress{Pod: name, Container: c.Name, Step: "stop"})
		if err := gone(a.Engine.StopContainer(ctx, c.ID, &within)); err != nil {
			mu.Lock()
			stuck = append(stuck, err)
			mu.Unlock()
		}
	}
	for _, c := range ordinary {
		wg.Go(func() { stop(c, period) })
	}
	wg.Wait()
	for _, c := range sidecars {
		stop(c, max(0, time.Until(end)))
	}
	progress(Progress{Pod: name, Step: "remove"})
	if err := a.end(ctx, e.pod.ID, new(time.Duration(0))); err != nil {
		return errors.Join(append(stuck, err)...)
	}
	if e.pod.Spec.Owner == manifest.Owner {
		if err := a.removeVolumes(e.pod.Spec.UID); err != nil {
			return about(name, err)
		}
	}
	return nil
}

func gracePeriod(p status.Pod, asked *time.Duration) time.Duration {
	switch {
	case asked != nil:
		return max(0, *asked)
	case p.Spec.StopTimeout != nil:
		return time.Duration(*p.Spec.StopTimeout) * time.Second
	}
	return manifest.DefaultGrace * time.Second
}

// running splits what still runs into ordinary containers and sidecars, the latter
// in the order in which they are stopped.
func running(all []status.Container) (ordinary, sidecars []status.Container) {
	for _, c := range all {
		switch {
		case c.State != lifecycle.ContainerRunning && c.Spec.Restart.Policy == "":
			// Without a restart policy what does not run will not.
		case c.Spec.Annotations[manifest.RoleAnnotation] == manifest.RoleSidecar:
			sidecars = append(sidecars, c)
		default:
			ordinary = append(ordinary, c)
		}
	}
	slices.SortFunc(sidecars, func(a, b status.Container) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return ordinary, sidecars
}

// end stops and removes a pod; one that is gone is done.
func (a *Applier) end(ctx context.Context, id string, timeout *time.Duration) error {
	if err := gone(a.Engine.StopPod(ctx, id, timeout)); err != nil {
		return err
	}
	return gone(a.Engine.RemovePod(ctx, id))
}

func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// nameLock is a lock that can be waited for with a context.
type nameLock struct {
	held  chan struct{}
	users int
}

// lock takes the lock of a pod name and returns its release.
func (a *Applier) lock(ctx context.Context, name string) (unlock func(), err error) {
	a.mu.Lock()
	if a.locks == nil {
		a.locks = map[string]*nameLock{}
	}
	l := a.locks[name]
	if l == nil {
		l = &nameLock{held: make(chan struct{}, 1)}
		a.locks[name] = l
	}
	l.users++
	a.mu.Unlock()
	leave := func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(a.locks, name)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, fault.Wrap(fault.Unavailable, "pod "+name+": another operation is running", ctx.Err())
	}
}
