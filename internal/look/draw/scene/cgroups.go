package scene

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"carob/internal/look"
	"carob/internal/look/group"
)

// under reports whether p is dir or below it.
func under(p, dir string) bool {
	return dir == "/" || p == dir || strings.HasPrefix(p, dir+"/")
}

// common is the cgroup that belongs to these containers and to nobody else, "" when
// there is none beside their own. The sandbox of a pod may stand outside of it.
func (b *builder) common(members []int, pod *look.Pod) string {
	var paths []string
	for _, i := range members {
		p := b.paths[i]
		if p != "/" && (b.all[i].Class != look.ClassSandbox || len(members) == 1 || b.near(p, members)) {
			paths = append(paths, p)
		}
	}
	switch len(paths) {
	case 0:
		return ""
	case 1:
		return namedAfter(pod, path.Dir(paths[0]))
	}
	p := above(paths)
	if p == "/" || slices.Contains(paths, p) || b.strangers(p, members) {
		return ""
	}
	return p
}

// namedAfter is a path when its name tells that it is the pod's, else "".
func namedAfter(pod *look.Pod, p string) string {
	if pod != nil && (look.ReadPath(p).Pod == pod.ID || strings.Contains(path.Base(p), pod.ID)) {
		return p
	}
	return ""
}

// above is the deepest path that all of these are at or below.
func above(paths []string) string {
	p := paths[0]
	for _, other := range paths[1:] {
		for !under(other, p) {
			p = path.Dir(p)
		}
	}
	return p
}

// near reports whether a sandbox's cgroup stands beside those of the containers.
func (b *builder) near(p string, members []int) bool {
	return slices.ContainsFunc(members, func(i int) bool {
		return b.all[i].Class != look.ClassSandbox && path.Dir(b.paths[i]) == path.Dir(p)
	})
}

// strangers reports whether somebody else is below a cgroup.
func (b *builder) strangers(p string, members []int) bool {
	for i := range b.all {
		if !slices.Contains(members, i) && under(b.paths[i], p) {
			return true
		}
	}
	return false
}

func (b *builder) frame(p string) *Frame {
	f := &Frame{Path: p, Label: p}
	if p != "/" { // what the root uses is the machine's matter
		f.Meters = meters(b.groups[p])
	}
	return f
}

// home is the cgroup that a card stands in.
func home(c *Card) string {
	if c.Group != nil {
		return path.Dir(c.Group.Path)
	}
	var paths []string
	for _, col := range c.Columns {
		if !col.stray {
			paths = append(paths, path.Dir(col.Path))
		}
	}
	return above(paths)
}

// nest puts cards into frames: one for each cgroup on the way that has a limit or is
// where ways part.
func (b *builder) nest(root *Frame, cards []*Card) {
	top := map[string]*Frame{"/": root}
	for _, c := range cards {
		f := b.way(top, home(c))
		f.Cards = append(f.Cards, c)
	}
	shorten(root)
}

// way finds the frame of a cgroup, making those that are missing.
func (b *builder) way(have map[string]*Frame, p string) *Frame {
	if f := have[p]; f != nil {
		return f
	}
	up := b.way(have, path.Dir(p))
	f := b.frame(p)
	up.Frames = append(up.Frames, f)
	have[p] = f
	return f
}

// shorten joins frames with nothing but one frame inside, unless they have a limit,
// and gives labels.
func shorten(f *Frame) {
	for i, child := range f.Frames {
		for len(child.Cards) == 0 && len(child.Frames) == 1 && !limited(child.Meters) {
			child = child.Frames[0]
		}
		f.Frames[i] = child
		shorten(child)
		child.Label = below(child.Path, f.Path)
	}
	for _, c := range f.Cards {
		if c.Group != nil {
			c.Group.Label = below(c.Group.Path, f.Path)
		}
		for i := range c.Columns {
			col := &c.Columns[i]
			switch {
			case col.stray:
				col.Label = below(col.Path, "")
			case c.Group == nil:
				col.Label = below(col.Path, f.Path)
			default:
				col.Label = below(col.Path, c.Group.Path)
			}
		}
	}
}

// below is a path as people read it: relative to a cgroup, if one is given, and IDs as
// short as engines show them.
func below(p, dir string) string {
	if p != dir && dir != "" {
		p = strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
	}
	return longID.ReplaceAllString(Clean(p), "$1…")
}

// longID is the ID of a container or pod in a path, and what of it is shown.
var longID = regexp.MustCompile(`\b([0-9a-f]{12})[0-9a-f]{52}\b`)

func limited(all []Meter) bool {
	return slices.ContainsFunc(all, func(m Meter) bool { return m.Short != "" })
}

// limits are the meters of a container's cgroup. Where others are in it, too, what it
// uses and may use is not the container's.
func limits(g *group.Group, c *look.Container) (all []Meter, note string) {
	switch {
	case g == nil:
		return nil, "limits unknown"
	case g.Path == "/":
		return nil, "no limit"
	case slices.ContainsFunc(g.Processes, func(p group.Process) bool { return !slices.Contains(c.PIDs, p.PID) }):
		return nil, "in a cgroup of others"
	}
	all = meters(g)
	if !limited(all) {
		note = "no limit"
	}
	return all, note
}

// meters are what a cgroup uses and may use.
func meters(g *group.Group) []Meter {
	if g == nil {
		return nil
	}
	var out []Meter
	if m := g.Memory; m != nil {
		out = append(out, meter("memory", float64(m.Usage), m.Limit, group.Bytes))
	}
	if c := g.CPU; c != nil && c.Quota != nil {
		out = append(out, Meter{Name: "cpu", Text: "at most " + cpus(*c.Quota), Short: cpus(*c.Quota), Share: -1})
	}
	if p := g.Pids; p != nil && p.Limit != nil {
		out = append(out, meter("pids", float64(p.Current), p.Limit, tasks))
	}
	return out
}

func meter(name string, used float64, limit *uint64, show func(float64) string) Meter {
	if limit == nil {
		return Meter{Name: name, Text: show(used) + ", no limit", Share: -1}
	}
	m := Meter{Name: name, Text: show(used) + " of " + show(float64(*limit)), Short: show(float64(*limit))}
	if *limit > 0 {
		m.Share = min(used/float64(*limit), 1)
	}
	return m
}

func tasks(n float64) string { return strconv.FormatFloat(n, 'f', 0, 64) }

func cpus(n float64) string {
	s := strconv.FormatFloat(n, 'g', 4, 64)
	if n <= 1 {
		return s + " CPU"
	}
	return s + " CPUs"
}
