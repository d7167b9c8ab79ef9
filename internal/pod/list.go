package pod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/status"
)

// Pods returns snapshots of the chosen pods, newest first. It waits for nobody.
func (e *Engine) Pods(f status.Filter) []status.Pod {
	all := slices.DeleteFunc(e.somePods(f), func(p *pod) bool {
		v := p.view.Load()
		return v.gone || !f.Fits(p.id, v.status.Spec.Labels, string(v.status.State), p.spec.Solo)
	})
	return newest(all, (*pod).snapshot, func(p *pod) (time.Time, string) { return p.view.Load().status.CreatedAt, p.id })
}

// newest takes snapshots, the newest first. They are a kilobyte each, so what is sorted is what they are of.
func newest[T, S any](all []T, snapshot func(T) S, born func(T) (time.Time, string)) (out []S) {
	slices.SortFunc(all, func(a, b T) int {
		at, one := born(a)
		bt, other := born(b)
		return cmp.Or(bt.Compare(at), cmp.Compare(one, other))
	})
	out = slices.Grow(out, len(all))
	for _, one := range all {
		out = append(out, snapshot(one))
	}
	return out
}

func (e *Engine) somePods(f status.Filter) []*pod {
	if f.PodRef == "" {
		e.mu.Lock()
		defer e.mu.Unlock()
		return slices.Collect(maps.Values(e.pods))
	}
	p, err := registry{e}.findPod(f.PodRef)
	if err != nil {
		return nil
	}
	return []*pod{p}
}

// Containers returns snapshots of the chosen containers, newest first. It waits for
// nobody. Containers that are still being created are among them, with their step.
func (e *Engine) Containers(f status.Filter) []status.Container {
	var all []*container
	if f.PodRef == "" {
		e.mu.Lock()
		all = slices.Collect(maps.Values(e.containers))
		e.mu.Unlock()
	} else if p, err := (registry{e}).findPod(f.PodRef); err == nil {
		all = registry{e}.containersOf(p)
	}
	all = slices.DeleteFunc(all, func(c *container) bool {
		v := c.view.Load()
		return v.gone || !f.Fits(c.id, v.status.Spec.Labels, string(v.status.State), c.pod.spec.Solo)
	})
	return newest(all, (*container).snapshot, func(c *container) (time.Time, string) { return c.view.Load().status.CreatedAt, c.id })
}

// containersOf returns p's containers, oldest first.
func (e registry) containersOf(p *pod) []*container {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*container, 0, len(p.containers))
	for _, id := range sortedContainers(p.containers) {
		out = append(out, p.containers[id])
	}
	return out
}

func sortedContainers(all map[string]*container) []string {
	return slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(all[a].view.Load().status.CreatedAt.Compare(all[b].view.Load().status.CreatedAt), cmp.Compare(a, b))
	})
}

// Pod returns a snapshot of one pod.
func (e *Engine) Pod(ref string) (status.Pod, error) {
	p, err := registry{e}.findPod(ref)
	if err != nil {
		return status.Pod{}, err
	}
	return p.snapshot(), nil
}

// Container returns a snapshot of one container.
func (e *Engine) Container(ref string) (status.Container, error) {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return status.Container{}, err
	}
	return c.snapshot(), nil
}

// Stats reads the use of resources of the named containers, of all that run without
// names. One that ends meanwhile is left out, unless it was named.
func (e *Engine) Stats(ctx context.Context, refs ...string) ([]status.Stats, error) {
	named := len(refs) > 0
	if !named {
		for _, c := range e.Containers(status.Filter{States: []string{string(lifecycle.ContainerRunning)}}) {
			refs = append(refs, c.ID)
		}
	}
	read, errs := make([]status.Stats, len(refs)), make([]error, len(refs))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) { // a dozen small files each
		readers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(refs)); i = next.Add(1) - 1 {
				read[i], errs[i] = e.stats(ctx, refs[i])
			}
		})
	}
	readers.Wait()
	out := make([]status.Stats, 0, len(refs))
	for i, err := range errs {
		if err == nil {
			out = append(out, read[i])
		} else if !named && (fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict)) {
			errs[i] = nil
		}
	}
	return out, errors.Join(errs...)
}

func (e *Engine) stats(ctx context.Context, ref string) (status.Stats, error) {
	c, err := e.running(ref, "stats")
	if err != nil {
		return status.Stats{}, err
	}
	st := c.view.Load().status
	s, err := e.d.Groups.GroupStats(ctx, st.Cgroup)
	if err == nil {
		s.Network, err = e.d.Observer.Traffic(st.Pid)
	}
	if err != nil {
		return status.Stats{}, fmt.Errorf("container %s: stats: %w", c.title(), err)
	}
	s.ID, s.Name = c.id, c.title()
	return s, nil
}

// Top lists the processes of a running container.
func (e *Engine) Top(ctx context.Context, ref string) ([]status.Process, error) {
	c, err := e.running(ref, "top")
	if err != nil {
		return nil, err
	}
	ps, err := e.d.Groups.GroupProcesses(ctx, c.view.Load().status.Cgroup)
	if err != nil {
		return nil, fmt.Errorf("container %s: top: %w", c.title(), err)
	}
	return ps, nil
}
