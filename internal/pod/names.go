package pod

import (
	"iter"
	"maps"
	"strings"

	"carob/internal/lifecycle"
	"carob/internal/pod/name"
)

// findPod resolves a reference: an ID, or what name.FindPod says.
func (e registry) findPod(ref string) (*pod, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.findPodLocked(ref)
}

func (e registry) findPodLocked(ref string) (*pod, error) {
	if p := e.pods[ref]; p != nil {
		return p, nil
	}
	id, err := name.FindPod(ref, known(maps.Values(e.pods), (*pod).names))
	return e.pods[id], err
}

// findContainer resolves a reference: an ID, "pod/name" or "namespace/pod/name", or what
// name.FindContainer says.
func (e registry) findContainer(ref string) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.findContainerLocked(ref)
}

func (e registry) findContainerLocked(ref string) (*container, error) {
	if c := e.containers[ref]; c != nil {
		return c, nil
	}
	if i := strings.LastIndexByte(ref, '/'); i >= 0 {
		p, err := e.findPodLocked(ref[:i])
		if err != nil {
			return nil, err
		}
		id, err := name.InPod(ref[i+1:], ref, known(maps.Values(p.containers), (*container).names))
		return e.containers[id], err
	}
	id, err := name.FindContainer(ref, known(maps.Values(e.containers), (*container).names))
	return e.containers[id], err
}

func known[T, N any](all iter.Seq[T], names func(T) N) iter.Seq[N] {
	return func(yield func(N) bool) {
		for t := range all {
			if !yield(names(t)) {
				return
			}
		}
	}
}

func (p *pod) names() name.Pod {
	st := &p.view.Load().status
	live := st.State == lifecycle.PodReady || st.State == lifecycle.PodCreated
	return name.Pod{ID: p.id, Namespace: p.namespace, Name: p.name, Solo: p.spec.Solo, Live: live, Rank: st.CreatedAt.UnixNano()}
}

func (p *pod) title() string {
	return name.Pod{Namespace: p.namespace, Name: p.name, Solo: p.spec.Solo}.Title()
}

func (c *container) names() name.Container {
	st := &c.view.Load().status
	return name.Container{
		ID: c.id, Name: c.name, Pod: c.pod.names(), Live: st.State == lifecycle.ContainerRunning,
		Rank: int64(st.Spec.Attempt)<<32 + st.CreatedAt.Unix()&0xffffffff,
	}
}

func (c *container) title() string {
	if c.pod.spec.Solo {
		return c.name
	}
	return c.pod.title() + "/" + c.name
}
