package name

import (
	"iter"
	"strings"

	"carob/internal/plan/check"
)

// Pod is a pod that a reference may mean.
type Pod struct {
	ID, Namespace, Name string
	Solo, Live          bool
	// Rank is higher for what was made later.
	Rank int64
}

// Title names the pod to people.
func (p Pod) Title() string {
	if p.Solo || p.Namespace == check.DefaultNamespace {
		return p.Name
	}
	return p.Namespace + "/" + p.Name
}

func (p Pod) candidate() Candidate {
	return Candidate{ID: p.ID, Title: p.Title(), Live: p.Live, Rank: p.Rank}
}

// is reports whether ref is the pod's "name" or "namespace/name".
func (p Pod) is(ref string) bool {
	if namespace, n, qualified := strings.Cut(ref, "/"); qualified {
		return p.Name == n && p.Namespace == namespace
	}
	return p.Name == ref
}

// Container is a container that a reference may mean.
type Container struct {
	ID, Name string
	Pod      Pod
	Live     bool
	Rank     int64
}

// Title names the container to people.
func (c Container) Title() string {
	if c.Pod.Solo {
		return c.Name
	}
	return c.Pod.Title() + "/" + c.Name
}

func (c Container) candidate() Candidate {
	return Candidate{ID: c.ID, Title: c.Title(), Live: c.Live, Rank: c.Rank}
}

// FindPod returns the ID of the pod that ref means: "name" or "namespace/name", or a prefix of
// an ID that only one pod has. Pods that somebody asked for come before solo ones.
func FindPod(ref string, all iter.Seq[Pod]) (id string, err error) {
	var named, solo, begin []Candidate
	for p := range all {
		switch {
		case !p.is(ref):
			if IsHex(ref) && strings.HasPrefix(p.ID, ref) {
				begin = append(begin, p.candidate())
			}
		case p.Solo:
			solo = append(solo, p.candidate())
		default:
			named = append(named, p.candidate())
		}
	}
	for _, cs := range [][]Candidate{named, solo} {
		if len(cs) > 0 {
			return Pick("pod", ref, cs)
		}
	}
	return Only("pod", ref, begin)
}

// FindContainer returns the ID of the container that ref, without a pod, means: the name of a
// solo container, a name that only one pod uses, or a prefix of an ID that only one has. Who
// names a pod, as kubectl's users do, is told its containers.
func FindContainer(ref string, all iter.Seq[Container]) (id string, err error) {
	var solo, begin []Candidate
	byPod := map[string][]Candidate{}
	for c := range all {
		switch {
		case c.Name == ref && c.Pod.Solo:
			solo = append(solo, c.candidate())
		case c.Name == ref:
			byPod[c.Pod.ID] = append(byPod[c.Pod.ID], c.candidate())
		case IsHex(ref) && strings.HasPrefix(c.ID, ref):
			begin = append(begin, c.candidate())
		}
	}
	var named []Candidate
	for _, attempts := range byPod {
		c, err := pick("container", ref, attempts)
		if err != nil {
			return "", err
		}
		named = append(named, c)
	}
	for _, cs := range [][]Candidate{solo, named, begin} {
		if len(cs) > 0 {
			return Only("container", ref, cs)
		}
	}
	return "", notAmong(ref, "is a pod; its containers are", titlesOf(ref, all))
}

// titlesOf are those of the containers in a pod that ref means.
func titlesOf(ref string, all iter.Seq[Container]) (titles []string) {
	for c := range all {
		if !c.Pod.Solo && c.Pod.is(ref) {
			titles = append(titles, c.Title())
		}
	}
	return titles
}

// InPod returns the ID of the container that has a name among those of one pod; of several
// attempts the one that Pick chooses. ref is how it was asked for.
func InPod(name, ref string, all iter.Seq[Container]) (id string, err error) {
	var cs []Candidate
	var others []string
	for c := range all {
		others = append(others, c.Title())
		if c.Name == name {
			cs = append(cs, c.candidate())
		}
	}
	if len(cs) == 0 {
		return "", notAmong(ref, "no such container; the pod's are", others)
	}
	return Pick("container", ref, cs)
}
