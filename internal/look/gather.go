package look

import (
	"cmp"
	"slices"
	"strings"
)

// The classes of containers.
const (
	// ClassContainer is what an engine calls a container.
	ClassContainer = "container"
	// ClassSandbox holds a pod's namespaces: a pause process, carob's supervisor.
	ClassSandbox = "sandbox"
	// ClassGroup are processes in namespaces of their own that no engine runs: unshare,
	// bwrap, a browser's sandbox, a service with a private /tmp.
	ClassGroup = "group"
)

// Container is a set of processes that belong together.
type Container struct {
	Class string `json:"class"`
	// ID is the engine's, Name what people call it; either may be "".
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// Engine is who runs it, "" when nothing tells.
	Engine string `json:"engine,omitempty"`
	// Pod is the ID of its pod, "" without one.
	Pod  string `json:"pod,omitempty"`
	Unit string `json:"unit,omitempty"`
	// Leader is the process that the others come from; NS are its namespaces.
	Leader int `json:"leader"`
	NS     NS  `json:"ns"`
	// PIDs are in order; Odd are those whose namespaces are not all the leader's.
	PIDs []int `json:"pids"`
	Odd  []int `json:"odd,omitempty"`
	// Cgroup is the path that tells the ID. From says what the identity was learned
	// from, NameFrom the same of the name.
	Cgroup   string `json:"cgroup,omitempty"`
	From     string `json:"from"`
	NameFrom string `json:"nameFrom,omitempty"`

	start  uint64
	called string
}

// Pod is a set of containers with a sandbox.
type Pod struct {
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Engine    string `json:"engine,omitempty"`
	// Sandbox is the process that holds its namespaces, 0 without.
	Sandbox int `json:"sandbox,omitempty"`
	// Containers are indices into Host.Containers, the sandbox among them.
	Containers []int  `json:"containers"`
	From       string `json:"from"`
	NameFrom   string `json:"nameFrom,omitempty"`
	// Solo is true for the pod that carob makes around a single container.
	Solo bool `json:"solo,omitempty"`

	called string
}

// gatherer sorts processes into containers.
type gatherer struct {
	h     *Host
	shims map[int]shim
	// above is the nearest runtime's process over a process.
	above map[int]int
	found map[string]*Container
	names namer
}

// gather sorts processes into containers and pods.
func (h *Host) gather(o Options, m *misses) {
	g := gatherer{h: h, shims: map[int]shim{}, above: map[int]int{}, found: map[string]*Container{}}
	traces := make([]Trace, len(h.Processes))
	at := make([]Place, len(h.Processes))
	for i := range h.Processes {
		p := &h.Processes[i]
		traces[i], at[i] = trace(p.Cgroups)
		// Where the path tells an ID but no engine, a monitor beside the container is in it
		// too, as podman's is below a parent of the user's choice.
		outside := traces[i].Engine == "" && p.NS[Mnt] == h.NS[Mnt]
		if traces[i].ID == "" || traces[i].Shim || outside {
			if s, ok := roleOf(p); ok {
				g.shims[p.PID], p.Role = s, s.role
			}
		}
	}
	g.names = newNamer(h, o.RunDirs, m)
	for pid, s := range g.shims {
		if s.role == "carob-pod" {
			g.shims[pid] = g.names.supervisor(pid, s)
		}
	}
	for i := range h.Processes {
		if p := &h.Processes[i]; !p.Kernel {
			g.place(p, traces[i], at[i])
		}
	}
	for _, c := range g.found {
		g.lead(c)
	}
	g.pods()
	giveNames(h)
}

// shimOf is the nearest of the runtimes' own processes over p, and its PID.
func (g *gatherer) shimOf(p *Process) (shim, int) {
	var path []int
	found := 0
	for at := p; at != nil && len(path) < 64; at = g.h.Process(at.PPID) {
		if known, ok := g.above[at.PID]; ok {
			found = known
			break
		}
		path = append(path, at.PID)
		if s, ok := g.shims[at.PPID]; ok && s.looksAfter() {
			found = at.PPID
			break
		}
	}
	for _, pid := range path {
		g.above[pid] = found
	}
	return g.shims[found], found
}

// looksAfter tells a process that has containers for children from a daemon.
func (s shim) looksAfter() bool { return s.id != "" || s.pod != "" }

// place puts a process into its container, if it is in one.
func (g *gatherer) place(p *Process, t Trace, at Place) {
	own, isShim := g.shims[p.PID]
	over, pid := g.shimOf(p)
	switch {
	case isShim && own.role == "carob-pod":
		g.add(Container{Class: ClassSandbox, Engine: Carob, Pod: own.pod, From: procFile(p.PID, "cmdline")}, p)
	case isShim, t.Shim:
	case t.ID != "":
		g.add(traced(p, t, at, over).calledBy(over, pid), p)
	case !p.NS.Known():
	case pid != 0 && p.NS[Mnt] != g.h.NS[Mnt]: // a runtime's children before their execve are not yet inside
		g.add(watched(t, over, pid).calledBy(over, pid), p)
	case p.NS != g.h.NS && g.h.NS.Known():
		// The namespaces are a part of what tells one group from another.
		g.add(Container{Class: ClassGroup, Unit: t.Unit, Engine: g.sandboxer(p, t), From: procFile(p.PID, "ns"), NS: p.NS}, p)
	}
}

// traced is the container that a cgroup path tells of. A path in which no engine
// left its mark belongs to the engine whose process is above.
func traced(p *Process, t Trace, at Place, over shim) Container {
	c := Container{
		Class: ClassContainer, ID: t.ID, Engine: t.Engine, Unit: t.Unit, Cgroup: at.Path,
		Pod: cmp.Or(t.Pod, over.pod), From: procFile(p.PID, "cgroup"),
	}
	if c.Engine == "" || c.Engine == Containerd { // Docker's shims are containerd's
		c.Engine = cmp.Or(over.engine, c.Engine)
	}
	return c
}

// watched is the container that the runtime's process above looks after; what has no
// ID is a part of the sandbox.
func watched(t Trace, over shim, pid int) Container {
	c := Container{Class: ClassContainer, ID: over.id, Engine: over.engine, Pod: cmp.Or(t.Pod, over.pod), Unit: t.Unit, From: procFile(pid, "cmdline")}
	if over.id == "" {
		c.Class = ClassSandbox
	}
	return c
}

func (c Container) calledBy(over shim, pid int) Container {
	if over.id == c.ID && over.name != "" && c.ID != "" {
		c.Name, c.NameFrom = over.name, procFile(pid, "cmdline")
	}
	return c
}

// sandboxer is who made the namespaces of processes that no engine runs.
func (g *gatherer) sandboxer(p *Process, t Trace) string {
	for at, n := p, 0; at != nil && n < 64; at, n = g.h.Process(at.PPID), n+1 {
		if at.Comm == Bwrap {
			return Bwrap
		}
	}
	switch {
	case strings.HasPrefix(t.Unit, "snap."):
		return Snap
	case strings.HasSuffix(t.Unit, ".service") && !strings.HasPrefix(t.Unit, "user@"):
		return Systemd
	}
	return ""
}

func (g *gatherer) add(c Container, p *Process) {
	key := c.Class + c.ID
	switch c.Class {
	case ClassSandbox:
		key += c.Pod
	case ClassGroup:
		key += c.Unit + c.nsKey()
	}
	have := g.found[key]
	if have == nil {
		have = &c
		g.found[key] = have
	}
	have.PIDs = append(have.PIDs, p.PID)
	have.Name, have.NameFrom = cmp.Or(have.Name, c.Name), cmp.Or(have.NameFrom, c.NameFrom)
	have.Engine, have.Pod = cmp.Or(have.Engine, c.Engine), cmp.Or(have.Pod, c.Pod)
}

func (c *Container) nsKey() string {
	var b strings.Builder
	for _, k := range Kinds() {
		b.WriteString(Namespace{k, c.NS[k]}.String())
	}
	return b.String()
}

// lead finds the process that the others of a container come from: the first process
// of its pid namespace, else the eldest.
func (g *gatherer) lead(c *Container) {
	var best *Process
	for _, pid := range c.PIDs {
		p := g.h.Process(pid)
		if best == nil || cmpLead(p, best, c.Class) < 0 {
			best = p
		}
	}
	c.Leader, c.NS, c.start = best.PID, best.NS, best.Start
	for _, pid := range c.PIDs {
		if p := g.h.Process(pid); p.NS != c.NS && p.NS.Known() {
			c.Odd = append(c.Odd, pid)
		}
	}
	if s, ok := g.shims[c.Leader]; ok && s.role == "carob-pod" {
		c.Name, c.NameFrom = "sandbox", c.From
	}
	if c.Class == ClassGroup {
		c.Name = c.Unit
		if !strings.HasSuffix(c.Unit, ".service") {
			c.Name = best.Comm
		}
	}
}

func cmpLead(a, b *Process, class string) int {
	if class != ClassSandbox { // a supervisor is not in the pid namespace it made
		if d := cmp.Compare(inner(a), inner(b)); d != 0 {
			return d
		}
	}
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.PID, b.PID))
}

// inner is 0 for the first process of a pid namespace and 1 for any other.
func inner(p *Process) int {
	if n := len(p.NSpid); n > 1 && p.NSpid[n-1] == 1 {
		return 0
	}
	return 1
}

// pods puts containers in order and finds the pods among them.
func (g *gatherer) pods() {
	pods := map[string]*Pod{}
	for _, c := range g.found {
		if c.Class == ClassContainer && c.Pod != "" && g.isPause(c) {
			c.Class = ClassSandbox
		}
		g.names.container(c)
		if c.Pod != "" {
			g.join(pods, c)
		}
	}
	for _, c := range g.found {
		g.h.Containers = append(g.h.Containers, *c)
	}
	slices.SortFunc(g.h.Containers, func(a, b Container) int { return g.order(pods, a, b) })
	for i, c := range g.h.Containers {
		if p := pods[c.Pod]; p != nil {
			p.Containers = append(p.Containers, i)
		}
	}
	for _, p := range pods {
		g.h.Pods = append(g.h.Pods, *p)
	}
	slices.SortFunc(g.h.Pods, func(a, b Pod) int { return a.Containers[0] - b.Containers[0] })
}

// join puts a container into its pod.
func (g *gatherer) join(pods map[string]*Pod, c *Container) {
	p := pods[c.Pod]
	if p == nil {
		p = &Pod{ID: c.Pod, From: c.From, Engine: c.Engine}
		pods[c.Pod] = p
	}
	if c.Class == ClassSandbox {
		p.Sandbox, p.From, p.Engine = c.Leader, c.From, cmp.Or(c.Engine, p.Engine)
	}
	if p.Name == "" {
		g.names.pod(p, c)
	}
}

// isPause knows the process that only holds a pod's namespaces. A shim that looks
// after a pod carries the sandbox's ID.
func (g *gatherer) isPause(c *Container) bool {
	p := g.h.Process(c.Leader)
	over, _ := g.shimOf(p)
	return p.Comm == "pause" || p.Comm == "catatonit" && c.Engine == Podman || over.role == "containerd-shim" && over.id == c.ID
}

// order is: pods by name, in each the sandbox first, then the others by start; then
// containers without a pod; then groups.
func (g *gatherer) order(pods map[string]*Pod, a, b Container) int {
	rank := func(c Container) int {
		switch {
		case c.Pod != "":
			return 0
		case c.Class == ClassGroup:
			return 2
		}
		return 1
	}
	title := func(c Container) string {
		if p := pods[c.Pod]; p != nil {
			return p.Name
		}
		return ""
	}
	isContainer := func(c Container) int {
		if c.Class == ClassSandbox {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(title(a), title(b)), cmp.Compare(a.Pod, b.Pod),
		cmp.Compare(isContainer(a), isContainer(b)), cmp.Compare(a.start, b.start), cmp.Compare(a.Leader, b.Leader))
}
