package pod

import (
	"strings"

	"carob/internal/lifecycle"
	"carob/internal/pod/name"
)

// findPod resolves a reference: an ID, "name" or "namespace/name", or a prefix of
// an ID that only one pod has. Pods that somebody asked for come before solo ones.
func (e registry) findPod(ref string) (*pod, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.findPodLocked(ref)
}

func (e registry) findPodLocked(ref string) (*pod, error) {
	if p := e.pods[ref]; p != nil {
		return p, nil
	}
	var named, solo, begin []name.Candidate
	for id, p := range e.pods {
		switch {
		case !p.named(ref):
			if name.IsHex(ref) && strings.HasPrefix(id, ref) {
				begin = append(begin, p.candidate())
			}
		case p.spec.Solo:
			solo = append(solo, p.candidate())
		default:
			named = append(named, p.candidate())
		}
	}
	for _, cs := range [][]name.Candidate{named, solo} {
		if len(cs) > 0 {
			id, err := name.Pick("pod", ref, cs)
			return e.pods[id], err
		}
	}
	id, err := name.Only("pod", ref, begin)
	return e.pods[id], err
}

// named reports whether ref is the pod's "name" or "namespace/name".
func (p *pod) named(ref string) bool {
	if namespace, n, qualified := strings.Cut(ref, "/"); qualified {
		return p.name == n && p.namespace == namespace
	}
	return p.name == ref
}

// findContainer resolves a reference: an ID, the name of a solo container,
// "pod/name" or "namespace/pod/name", a name that only one pod uses, or a prefix
// of an ID that only one container has.
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
		return e.inPodLocked(p, ref[i+1:], ref)
	}
	solo, begin, byPod := e.matchesLocked(ref)
	named, err := e.onePerPodLocked(ref, byPod)
	if err != nil {
		return nil, err
	}
	for _, cs := range [][]name.Candidate{solo, named, begin} {
		if len(cs) > 0 {
			id, err := name.Only("container", ref, cs)
			return e.containers[id], err
		}
	}
	if p, err := e.findPodLocked(ref); err == nil { // kubectl's habit: it is told the containers
		return e.inPodLocked(p, "", ref)
	}
	return nil, name.NotFound("container", ref)
}

// matchesLocked returns the solo containers with this name, those whose ID begins
// so, and by pod the others with this name.
func (e registry) matchesLocked(ref string) (solo, begin []name.Candidate, byPod map[*pod][]name.Candidate) {
	byPod = map[*pod][]name.Candidate{}
	for id, c := range e.containers {
		switch {
		case c.name == ref && c.pod.spec.Solo:
			solo = append(solo, c.candidate())
		case c.name == ref:
			byPod[c.pod] = append(byPod[c.pod], c.candidate())
		case name.IsHex(ref) && strings.HasPrefix(id, ref):
			begin = append(begin, c.candidate())
		}
	}
	return solo, begin, byPod
}

// onePerPodLocked picks among the attempts that share a name in one pod.
func (e registry) onePerPodLocked(ref string, byPod map[*pod][]name.Candidate) ([]name.Candidate, error) {
	var named []name.Candidate
	for _, cs := range byPod {
		id, err := name.Pick("container", ref, cs)
		if err != nil {
			return nil, err
		}
		named = append(named, e.containers[id].candidate())
	}
	return named, nil
}

func (e registry) inPodLocked(p *pod, named, ref string) (*container, error) {
	var all []name.Candidate
	for _, c := range p.containers {
		all = append(all, c.candidate())
	}
	id, err := name.Within(ref, named, all)
	return e.containers[id], err
}

func (p *pod) candidate() name.Candidate {
	st := &p.view.Load().status
	return name.Candidate{ID: p.id, Title: p.title(), Live: st.State == lifecycle.PodReady || st.State == lifecycle.PodCreated, Rank: st.CreatedAt.UnixNano()}
}

func (c *container) candidate() name.Candidate {
	st := &c.view.Load().status
	return name.Candidate{
		ID: c.id, Title: c.title(), Live: st.State == lifecycle.ContainerRunning,
		Rank: int64(st.Spec.Attempt)<<32 + st.CreatedAt.Unix()&0xffffffff,
	}
}
