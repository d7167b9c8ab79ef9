// Package compare says what differs between two things, in words: which namespaces they
// share, and where identity, rights, limits and mounts are not the same. It is pure: it
// decides on what package facts has read.
package compare

import (
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/ink"
)

// Result is what there is to say.
type Result struct {
	A Side `json:"a"`
	B Side `json:"b"`
	// Says are sentences: what the two are, and about namespaces.
	Says       []string `json:"says"`
	Namespaces []Kind   `json:"namespaces"`
	Differ     []Topic  `json:"differ"`
	Same       []Topic  `json:"same"`
	Unread     []string `json:"unread,omitempty"`
}

// Side is one of the two.
type Side struct {
	Name string `json:"name"`
	Is   string `json:"is"`
	ID   string `json:"id,omitempty"`
	PID  int    `json:"pid,omitempty"`
}

// Kind is how one kind of namespace is on both sides.
type Kind struct {
	Kind look.Kind `json:"kind"`
	A    string    `json:"a"`
	B    string    `json:"b"`
	// Same is true when both are in one namespace.
	Same bool `json:"same"`
}

// Topic is one matter that is compared.
type Topic struct {
	Name string `json:"name"`
	// A and B are what it is on each side. Of a matter that is a set, as capabilities
	// are, where it differs these are what only that side has.
	A   []string `json:"a"`
	B   []string `json:"b"`
	Set bool     `json:"set,omitempty"`
}

// Build compares two things.
func Build(a, b *facts.Sheet) Result {
	r := Result{A: side(a), B: side(b), Differ: []Topic{}, Same: []Topic{}}
	for _, k := range look.Kinds() {
		x, y := stateOf(a, k), stateOf(b, k)
		if x.words != "" || y.words != "" {
			r.Namespaces = append(r.Namespaces, Kind{k, x.words, y.words, x.inode == y.inode && x.inode != 0})
		}
	}
	if r.A == r.B {
		r.Says = []string{what(a), "It is compared with itself."}
	} else {
		r.Says = append(append(r.Says, what(a), what(b)), r.sharing()...)
	}
	for _, t := range topics() {
		r.topic(t, a, b)
	}
	r.Unread = unread(a, b)
	return r
}

func side(s *facts.Sheet) Side {
	return Side{Name: s.Thing.Name, Is: s.Thing.Is, ID: s.Thing.ID, PID: s.Process.PID}
}

func unread(all ...*facts.Sheet) []string {
	var out []string
	for _, s := range all {
		for _, u := range s.Unread {
			out = append(out, s.Thing.Name+": "+u)
		}
		for i := range s.Members {
			for _, u := range s.Members[i].Unread {
				out = append(out, s.Members[i].Thing.Name+": "+u)
			}
		}
	}
	return out
}

// topic compares one matter.
func (r *Result) topic(t topic, a, b *facts.Sheet) {
	x, y := merged(a, t.of), merged(b, t.of)
	switch {
	case slices.Equal(x, y):
		if len(x) > 0 {
			r.Same = append(r.Same, Topic{t.name, x, y, t.set})
		}
	case t.set:
		r.Differ = append(r.Differ, Topic{t.name, without(x, y), without(y, x), true})
	default:
		r.Differ = append(r.Differ, Topic{t.name, x, y, false})
	}
}

func without(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(others, s) })
}

// merged is a matter of a thing. Of a pod it is that of its containers: what not all of
// them have, carries the names of those that do.
func merged(s *facts.Sheet, of func(*facts.Sheet) []string) []string {
	if len(s.Members) == 0 {
		return of(s)
	}
	var order []string
	have := map[string][]string{}
	for i := range s.Members {
		m := &s.Members[i]
		for _, v := range of(m) {
			if have[v] == nil {
				order = append(order, v)
			}
			have[v] = append(have[v], m.Thing.Container.Name)
		}
	}
	for i, v := range order {
		if len(have[v]) < len(s.Members) {
			order[i] = v + " (" + ink.List(have[v]) + ")"
		}
	}
	return order
}

// state is how a thing is placed in one kind of namespace. Inode is 0 when its
// containers are in several.
type state struct {
	inode uint64
	words string
}

// notSeen is said of a namespace that the reader may not see.
const notSeen = "not to be seen"

// eachOwn is said of a pod whose containers are not in one namespace.
const eachOwn = "each container's own"

func stateOf(s *facts.Sheet, k look.Kind) state {
	n := s.Process.NS[k]
	if len(s.Members) > 0 {
		var several int
		if n, several = members(s, k); several == len(s.Members) && several > 1 {
			return state{0, eachOwn}
		} else if several > 1 {
			return state{0, "not one for all of its containers"}
		}
	}
	switch {
	case n == 0 && s.Host[k] == 0:
		return state{}
	case n == 0:
		return state{0, notSeen}
	case n == s.Host[k]:
		return state{n, "the host's"}
	case len(s.Members) > 1:
		return state{n, "one for its " + strconv.Itoa(len(s.Members)) + " containers"}
	case len(s.With[k]) > 0 && len(s.Members) == 0:
		return state{n, "shared with " + some(s.With[k])}
	}
	return state{n, "its own"}
}

// members are in how many namespaces of a kind, and the first.
func members(s *facts.Sheet, k look.Kind) (first uint64, several int) {
	seen := map[uint64]bool{}
	for i := range s.Members {
		seen[s.Members[i].Process.NS[k]] = true
	}
	return s.Members[0].Process.NS[k], len(seen)
}

// some are the first of many names.
func some(names []string) string {
	const most = 3
	if len(names) <= most {
		return ink.List(names)
	}
	return strings.Join(names[:most], ", ") + " and " + strconv.Itoa(len(names)-most) + " more"
}

// what says what a thing is.
func what(s *facts.Sheet) string {
	t := s.Thing
	by := ""
	if t.Container != nil && t.Container.Engine != "" {
		by = " of " + t.Container.Engine
	}
	switch {
	case t.Is == look.ThingPod:
		return whatPod(s)
	case t.Is == look.ThingHost:
		return "host is the machine as its first process sees it."
	case t.Is == look.ThingProcess && t.Container == nil:
		return t.Name + " is a process outside of all containers."
	case t.Is == look.ThingProcess:
		return t.Name + " is a process in " + t.Container.Class + " " + containerName(t) + by + "."
	case t.Container.Class == look.ClassGroup:
		return t.Name + " is a group of processes in namespaces of their own that no engine runs."
	}
	line := t.Name + " is a " + t.Container.Class + by
	if t.Pod != nil && !t.Pod.Solo {
		line += " in pod " + t.Pod.Called()
	}
	return line + ": one process tree, " + ink.Count(len(t.PIDs), "process", "processes") + "."
}

func containerName(t look.Thing) string {
	if t.Container.Name != "" {
		return t.Container.Name
	}
	return look.Short(t.Container.ID)
}

func whatPod(s *facts.Sheet) string {
	var names []string
	for i := range s.Members {
		names = append(names, containerName(s.Members[i].Thing))
	}
	by := ""
	if s.Thing.Pod.Engine != "" {
		by = " of " + s.Thing.Pod.Engine
	}
	line := s.Thing.Name + " is a pod" + by + " of " + ink.Count(len(names), "container", "containers")
	if len(names) > 0 {
		line += ", " + ink.List(names)
	}
	if s.Thing.Pod.Sandbox != 0 {
		line += ", and a sandbox (process " + strconv.Itoa(s.Thing.Pod.Sandbox) + ") that holds what they share"
	}
	return line + "." + inside(s)
}

// inside says how the containers of a pod stand to each other.
func inside(s *facts.Sheet) string {
	if len(s.Members) < 2 {
		return ""
	}
	var one, own []string
	for _, k := range look.Kinds() {
		switch st := stateOf(s, k); {
		case st.inode == 0 && st.words == eachOwn:
			own = append(own, k.String())
		case st.inode != 0 && !s.Members[0].Shares(k):
			one = append(one, k.String())
		}
	}
	line := ""
	if len(one) > 0 {
		line += " Its containers have one " + ink.List(one) + " in common"
		if len(own) > 0 {
			line += ", and each has its own " + ink.List(own)
		}
		line += "."
	}
	return line
}

// sharing says in sentences how the two stand to each other.
func (r *Result) sharing() []string {
	var share, host, apart, unseen []string
	for _, k := range r.Namespaces {
		switch {
		case k.A == notSeen || k.B == notSeen:
			unseen = append(unseen, k.Kind.String())
		case k.Same && k.A == "the host's":
			host = append(host, k.Kind.String())
		case k.Same:
			share = append(share, k.Kind.String())
		default:
			apart = append(apart, k.Kind.String())
		}
	}
	both := r.A.Name + " and " + r.B.Name
	var out []string
	switch {
	case len(share) > 0:
		out = append(out, both+" share "+ink.List(share)+".")
	case len(apart) > 0:
		out = append(out, both+" share no namespace with each other alone.")
	}
	if len(host) > 0 {
		out = append(out, "Both are in the host's "+ink.List(host)+".")
	}
	if len(apart) > 0 {
		out = append(out, "They are apart in "+ink.List(apart)+".")
	}
	if len(unseen) > 0 {
		out = append(out, "Whether they share "+ink.List(unseen)+" could not be seen.")
	}
	return out
}
