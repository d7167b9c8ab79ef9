package scene

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/group"
)

// roomy is how many containers a scene may have and still show each at length.
const roomy = 12

// builder makes one scene.
type builder struct {
	Input
	groups map[string]*group.Group // by path
	at     map[int]string          // PID to path
	// all are the host's containers and, when a process that is in none is asked for, one
	// made of it.
	all []look.Container
	// paths are their cgroups.
	paths []string
	// users are the containers in a namespace, by index into all.
	users map[look.Namespace][]int
}

// Build decides what is to be seen.
func Build(in Input) *Scene {
	b := &builder{Input: in, groups: map[string]*group.Group{}, at: map[int]string{}, users: map[look.Namespace][]int{}}
	b.all = in.Host.Containers
	if in.Focus.Is == look.ThingProcess && in.Focus.Container == nil {
		b.all = append(slices.Clone(b.all), lone(in.Host, in.Focus))
	}
	if in.Groups != nil {
		b.index(in.Groups)
	}
	for i := range b.all {
		b.paths = append(b.paths, b.cgroup(&b.all[i]))
		for _, k := range look.Kinds() {
			n := look.Namespace{Kind: k, Inode: b.all[i].NS[k]}
			b.users[n] = append(b.users[n], i)
		}
	}
	s := &Scene{Title: b.title(), Root: &Frame{Path: "/", Label: "/"}}
	var cards []*Card
	count := 0
	for _, members := range b.clusters() {
		if b.wanted(members) {
			c := b.card(members)
			cards, count = append(cards, c), count+len(c.Columns)
		}
	}
	s.Compact = count > roomy
	for _, c := range cards {
		if len(c.Columns) == 1 { // it cannot be mistaken for another
			c.Columns[0].Focus = false
		}
		sharer{b}.lanes(c, s.Compact)
		c.Words = words(c)
	}
	b.nest(s.Root, cards)
	s.Kinds = kindsOf(cards)
	s.Facts = b.facts(cards)
	s.Notes = b.notes()
	return s
}

// notes say what could not be read.
func (b *builder) notes() []string {
	var out []string
	for _, u := range b.Host.Unread {
		out = append(out, fmt.Sprintf("%s of %s could not be read: %s", Clean(u.What), quantity(u.Count, "process", "processes"), Clean(u.Why)))
	}
	if strings.HasPrefix(b.Host.NSFrom, "/proc/self") {
		out = append(out, "the host's namespaces may not be seen: those of this program are taken for them")
	}
	if b.Groups == nil {
		out = append(out, "cgroups could not be read: limits are not shown")
	}
	return out
}

func (b *builder) index(g *group.Group) {
	b.groups[g.Path] = g
	for _, p := range g.Processes {
		b.at[p.PID] = g.Path
	}
	for _, c := range g.Children {
		b.index(c)
	}
}

// lone makes a container of a process that is in none.
func lone(h *look.Host, t look.Thing) look.Container {
	return look.Container{Class: look.ThingProcess, Name: h.Process(t.Leader).Comm, Leader: t.Leader, NS: t.NS, PIDs: t.PIDs}
}

func (b *builder) title() string {
	switch b.Focus.Is {
	case look.ThingHost, "":
		return strings.TrimSpace("host " + Clean(b.Name))
	case look.ThingProcess:
		return "process " + strconv.Itoa(b.Focus.Leader) + " " + Clean(b.Host.Process(b.Focus.Leader).Comm)
	}
	return b.Focus.Is + " " + Clean(b.Focus.Name)
}

// facts are what stands below the title.
func (b *builder) facts(cards []*Card) []string {
	var out []string
	if b.Focus.Is == look.ThingHost || b.Focus.Is == "" {
		out = counted(cards)
	} else if b.Name != "" {
		out = append(out, "on "+Clean(b.Name))
	}
	if b.Mode != "" {
		out = append(out, "cgroup "+string(b.Mode))
	}
	if b.Memory > 0 {
		out = append(out, group.Bytes(float64(b.Memory))+" of memory")
	}
	return out
}

// counted says how many there are of each.
func counted(cards []*Card) []string {
	pods := 0
	class := map[string]int{}
	for _, c := range cards {
		if c.Is == "pod" {
			pods++
		}
		for _, col := range c.Columns {
			class[col.Class]++
		}
	}
	var out []string
	if pods > 0 {
		out = append(out, quantity(pods, "pod", "pods"))
	}
	out = append(out, quantity(class[look.ClassContainer], "container", "containers"))
	if n := class[look.ClassGroup]; n > 0 {
		out = append(out, quantity(n, "other group", "other groups")+" in namespaces of their own")
	}
	return out
}

func quantity(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// wanted reports whether containers are a part of what is asked for.
func (b *builder) wanted(members []int) bool {
	return slices.ContainsFunc(members, func(i int) bool {
		c := &b.all[i]
		switch b.Focus.Is {
		case look.ThingPod:
			return c.Pod == b.Focus.Pod.ID
		case look.ThingContainer, look.ThingProcess:
			return slices.Contains(c.PIDs, b.Focus.Leader)
		}
		return true
	})
}

// focused reports whether a container is meant and not only beside what is meant.
func (b *builder) focused(c *look.Container) bool {
	return b.Focus.Is == look.ThingContainer && c.Leader == b.Focus.Leader
}

// cgroup is the path of a container's own cgroup: where its leader is or, above that,
// the outermost that is named after the same container.
func (b *builder) cgroup(c *look.Container) string {
	p, ok := b.at[c.Leader]
	if !ok {
		p = cmp.Or(c.Cgroup, "/")
	}
	for up := path.Dir(p); c.ID != "" && up != "/" && look.ReadPath(up).ID == c.ID; up = path.Dir(up) {
		p = up
	}
	return p
}

// stray reports whether a container stands outside of the cgroup of the others: of the
// shared one, or, where each has its own, a sandbox that is not beside them.
func (b *builder) stray(i int, members []int, shared string) bool {
	if shared != "" {
		return !under(b.paths[i], shared)
	}
	others := slices.ContainsFunc(members, func(m int) bool { return b.all[m].Class != look.ClassSandbox })
	return others && b.all[i].Class == look.ClassSandbox && !b.near(b.paths[i], members)
}

// card makes a card without lanes.
func (b *builder) card(members []int) *Card {
	c := &Card{Is: "shared"}
	pod := b.podOf(members)
	shared := b.common(members, pod)
	for _, i := range members {
		col := b.column(i)
		col.stray = b.stray(i, members, shared)
		if pod == nil {
			col.Name = b.longName(i, col.Name)
		}
		c.Columns = append(c.Columns, col)
	}
	if shared != "" {
		c.Group = b.frame(shared)
		slices.SortStableFunc(c.Columns, func(x, y Column) int { return inside(x) - inside(y) })
		c.Outside = slices.IndexFunc(c.Columns, func(x Column) bool { return !x.stray })
	}
	first := c.Columns[0]
	c.Name, c.Engine, c.ID, c.Key = first.Name, first.Engine, first.ID, "card-"+first.Key
	switch {
	case pod != nil:
		c.Is, c.Name, c.ID, c.Key = "pod", Clean(pod.Title()), Clean(pod.ID), "pod-"+Clean(pod.ID)
		c.Engine = cmp.Or(Clean(pod.Engine), c.Engine)
	case len(c.Columns) == 1:
		c.Is = first.Class
	default:
		c.Name, c.ID, c.Engine = strings.Join(names(c.Columns), " + "), "", engines(c.Columns)
	}
	order(c, b.Host.NS)
	return c
}

func inside(c Column) int {
	if c.stray {
		return 0
	}
	return 1
}

// longName is a container's name with its pod's in front, for a card that is not that pod's
// alone.
func (b *builder) longName(i int, name string) string {
	if p := b.podOf([]int{i}); p != nil && (!p.Solo || b.all[i].Class == look.ClassSandbox) {
		return Clean(p.Title()) + "/" + name
	}
	return name
}

// names are those of containers; sandboxes are named only when nothing else is there.
func names(all []Column) []string {
	var out, sandboxes []string
	for _, c := range all {
		if c.Class == look.ClassSandbox {
			sandboxes = append(sandboxes, c.Name)
			continue
		}
		out = append(out, c.Name)
	}
	if len(out) == 0 {
		return sandboxes
	}
	return out
}

// engines are those of several containers.
func engines(all []Column) string {
	var out []string
	for _, c := range all {
		if c.Engine != "" && !slices.Contains(out, c.Engine) {
			out = append(out, c.Engine)
		}
	}
	return strings.Join(out, ", ")
}

// podOf is the pod that containers are of, nil when they are of none or several.
func (b *builder) podOf(members []int) *look.Pod {
	id := b.all[members[0]].Pod
	for _, i := range members {
		if b.all[i].Pod != id {
			return nil
		}
	}
	for i := range b.Host.Pods {
		if p := &b.Host.Pods[i]; p.ID == id && id != "" {
			return p
		}
	}
	return nil
}

// column is one container, without its namespaces.
func (b *builder) column(i int) Column {
	c := &b.all[i]
	id := Clean(c.ID)
	col := Column{
		Key:   c.Class + "-" + cmp.Or(id, strconv.Itoa(c.Leader)),
		Class: c.Class, Name: Clean(cmp.Or(c.Name, look.Short(c.ID))), ID: id, Engine: Clean(c.Engine),
		Path: b.paths[i], Focus: b.focused(c), of: c,
	}
	if col.Name == "" {
		col.Name = strconv.Itoa(c.Leader)
	}
	col.Meters, col.Note = limits(b.groups[col.Path], c)
	for _, pid := range c.PIDs {
		p := b.Host.Process(pid)
		if p == nil {
			continue
		}
		q := Process{PID: pid, Command: Clean(p.Command()), Focus: b.Focus.Is == look.ThingProcess && pid == b.Focus.Leader}
		for _, k := range look.Kinds() {
			if p.NS.Known() && p.NS[k] != c.NS[k] {
				q.Odd = append(q.Odd, k)
			}
		}
		col.Processes = append(col.Processes, q)
	}
	// Where only some can be shown, the one that is asked for and the leader are.
	slices.SortStableFunc(col.Processes, func(x, y Process) int { return rank(x, c.Leader) - rank(y, c.Leader) })
	return col
}

// rank puts the process that is asked for before the leader, and that before others.
func rank(p Process, leader int) int {
	switch {
	case p.Focus:
		return 0
	case p.PID == leader:
		return 1
	}
	return 2
}
