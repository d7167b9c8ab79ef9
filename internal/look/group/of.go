package group

import (
	"path"
	"strings"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/ink"
)

// Of returns where a thing of a host is: a process and a container by the leader, the
// host at the root. A pod is in the group that holds those of its containers. A thing
// without a process is a fault.NotFound.
func (h *Host) Of(host *look.Host, t look.Thing) (Thing, error) {
	if t.Is == look.ThingHost {
		return h.Group("/")
	}
	leader := t.Leader
	if t.Is == look.ThingPod {
		leader = member(host, t.Pod)
	}
	if leader == 0 {
		return Thing{}, fault.New(fault.NotFound, t.Name+": has no process")
	}
	at, err := h.Process(leader)
	if err != nil {
		return Thing{}, err
	}
	at.Name = t.Name
	if t.Is != look.ThingPod {
		return at, nil
	}
	for i, p := range at.Paths {
		at.Paths[i] = around(p, t.Pod.ID)
	}
	return at, nil
}

// member is the leader of a container of a pod: its sandbox may be in no group of the
// pod's, as carob's supervisors are.
func member(host *look.Host, p *look.Pod) int {
	for _, i := range p.Containers {
		if c := &host.Containers[i]; c.Class == look.ClassContainer {
			return c.Leader
		}
	}
	return p.Sandbox
}

// around is the outermost group on the way to p that is of a pod; p itself when its
// name tells of none.
func around(p, pod string) string {
	found := p
	for at := p; at != "/" && at != "" && at != "."; at = path.Dir(at) {
		if t := look.ReadPath(at); t.Pod == pod || t.ID == pod {
			found = at
		}
	}
	return found
}

// Deepest is the longest of a thing's paths, "/" when it has none.
func (t Thing) Deepest() string {
	best := "/"
	for _, p := range t.Paths {
		if len(p) > len(best) {
			best = p
		}
	}
	return best
}

// Short is String with IDs cut to what people read, unless full.
func (b Bound) Short(full bool) string {
	if full {
		return b.String()
	}
	return ink.Short(b.String())
}

// Devices are the lines of the device list that holds for a thing (v1's devices.list:
// "c 1:3 rwm"); false where there is none, as in v2, whose programs cannot be read.
func (h *Host) Devices(t Thing) ([]string, bool) {
	tree := h.of("devices")
	if tree < 0 || t.Paths[tree] == "" {
		return nil, false
	}
	var out []string
	for line := range strings.Lines(h.text(tree, t.Paths[tree], "devices.list")) {
		out = append(out, strings.TrimSpace(line))
	}
	return out, len(out) > 0
}
