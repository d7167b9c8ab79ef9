// Package forest groups the processes of a host by pod and container, each group as the
// tree that ps draws, and tells the runtimes' own processes from those of containers.
// It is pure: it decides on what package look has read.
package forest

import (
	"cmp"
	"slices"

	"carob/internal/look"
)

// Options say what is wanted.
type Options struct {
	// Things are what to show, nil is every pod and container.
	Things []look.Thing
	// All shows groups that no engine runs and the host's own processes too.
	All bool
}

// Forest is what there is to say.
type Forest struct {
	Sections []Section `json:"sections"`
	// Groups and Processes are not shown: groups that no engine runs, and processes of
	// the host. Kernel threads are never shown.
	Groups    int           `json:"groupsNotShown,omitempty"`
	Processes int           `json:"processesNotShown,omitempty"`
	Unread    []look.Unread `json:"unread,omitempty"`
}

// The kinds of sections beside the classes of containers.
const (
	Pod      = "pod"
	Host     = "host"
	Runtimes = "runtimes"
)

// Section is a heading with processes and further sections below it.
type Section struct {
	Is       string    `json:"is"`
	Name     string    `json:"name"`
	Engine   string    `json:"engine,omitempty"`
	ID       string    `json:"id,omitempty"`
	Trees    []*Node   `json:"processes,omitempty"`
	Sections []Section `json:"sections,omitempty"`
}

// Node is a process with its children of the same section.
type Node struct {
	PID  int `json:"pid"`
	PPID int `json:"ppid"`
	// Inside is its number in its own pid namespace, 0 when that is the reader's.
	Inside  int    `json:"inside,omitempty"`
	UID     uint32 `json:"uid"`
	State   string `json:"state"`
	Memory  uint64 `json:"memory"` // bytes resident
	Threads int    `json:"threads"`
	Command string `json:"command"`
	// Role is what a runtime's own process is, "" for all others.
	Role     string  `json:"role,omitempty"`
	Children []*Node `json:"children,omitempty"`
}

// grower makes sections of a host.
type grower struct {
	h *look.Host
	// monitors are the runtimes' processes over each container, by index.
	monitors map[int][]int
	placed   map[int]bool
}

// Grow groups processes.
func Grow(h *look.Host, o Options) Forest {
	g := grower{h: h, monitors: map[int][]int{}, placed: map[int]bool{}}
	for i := range h.Containers {
		g.monitors[i] = g.over(h.Containers[i].Leader)
	}
	f := Forest{Sections: []Section{}, Unread: h.Unread}
	if o.Things != nil {
		for _, t := range o.Things {
			f.Sections = append(f.Sections, g.thing(t))
		}
		return f
	}
	for i := range h.Pods {
		f.Sections = append(f.Sections, g.pod(&h.Pods[i]))
	}
	for i := range h.Containers {
		switch c := &h.Containers[i]; {
		case c.Pod != "" && h.ContainerThing(i).Pod != nil:
		case c.Class == look.ClassGroup && !o.All:
			f.Groups++
		default:
			f.Sections = append(f.Sections, g.container(i, h.ContainerThing(i).Name))
		}
	}
	return g.rest(f, o)
}

// over are the runtime's processes right above a process, the nearest first. A daemon
// is above all and belongs to none.
func (g *grower) over(pid int) []int {
	var out []int
	p := g.h.Process(pid)
	for p != nil && len(out) < 8 {
		if p = g.h.Process(p.PPID); p == nil || !monitor(p.Role) {
			break
		}
		out = append(out, p.PID)
	}
	return out
}

// monitor tells the process that looks after containers from a daemon or helper.
func monitor(role string) bool {
	return slices.Contains([]string{"containerd-shim", "conmon", "conmonrs", "lxc-start", "systemd-nspawn"}, role)
}

// pod is a section with one for each container. What is over several of them stands
// beside them.
func (g *grower) pod(p *look.Pod) Section {
	s := Section{Is: Pod, Name: p.Called(), Engine: p.Engine, ID: p.ID}
	over := map[int]int{}
	for _, i := range p.Containers {
		for _, pid := range g.monitors[i] {
			over[pid]++
		}
	}
	var shared []int
	for pid, n := range over {
		if n > 1 {
			shared = append(shared, pid)
			g.placed[pid] = true
		}
	}
	s.Trees = g.trees(shared)
	for _, i := range p.Containers {
		c := &g.h.Containers[i]
		s.Sections = append(s.Sections, g.container(i, cmp.Or(c.Name, look.Short(c.ID))))
	}
	return s
}

// container is a section with the container's monitor over its processes, unless that
// stands elsewhere already.
func (g *grower) container(i int, name string) Section {
	c := &g.h.Containers[i]
	s := Section{Is: c.Class, Name: name, Engine: c.Engine, ID: c.ID}
	pids := slices.Clone(c.PIDs)
	for _, pid := range g.monitors[i] {
		if !g.placed[pid] {
			pids = append(pids, pid)
		}
	}
	s.Trees = g.trees(pids)
	return s
}

func (g *grower) thing(t look.Thing) Section {
	switch t.Is {
	case look.ThingPod:
		return g.pod(t.Pod)
	case look.ThingContainer:
		for i := range g.h.Containers {
			if &g.h.Containers[i] == t.Container {
				return g.container(i, t.Name)
			}
		}
	case look.ThingHost:
		return Section{Is: Host, Name: Host, Trees: g.trees(t.PIDs)}
	}
	return Section{Is: t.Is, Name: t.Name, Trees: g.trees(g.below(t.Leader))}
}

// below are a process and all that come from it.
func (g *grower) below(pid int) []int {
	in := map[int]bool{pid: true}
	out := []int{pid}
	for grown := true; grown; { // a child may have a lower number than its parent
		grown = false
		for i := range g.h.Processes {
			if p := &g.h.Processes[i]; in[p.PPID] && !in[p.PID] {
				in[p.PID], grown = true, true
				out = append(out, p.PID)
			}
		}
	}
	return out
}

// rest adds what is in no container: the runtimes' own processes, and the host's.
func (g *grower) rest(f Forest, o Options) Forest {
	var runtimes, others []int
	for _, pid := range g.h.HostThing().PIDs {
		switch p := g.h.Process(pid); {
		case g.placed[pid]:
		case p.Role != "":
			runtimes = append(runtimes, pid)
		default:
			others = append(others, pid)
		}
	}
	if len(runtimes) > 0 {
		f.Sections = append(f.Sections, Section{Is: Runtimes, Name: "engines", Trees: g.trees(runtimes)})
	}
	if o.All {
		f.Sections = append(f.Sections, Section{Is: Host, Name: Host, Trees: g.trees(others)})
	} else {
		f.Processes = len(others)
	}
	return f
}

// trees puts processes below their parents and in order of PID.
func (g *grower) trees(pids []int) []*Node {
	slices.Sort(pids)
	nodes := map[int]*Node{}
	for _, pid := range pids {
		g.placed[pid] = true
		nodes[pid] = node(g.h.Process(pid))
	}
	var tops []*Node
	for _, pid := range pids {
		n := nodes[pid]
		up := nodes[n.PPID]
		if up == nil || g.circle(nodes, n) {
			tops = append(tops, n)
			continue
		}
		up.Children = append(up.Children, n)
	}
	return tops
}

// circle reports whether a process is its own forefather, as numbers that are in use
// again while they are read can make it seem.
func (g *grower) circle(nodes map[int]*Node, n *Node) bool {
	for up, steps := nodes[n.PPID], 0; up != nil; up, steps = nodes[up.PPID], steps+1 {
		if up == n || steps > len(nodes) {
			return true
		}
	}
	return false
}

func node(p *look.Process) *Node {
	n := &Node{
		PID: p.PID, PPID: p.PPID, UID: p.UID, State: p.State, Memory: p.RSS, Threads: p.Threads,
		Command: p.Command(), Role: p.Role,
	}
	if len(p.NSpid) > 1 {
		n.Inside = p.NSpid[len(p.NSpid)-1]
	}
	return n
}
