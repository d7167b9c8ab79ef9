package look

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"carob/internal/fault"
)

// The kinds of things that can be looked at.
const (
	ThingHost      = "host"
	ThingPod       = "pod"
	ThingContainer = "container"
	ThingProcess   = "process"
)

// Thing is what a word on a command line means: the host, a pod, a container, or a
// process.
type Thing struct {
	Is string `json:"is"`
	// Name is short and for people; ID is the engine's, or the PID.
	Name string `json:"name"`
	ID   string `json:"id,omitempty"`
	// Leader is the process that stands for it: a pod's is its sandbox, or its first
	// container's where it has none; the host's is 0.
	Leader int   `json:"leader,omitempty"`
	PIDs   []int `json:"pids,omitempty"`
	NS     NS    `json:"ns"`
	// Container and Pod are what it is, or is in; nil without.
	Container *Container `json:"container,omitempty"`
	Pod       *Pod       `json:"pod,omitempty"`
}

// HostThing is the host itself: the processes that are in no container.
func (h *Host) HostThing() Thing {
	t := Thing{Is: ThingHost, Name: ThingHost, NS: h.NS}
	inside := map[int]bool{}
	for _, c := range h.Containers {
		for _, pid := range c.PIDs {
			inside[pid] = true
		}
	}
	for i := range h.Processes {
		if p := &h.Processes[i]; !inside[p.PID] && !p.Kernel {
			t.PIDs = append(t.PIDs, p.PID)
		}
	}
	return t
}

// ContainerThing is the container with an index in Host.Containers.
func (h *Host) ContainerThing(i int) Thing {
	c := &h.Containers[i]
	t := Thing{Is: ThingContainer, Name: c.called, ID: c.ID, Leader: c.Leader, PIDs: c.PIDs, NS: c.NS, Container: c, Pod: h.podOf(c)}
	if c.Class == ClassGroup {
		t.ID = strconv.Itoa(c.Leader)
	}
	return t
}

// giveNames gives every pod and container a name that means it alone: where several have
// one, the beginning of the ID stands behind it, and where that is not enough, the PID
// of a container and the whole ID of a pod.
func giveNames(h *Host) {
	var pods, containers []*string
	for i := range h.Pods {
		h.pods[h.Pods[i].ID] = i
		h.Pods[i].called = h.Pods[i].Title()
		pods = append(pods, &h.Pods[i].called)
	}
	tellApart(pods, func(i int) string { return begin(h.Pods[i].ID) })
	tellApart(pods, func(i int) string { return h.Pods[i].ID })
	for i := range h.Containers {
		h.Containers[i].called = containerName(h, &h.Containers[i])
		containers = append(containers, &h.Containers[i].called)
	}
	tellApart(containers, func(i int) string { return begin(h.Containers[i].ID) })
	tellApart(containers, func(i int) string { return strconv.Itoa(h.Containers[i].Leader) })
}

// tellApart adds to names that are not alone what tells each of them from the others.
func tellApart(names []*string, more func(i int) string) {
	count := map[string]int{}
	for _, n := range names {
		count[*n]++
	}
	for i, n := range names {
		if count[*n] > 1 {
			*n += "@" + more(i)
		}
	}
}

func containerName(h *Host, c *Container) string {
	name := cmp.Or(c.Name, Short(c.ID))
	p := h.podOf(c)
	switch {
	case c.Class == ClassGroup:
		return name + ":" + strconv.Itoa(c.Leader)
	case p != nil && (!p.Solo || c.Class == ClassSandbox):
		return p.called + "/" + name
	}
	return name
}

// PodThing is the pod with an index in Host.Pods.
func (h *Host) PodThing(i int) Thing {
	p := &h.Pods[i]
	t := Thing{Is: ThingPod, Name: p.called, ID: p.ID, Leader: p.Sandbox, Pod: p}
	for _, n := range p.Containers {
		c := &h.Containers[n]
		t.PIDs = append(t.PIDs, c.PIDs...)
		if t.Leader == 0 {
			t.Leader = c.Leader
		}
	}
	slices.Sort(t.PIDs)
	if l := h.Process(t.Leader); l != nil {
		t.NS = l.NS
	}
	return t
}

// ProcessThing is one process, with the container and pod around it.
func (h *Host) ProcessThing(p *Process) Thing {
	t := Thing{
		Is: ThingProcess, Name: p.Comm + ":" + strconv.Itoa(p.PID), ID: strconv.Itoa(p.PID),
		Leader: p.PID, PIDs: []int{p.PID}, NS: p.NS,
	}
	for i := range h.Containers {
		if c := &h.Containers[i]; slices.Contains(c.PIDs, p.PID) {
			t.Container, t.Pod = c, h.podOf(c)
		}
	}
	return t
}

func (h *Host) podOf(c *Container) *Pod {
	if i, ok := h.pods[c.Pod]; ok && c.Pod != "" {
		return &h.Pods[i]
	}
	return nil
}

// Called is the name that means the pod alone on its host.
func (p *Pod) Called() string { return p.called }

// Title is what a pod is called: its name, in front of it the namespace unless that
// is the usual one, or the beginning of its ID.
func (p *Pod) Title() string {
	switch {
	case p.Name == "":
		return Short(p.ID)
	case p.Namespace != "" && p.Namespace != "default":
		return p.Namespace + "/" + p.Name
	}
	return p.Name
}

// Short is the beginning of an ID that people read.
func Short(id string) string { return id[:min(len(id), 12)] }

// Find finds what a word means: "host", a PID, a name or ID of a pod or container or
// the beginning of an ID, POD/CONTAINER. Where a pod and a container have one name the
// container is meant; "pod:NAME" means the pod. Kinds: NotFound; Conflict when several
// are meant.
func (h *Host) Find(word string) (Thing, error) {
	if word == ThingHost {
		return h.HostThing(), nil
	}
	if pid, err := strconv.Atoi(word); err == nil && h.Process(pid) != nil {
		return h.ProcessThing(h.Process(pid)), nil
	}
	name, podOnly := strings.CutPrefix(word, "pod:")
	var found []Thing
	if !podOnly {
		found = h.matches(len(h.Containers), h.ContainerThing, name)
	}
	if len(found) == 0 {
		found = h.matches(len(h.Pods), h.PodThing, name)
	}
	switch len(found) {
	case 0:
		return Thing{}, fault.New(fault.NotFound, strconv.Quote(word)+": there is no such pod, container or process to be seen")
	case 1:
		return found[0], nil
	}
	var names []string
	for _, t := range found {
		names = append(names, t.Name+" (process "+strconv.Itoa(t.Leader)+")") // which is a word that means one alone
	}
	return Thing{}, fault.New(fault.Conflict, strconv.Quote(word)+": could be "+strings.Join(names, ", "))
}

// matches are the things with a name or ID; where none has it whole, those whose ID
// begins with it.
func (h *Host) matches(n int, thing func(int) Thing, word string) []Thing {
	var whole, begin []Thing
	for i := range n {
		t := thing(i)
		switch {
		case word == "":
		case t.Name == word, t.ID == word, t.called(word):
			whole = append(whole, t)
		case len(word) >= 3 && strings.HasPrefix(t.ID, word):
			begin = append(begin, t)
		}
	}
	if len(whole) > 0 {
		return whole
	}
	return begin
}

// called tries the other names: of a container without its pod, of a pod without its
// namespace, and both with the beginning of the ID behind them whether there are twins or
// not: a name that was shown yesterday still means the same.
func (t Thing) called(word string) bool {
	var names []string
	if t.Pod != nil {
		names = []string{t.Pod.Name, t.Pod.Title(), t.Pod.Title() + "@" + begin(t.Pod.ID)}
	}
	if t.Is != ThingContainer {
		return slices.Contains(names, word)
	}
	c := t.Container
	if c.Class == ClassGroup {
		return false
	}
	name := cmp.Or(c.Name, Short(c.ID))
	for i := range names {
		names[i] += "/" + name
	}
	if c.Class == ClassContainer {
		names = append(names, name)
	}
	plain, id := word, begin(c.ID)
	if id != "" {
		plain = strings.TrimSuffix(word, "@"+id)
	}
	return slices.Contains(names, word) || slices.Contains(names, plain)
}

// begin is as much of an ID as tells twins apart.
func begin(id string) string { return id[:min(len(id), 6)] }
