package matrix

import (
	"slices"
	"strings"

	"carob/internal/look"
	"carob/internal/look/ink"
)

// What a statement says of its rows.
const (
	Share      = "share"
	HaveOwn    = "own"
	AreHosts   = "host"
	Unreadable = "unread"
)

// Statement is one fact about namespaces of some rows.
type Statement struct {
	// About is the pod, or the names of the rows that share with each other.
	About string `json:"about"`
	// Who are names of rows; Says is one of share, own (each of Who has its own), host
	// (each of Who is in the host's), unread.
	Who   []string    `json:"who"`
	Says  string      `json:"says"`
	Kinds []look.Kind `json:"kinds,omitempty"`
	Text  string      `json:"text"`

	set int // which rows are linked
}

// says states what is true of the rows that are shown, and of those that share with
// them.
func (b *builder) says(shown []int) []Statement {
	var out []Statement
	done := map[int]bool{}
	for _, i := range shown {
		if done[i] || b.rows[i].Class == ClassHost {
			continue
		}
		set := b.together(i)
		for _, j := range set {
			done[j] = true
		}
		for _, s := range b.about(set) {
			s.set = i
			out = append(out, s)
		}
	}
	return out
}

// together are all rows that are linked by namespaces which are not the host's.
func (b *builder) together(i int) []int {
	set := map[int]bool{i: true}
	for todo := []int{i}; len(todo) > 0; todo = todo[1:] {
		for _, j := range b.neighbours(todo[0]) {
			if !set[j] {
				set[j] = true
				todo = append(todo, j)
			}
		}
	}
	var out []int
	for j := range b.rows {
		if set[j] {
			out = append(out, j)
		}
	}
	return out
}

// neighbours are the rows that share a namespace with a row.
func (b *builder) neighbours(i int) []int {
	var out []int
	for _, k := range look.Kinds() {
		if n := b.rows[i].NS[k]; n != 0 && n != b.h.NS[k] {
			out = append(out, b.in[look.Namespace{Kind: k, Inode: n}]...)
		}
	}
	return out
}

// fact is what one statement is made of: kinds by the rows that they hold for.
type fact struct {
	says  string
	rows  []int
	kinds []look.Kind
}

// about states what holds for rows that are linked.
func (b *builder) about(set []int) []Statement {
	if !b.rows[set[0]].NS.Known() {
		name := b.rows[set[0]].Name
		return []Statement{{About: name, Who: []string{name}, Says: Unreadable, Text: "its namespaces could not be read"}}
	}
	var facts []fact
	for _, k := range look.Kinds() {
		facts = b.kind(facts, k, set)
	}
	order := []string{Share, HaveOwn, AreHosts}
	slices.SortStableFunc(facts, func(x, y fact) int { return slices.Index(order, x.says) - slices.Index(order, y.says) })
	about, short := b.title(set)
	var out []Statement
	for _, f := range facts {
		s := Statement{About: about, Says: f.says, Kinds: f.kinds}
		var who []string
		for _, i := range f.rows {
			s.Who = append(s.Who, b.rows[i].Name)
			who = append(who, short(b.rows[i].Name))
		}
		s.Text = f.words(who, len(set))
		out = append(out, s)
	}
	return out
}

// kind adds what one kind has to say to facts of the same rows.
func (b *builder) kind(facts []fact, k look.Kind, set []int) []fact {
	var own, host []int
	shared := map[string][]int{}
	for _, i := range set {
		n := look.Namespace{Kind: k, Inode: b.rows[i].NS[k]}
		switch {
		case n.Inode == 0:
		case n.Inode == b.h.NS[k]:
			host = append(host, i)
		case len(b.in[n]) == 1:
			own = append(own, i)
		default:
			shared[key(b.in[n])] = b.in[n]
		}
	}
	for _, s := range sortedKeys(shared) {
		facts = add(facts, Share, k, shared[s])
	}
	return add(add(facts, HaveOwn, k, own), AreHosts, k, host)
}

func add(facts []fact, says string, k look.Kind, rows []int) []fact {
	if len(rows) == 0 {
		return facts
	}
	for i := range facts {
		if facts[i].says == says && slices.Equal(facts[i].rows, rows) {
			facts[i].kinds = append(facts[i].kinds, k)
			return facts
		}
	}
	return append(facts, fact{says, rows, []look.Kind{k}})
}

// words is the fact in words; of is how many rows the talk is about.
func (f fact) words(who []string, of int) string {
	var kinds []string
	for _, k := range f.kinds {
		kinds = append(kinds, k.String())
	}
	names := ink.List(who) + " "
	switch {
	case f.says == Share:
	case of == 1:
		names = ""
	case len(who) == of && f.says == HaveOwn:
		names = "each "
	case len(who) == of:
		names = "all "
	}
	many := len(who) > 1 && (len(who) < of || f.says != HaveOwn)
	return names + verb(f.says, many) + " " + ink.List(kinds)
}

func verb(says string, many bool) string {
	switch {
	case says == Share:
		return "share"
	case says == HaveOwn && many:
		return "each have their own"
	case says == HaveOwn:
		return "has its own"
	case many:
		return "are in the host's"
	}
	return "is in the host's"
}

// title is what linked rows are called, and how each is called among them: rows of one
// pod go without its name.
func (b *builder) title(set []int) (string, func(string) string) {
	pod := b.rows[set[0]].Pod
	for _, i := range set {
		if b.rows[i].Pod != pod {
			pod = ""
		}
	}
	whole := func(s string) string { return s }
	if pod != "" {
		return pod, func(s string) string { return strings.TrimPrefix(s, pod+"/") }
	}
	if len(set) == 1 {
		return b.rows[set[0]].Name, whole
	}
	return "", whole
}
