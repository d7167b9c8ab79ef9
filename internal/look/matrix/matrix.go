// Package matrix says who shares which namespaces with whom: a row for each container,
// a column for each kind, and the same in words. Sharing is worked out over all
// processes of the host, also when only some rows are shown: "own" means that no other
// row of the host is in it. It decides on what package look has read and reads only the
// id maps, through a function that it is given.
package matrix

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
)

// Options say what is wanted of a host.
type Options struct {
	// Things are the rows to show; nil is every container and sandbox.
	Things []look.Thing
	// All shows groups that no engine runs and the host too.
	All bool
	// Maps reads the id maps of a process's user namespace, nil not to.
	Maps func(pid int) (users, groups []look.Map, err error)
}

// Matrix is what there is to say.
type Matrix struct {
	// Host are the host's own namespaces, From where they were read. Inner is true when
	// the reader is inside of something and sees only what is in there.
	Host  look.NS `json:"host"`
	From  string  `json:"from"`
	Inner bool    `json:"inner,omitempty"`
	Rows  []Row   `json:"rows"`
	// Says states sharing in words, one entry for each set of rows that share.
	Says []Statement `json:"says"`
	// Namespaces are those of the rows, the host's left out.
	Namespaces []Namespace `json:"namespaces"`
	Kept       []look.Kept `json:"kept,omitempty"`
	// Groups is how many rows of groups are not shown.
	Groups int           `json:"groupsNotShown,omitempty"`
	Unread []look.Unread `json:"unread,omitempty"`
}

// Row is a set of processes that are in the same namespaces.
type Row struct {
	Name   string `json:"name"`
	Class  string `json:"class"`
	Engine string `json:"engine,omitempty"`
	Pod    string `json:"pod,omitempty"`
	// PID is the first of the processes PIDs.
	PID  int     `json:"pid,omitempty"`
	PIDs []int   `json:"pids"`
	NS   look.NS `json:"ns"`
	// Cells are labels by kind: "host", "own", a letter for a set of rows that share,
	// "?" for what could not be read, "" for a kind that this kernel has not.
	Cells Cells `json:"cells"`
}

// Cells are labels by kind.
type Cells [look.NumKinds]string

// MarshalJSON writes an object: kind to label, without the kinds that this kernel has
// not.
func (c Cells) MarshalJSON() ([]byte, error) {
	m := map[string]string{}
	for _, k := range look.Kinds() {
		if c[k] != "" {
			m[k.String()] = c[k]
		}
	}
	return json.Marshal(m)
}

// The classes of rows beside those of containers.
const (
	ClassHost    = "host"
	ClassRuntime = "runtime"
	ClassProcess = "process"
)

// The labels that are no letters.
const (
	Host    = "host"
	Own     = "own"
	Unknown = "?"
)

// Namespace is one namespace of the rows.
type Namespace struct {
	look.Namespace
	Label string `json:"label"`
	// Rows are the names of all rows in it, shown or not.
	Rows []string `json:"rows"`
	look.Lineage
	// Users and Groups map the ids of a user namespace to the reader's.
	Users  []look.Map `json:"users,omitempty"`
	Groups []look.Map `json:"groups,omitempty"`
}

// builder has the rows of the whole host.
type builder struct {
	h    *look.Host
	rows []Row
	in   map[look.Namespace][]int // rows by namespace
	// letters are by the set of rows that share.
	letters map[string]string
}

// Build works out the matrix of a host.
func Build(h *look.Host, o Options) Matrix {
	b := builder{h: h, in: map[look.Namespace][]int{}, letters: map[string]string{}}
	b.containers()
	b.others()
	shown := b.shown(o)
	for i, r := range b.rows {
		for _, k := range look.Kinds() {
			if r.NS[k] != 0 {
				n := look.Namespace{Kind: k, Inode: r.NS[k]}
				b.in[n] = append(b.in[n], i)
			}
		}
	}
	m := Matrix{Host: h.NS, From: h.NSFrom, Inner: h.Inner, Kept: h.Kept, Unread: h.Unread, Rows: []Row{}, Says: []Statement{}}
	for _, i := range shown {
		b.label(i)
		m.Rows = append(m.Rows, b.rows[i])
	}
	m.Groups = b.groups(shown)
	m.Namespaces = b.namespaces(shown, o)
	m.Says = b.says(shown)
	return m
}

// containers makes a row for each container, and one for each set of its processes
// that is in other namespaces than its leader.
func (b *builder) containers() {
	for i := range b.h.Containers {
		c := &b.h.Containers[i]
		t := b.h.ContainerThing(i)
		row := Row{Name: t.Name, Class: c.Class, Engine: c.Engine, PID: c.Leader, NS: c.NS}
		if t.Pod != nil {
			row.Pod = t.Pod.Called()
		}
		at := len(b.rows)
		b.rows = append(b.rows, row)
		odd := map[look.NS]int{}
		for _, pid := range c.PIDs {
			if !slices.Contains(c.Odd, pid) {
				b.rows[at].PIDs = append(b.rows[at].PIDs, pid)
				continue
			}
			p := b.h.Process(pid)
			n, have := odd[p.NS]
			if !have {
				n = len(b.rows)
				odd[p.NS] = n
				other := row
				other.Name, other.PID, other.NS = t.Name+" ("+p.Comm+":"+strconv.Itoa(pid)+")", pid, p.NS
				b.rows = append(b.rows, other)
			}
			b.rows[n].PIDs = append(b.rows[n].PIDs, pid)
		}
	}
}

// others makes rows for what is in no container: the host, and processes of runtimes
// that are in namespaces of a container, as slirp4netns is.
func (b *builder) others() {
	host := Row{Name: Host, Class: ClassHost, NS: b.h.NS}
	type key struct {
		name string
		ns   look.NS
	}
	runtimes := map[key]int{}
	for _, pid := range b.h.HostThing().PIDs {
		p := b.h.Process(pid)
		switch {
		case p.NS == b.h.NS:
			host.PIDs = append(host.PIDs, pid)
		case p.NS.Known():
			k := key{cmp.Or(p.Role, p.Comm), p.NS}
			n, have := runtimes[k]
			if !have {
				n = len(b.rows)
				runtimes[k] = n
				b.rows = append(b.rows, Row{Name: k.name + ":" + strconv.Itoa(pid), Class: ClassRuntime, PID: pid, NS: p.NS})
			}
			b.rows[n].PIDs = append(b.rows[n].PIDs, pid)
		}
	}
	b.rows = append(b.rows, host)
}

// shown are the indices of the rows that are asked for, in their order.
func (b *builder) shown(o Options) []int {
	var out []int
	if o.Things == nil {
		for i, r := range b.rows {
			if o.All || r.Class != look.ClassGroup && r.Class != ClassHost {
				out = append(out, i)
			}
		}
		return out
	}
	for _, t := range o.Things {
		for _, i := range b.of(t) {
			if !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	return out
}

// of are the rows of a thing. A process that has no row, or shares the host's, gets one
// of its own.
func (b *builder) of(t look.Thing) []int {
	var out []int
	for i, r := range b.rows {
		mine := slices.ContainsFunc(r.PIDs, func(pid int) bool { return slices.Contains(t.PIDs, pid) })
		if mine && (r.Class != ClassHost || t.Is == look.ThingHost) {
			out = append(out, i)
		}
	}
	if len(out) == 0 && t.Is == look.ThingProcess {
		b.rows = append(b.rows, Row{Name: t.Name, Class: ClassProcess, PID: t.Leader, PIDs: t.PIDs, NS: t.NS})
		out = append(out, len(b.rows)-1)
	}
	return out
}

func (b *builder) groups(shown []int) int {
	n := 0
	for i, r := range b.rows {
		if r.Class == look.ClassGroup && !slices.Contains(shown, i) {
			n++
		}
	}
	return n
}

// label fills the cells of a row.
func (b *builder) label(i int) {
	r := &b.rows[i]
	for _, k := range look.Kinds() {
		switch {
		case !r.NS.Known():
			r.Cells[k] = Unknown
		case r.NS[k] != 0:
			r.Cells[k] = b.name(look.Namespace{Kind: k, Inode: r.NS[k]})
		}
	}
}

// name is the label of a namespace: one letter for all that the same rows share.
func (b *builder) name(n look.Namespace) string {
	rows := b.in[n]
	switch {
	case b.h.NS[n.Kind] == n.Inode:
		return Host
	case len(rows) < 2:
		return Own
	}
	set := key(rows)
	if b.letters[set] == "" {
		b.letters[set] = letters(len(b.letters))
	}
	return b.letters[set]
}

func key(rows []int) string {
	var s strings.Builder
	for _, i := range rows {
		s.WriteString(strconv.Itoa(i) + " ")
	}
	return s.String()
}

// letters are A to Z, then AA and on.
func letters(n int) string {
	s := ""
	for ; n >= 0; n = n/26 - 1 {
		s = string(rune('A'+n%26)) + s
	}
	return s
}

// namespaces are those of the rows, by kind and in order of the rows.
func (b *builder) namespaces(shown []int, o Options) []Namespace {
	seen := map[look.Namespace]bool{}
	out := []Namespace{}
	for _, k := range look.Kinds() {
		for _, i := range shown {
			n := look.Namespace{Kind: k, Inode: b.rows[i].NS[k]}
			if n.Inode == 0 || seen[n] || n.Inode == b.h.NS[k] {
				continue
			}
			seen[n] = true
			one := Namespace{Namespace: n, Label: b.name(n), Lineage: b.h.Lineage[n]}
			for _, r := range b.in[n] {
				one.Rows = append(one.Rows, b.rows[r].Name)
			}
			if k == look.User && o.Maps != nil {
				one.Users, one.Groups, _ = o.Maps(b.rows[i].PID) // has ended: no map is shown
			}
			out = append(out, one)
		}
	}
	return out
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
