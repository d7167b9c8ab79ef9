package pod

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"carob/internal/fault"
	"carob/internal/lifecycle"
)

// newID returns 64 random hexadecimal digits. crypto/rand never fails on Linux
// (it ends the program instead).
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// candidate is a thing a reference may mean. Of several with one name, the live
// one is meant, and among those that are not the newest.
type candidate struct {
	id, title string
	live      bool
	rank      int64
}

// pick chooses among things that carry the name that was asked for.
func pick(what, ref string, cs []candidate) (string, error) {
	var live []candidate
	for _, c := range cs {
		if c.live {
			live = append(live, c)
		}
	}
	switch {
	case len(live) > 1:
		return "", ambiguous(what, ref, live)
	case len(live) == 1:
		return live[0].id, nil
	}
	best := cs[0]
	for _, c := range cs[1:] {
		if c.rank > best.rank {
			best = c
		}
	}
	return best.id, nil
}

func ambiguous(what, ref string, cs []candidate) error {
	const most = 5
	var names []string
	for i, c := range cs {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(cs)-most))
			break
		}
		names = append(names, fmt.Sprintf("%s (%s)", c.id[:12], c.title))
	}
	return fault.New(fault.Invalid, fmt.Sprintf("%s %s: means several: %s", what, ref, strings.Join(names, ", ")))
}

func notFound(what, ref string) error {
	return fault.New(fault.NotFound, what+" "+ref+": no such "+what)
}

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
	var named, solo, begin []candidate
	for id, p := range e.pods {
		switch {
		case !p.named(ref):
			if isHex(ref) && strings.HasPrefix(id, ref) {
				begin = append(begin, p.candidate())
			}
		case p.spec.Solo:
			solo = append(solo, p.candidate())
		default:
			named = append(named, p.candidate())
		}
	}
	for _, cs := range [][]candidate{named, solo} {
		if len(cs) > 0 {
			id, err := pick("pod", ref, cs)
			return e.pods[id], err
		}
	}
	id, err := only("pod", ref, begin)
	return e.pods[id], err
}

// named reports whether ref is the pod's "name" or "namespace/name".
func (p *pod) named(ref string) bool {
	namespace, name, qualified := strings.Cut(ref, "/")
	if qualified {
		return p.name == name && p.namespace == namespace
	}
	return p.name == ref
}

// only returns the one candidate there is.
func only(what, ref string, cs []candidate) (string, error) {
	switch len(cs) {
	case 0:
		return "", notFound(what, ref)
	case 1:
		return cs[0].id, nil
	}
	return "", ambiguous(what, ref, cs)
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
	for _, cs := range [][]candidate{solo, named} {
		if len(cs) > 0 {
			id, err := only("container", ref, cs)
			return e.containers[id], err
		}
	}
	id, err := only("container", ref, begin)
	return e.containers[id], err
}

// matchesLocked returns the solo containers with this name, those whose ID begins
// so, and by pod the others with this name.
func (e registry) matchesLocked(ref string) (solo, begin []candidate, byPod map[*pod][]candidate) {
	byPod = map[*pod][]candidate{}
	for id, c := range e.containers {
		switch {
		case c.name == ref && c.pod.spec.Solo:
			solo = append(solo, c.candidate())
		case c.name == ref:
			byPod[c.pod] = append(byPod[c.pod], c.candidate())
		case isHex(ref) && strings.HasPrefix(id, ref):
			begin = append(begin, c.candidate())
		}
	}
	return solo, begin, byPod
}

// onePerPodLocked picks among the attempts that share a name in one pod.
func (e registry) onePerPodLocked(ref string, byPod map[*pod][]candidate) ([]candidate, error) {
	var named []candidate
	for _, cs := range byPod {
		id, err := pick("container", ref, cs)
		if err != nil {
			return nil, err
		}
		named = append(named, e.containers[id].candidate())
	}
	return named, nil
}

func (e registry) inPodLocked(p *pod, name, ref string) (*container, error) {
	var cs []candidate
	for _, c := range p.containers {
		if c.name == name {
			cs = append(cs, c.candidate())
		}
	}
	if len(cs) == 0 {
		return nil, notFound("container", ref)
	}
	id, err := pick("container", ref, cs)
	return e.containers[id], err
}

func (p *pod) candidate() candidate {
	st := &p.view.load().status
	return candidate{id: p.id, title: p.title(), live: st.State == lifecycle.PodReady || st.State == lifecycle.PodCreated, rank: st.CreatedAt.UnixNano()}
}

func (c *container) candidate() candidate {
	st := &c.view.load().status
	return candidate{
		id: c.id, title: c.title(), live: st.State == lifecycle.ContainerRunning,
		rank: int64(st.Spec.Attempt)<<32 + st.CreatedAt.Unix()&0xffffffff,
	}
}
