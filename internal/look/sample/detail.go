package sample

import (
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/forest"
	"carob/internal/look/matrix"
	"carob/internal/look/risk"
)

// Details are what one thing is, for who looks closer. Its text is as processes chose
// it, but for Processes, which is harmless.
type Details struct {
	Key string
	// Gone is true when the thing has ended; nothing else is known then.
	Gone       bool
	Is         string
	Name       string
	Engine, ID string
	PID        int
	Command    string
	UID        uint32
	Cgroup     string
	Namespaces []Namespace
	// Says states in words who shares what.
	Says []string
	// Limits are what holds and who sets it.
	Limits   []string
	Needs    string
	Findings []Finding
	// Processes are the lines of the tree.
	Processes []string
	Unread    []string
}

// Namespace is one of a thing's.
type Namespace struct {
	Kind  look.Kind
	Inode uint64
	Host  bool
	With  []string
}

// Finding is what package risk says of the thing, or of a container of the pod.
type Finding struct {
	Severity risk.Severity
	Of       string // the container, in a pod of several
	Title    string
}

// Details reads more about a thing of the last sample.
func (r *Reader) Details(key string) *Details {
	t, ok := r.find(key)
	if !ok {
		return &Details{Key: key, Gone: true}
	}
	reader := facts.NewReader(r.host, r.groups)
	s := reader.Read(t)
	d := &Details{
		Key: key, Is: t.Is, Name: t.Name, ID: t.ID, PID: s.Process.PID, Command: s.Process.Command(), UID: s.UID,
		Cgroup: s.Group, Unread: s.Unread,
	}
	switch {
	case t.Container != nil:
		d.Engine = t.Container.Engine
	case t.Pod != nil:
		d.Engine = t.Pod.Engine
	}
	for _, k := range look.Kinds() {
		if n := s.Process.NS[k]; n != 0 {
			d.Namespaces = append(d.Namespaces, Namespace{Kind: k, Inode: n, Host: s.Shares(k), With: s.With[k]})
		}
	}
	for _, b := range s.Limits {
		d.Limits = append(d.Limits, b.Short(false))
	}
	r.judge(d, &s)
	m := matrix.Build(r.host, matrix.Options{Things: []look.Thing{t}})
	for _, says := range m.Says {
		d.Says = append(d.Says, says.Text)
	}
	f := forest.Grow(r.host, forest.Options{Things: []look.Thing{t}})
	f.Unread = nil // is of the whole host
	d.Processes = lines(f)
	return d
}

// find finds a thing of the last sample by its key.
func (r *Reader) find(key string) (look.Thing, bool) {
	if r.host == nil {
		return look.Thing{}, false
	}
	for i := range r.host.Pods {
		if ThingPod+":"+r.host.Pods[i].ID == key {
			return r.host.PodThing(i), true
		}
	}
	for i := range r.host.Containers {
		if r.key(i) == key {
			return r.host.ContainerThing(i), true
		}
	}
	return look.Thing{}, false
}

// judge says what an escape would need, of a pod by its containers, the worst first.
func (r *Reader) judge(d *Details, s *facts.Sheet) {
	if len(s.Members) == 0 {
		report := risk.Judge(s)
		d.Needs = report.Needs
		for _, f := range report.Findings {
			d.Findings = append(d.Findings, Finding{f.Severity, "", f.Title})
		}
	}
	for i := range s.Members {
		report := risk.Judge(&s.Members[i])
		for _, f := range report.Findings {
			d.Findings = append(d.Findings, Finding{f.Severity, report.Name, f.Title})
		}
	}
	slices.SortStableFunc(d.Findings, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
}

// lines are a tree as it is written for people, without colours.
func lines(f forest.Forest) []string {
	var b strings.Builder
	if err := f.Text(&b, forest.TextOptions{Full: true}); err != nil { // a builder takes everything
		return []string{strconv.Quote(err.Error())}
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}
