package scene

import (
	"cmp"
	"slices"
	"strings"

	"carob/internal/look"
)

// widest is how many containers are drawn side by side for the sake of a namespace that
// they share; where more do, it is said in words.
const widest = 12

// clusters are the sets of containers that are drawn together: those of one pod, and
// those that share namespaces which are not the host's. Each is in order, and so are
// they by their first.
func (b *builder) clusters() [][]int {
	in := make([]int, len(b.all)) // container to cluster
	sets := map[int][]int{}
	pods := map[string]int{}
	for i := range b.all {
		in[i] = i
		if first, seen := pods[b.all[i].Pod]; seen && b.all[i].Pod != "" {
			in[i] = first
		} else {
			pods[b.all[i].Pod] = i
		}
		sets[in[i]] = append(sets[in[i]], i)
	}
	// Those of one user often share a user namespace: it joins last, where there is room.
	for _, k := range []look.Kind{look.Net, look.IPC, look.UTS, look.PID, look.Mnt, look.Cgroup, look.Time, look.User} {
		for i := range b.all {
			n := look.Namespace{Kind: k, Inode: b.all[i].NS[k]}
			if together := b.users[n]; together[0] == i && b.own(n) {
				join(in, sets, together)
			}
		}
	}
	var out [][]int
	for i := range b.all {
		if set, ok := sets[i]; ok {
			out = append(out, set)
		}
	}
	return out
}

// own reports whether a namespace is known and not the host's.
func (b *builder) own(n look.Namespace) bool { return n.Inode != 0 && n.Inode != b.Host.NS[n.Kind] }

// join makes one set of those that some containers are in, if it is not too wide.
func join(in []int, sets map[int][]int, together []int) {
	var ids []int
	size := 0
	for _, i := range together {
		if !slices.Contains(ids, in[i]) {
			ids, size = append(ids, in[i]), size+len(sets[in[i]])
		}
	}
	if len(ids) < 2 || size > widest {
		return
	}
	slices.Sort(ids)
	for _, id := range ids[1:] {
		for _, i := range sets[id] {
			in[i] = ids[0]
		}
		sets[ids[0]] = append(sets[ids[0]], sets[id]...)
		delete(sets, id)
	}
	slices.Sort(sets[ids[0]])
}

// sharer decides which containers of a card are in which namespaces.
type sharer struct{ *builder }

// lanes decides the outlines of a card: those that several containers are in first,
// then those of one each, then the host's.
func (b sharer) lanes(c *Card, compact bool) {
	var lanes []Lane
	for _, k := range look.Kinds() {
		l := b.lane(c, k)
		if len(l.Outlines) == 0 {
			continue
		}
		if i := slices.IndexFunc(lanes, func(have Lane) bool { return alike(have, l) }); i >= 0 && (compact || l.onlyHost()) {
			lanes[i].merge(l)
			continue
		}
		lanes = append(lanes, l)
	}
	slices.SortStableFunc(lanes, func(x, y Lane) int { return cmp.Compare(x.weight(), y.weight()) })
	c.Lanes = lanes
	for _, l := range lanes {
		for _, o := range l.Outlines {
			i := slices.IndexFunc(o.Namespaces, func(n look.Namespace) bool { return n.Kind == look.Net })
			if i >= 0 && !o.Host {
				c.Addresses = append(c.Addresses, b.addresses(o.Namespaces[i].Inode)...)
			}
		}
	}
}

// lane finds the namespaces of one kind.
func (b sharer) lane(c *Card, k look.Kind) Lane {
	var l Lane
	for i := range c.Columns {
		n := look.Namespace{Kind: k, Inode: c.Columns[i].of.NS[k]}
		if n.Inode == 0 {
			continue
		}
		at := slices.IndexFunc(l.Outlines, func(o Outline) bool { return o.Namespaces[0] == n })
		if at < 0 {
			at = len(l.Outlines)
			l.Outlines = append(l.Outlines, Outline{Namespaces: []look.Namespace{n}, Host: !b.own(n), Detail: b.detail(n)})
		}
		l.Outlines[at].Members = append(l.Outlines[at].Members, i)
	}
	for i := range l.Outlines {
		if o := &l.Outlines[i]; !o.Host {
			o.Elsewhere = len(b.users[o.Namespaces[0]]) - len(o.Members)
		}
	}
	return l
}

// detail is what there is to say of a namespace.
func (b sharer) detail(n look.Namespace) string {
	switch {
	case !b.own(n):
		return ""
	case n.Kind == look.Net:
		return strings.Join(b.addresses(n.Inode), "  ")
	case n.Kind == look.User:
		return Clean(b.Maps[n.Inode])
	}
	return ""
}

func (b sharer) addresses(inode uint64) []string {
	var out []string
	for _, a := range b.Addresses[inode] {
		out = append(out, Clean(a))
	}
	return out
}

// alike reports whether two lanes have the same outlines but for the kind.
func alike(x, y Lane) bool {
	return slices.EqualFunc(x.Outlines, y.Outlines, func(a, b Outline) bool {
		return a.Host == b.Host && a.Elsewhere == b.Elsewhere && slices.Equal(a.Members, b.Members)
	})
}

func (l *Lane) merge(other Lane) {
	for i := range l.Outlines {
		o := &l.Outlines[i]
		o.Namespaces = append(o.Namespaces, other.Outlines[i].Namespaces...)
		o.Detail = strings.TrimSpace(o.Detail + "  " + other.Outlines[i].Detail)
	}
}

func (l Lane) onlyHost() bool { return len(l.Outlines) == 1 && l.Outlines[0].Host }

func (l Lane) weight() int {
	switch {
	case l.onlyHost():
		return 2
	case slices.ContainsFunc(l.Outlines, func(o Outline) bool { return len(o.Members) > 1 && !o.Host }):
		return 0
	}
	return 1
}

// kindsOf are the kinds that are to be seen in cards.
func kindsOf(cards []*Card) []look.Kind {
	seen := map[look.Kind]bool{}
	for _, c := range cards {
		for _, col := range c.Columns {
			for _, k := range look.Kinds() {
				seen[k] = seen[k] || col.of.NS[k] != 0
			}
		}
	}
	return slices.DeleteFunc(look.Kinds(), func(k look.Kind) bool { return !seen[k] })
}
