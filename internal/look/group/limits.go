package group

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// Bound is what holds for a thing: the tightest limit on the way up to the root.
type Bound struct {
	// Resource is memory, swap, cpu, pids, cpus (of a cpuset) or mems.
	Resource string `json:"resource"`
	// Limit is the bound in words, "" for none; Amount in bytes, CPUs or tasks.
	Limit  string  `json:"limit,omitempty"`
	Amount float64 `json:"amount,omitempty"`
	// SetBy is the group that sets it, "" for none; File is where it stands.
	SetBy string `json:"setBy,omitempty"`
	File  string `json:"file,omitempty"`
	// Wider are the limits on the way that are not met before this one, from the
	// thing upwards.
	Wider []Setting `json:"wider,omitempty"`
	// Left is how much can still be taken before any of the limits is met, and LeftIn
	// the group that would meet it: others may use what a wider limit allows.
	Left   *uint64 `json:"left,omitempty"`
	LeftIn string  `json:"leftIn,omitempty"`
	// Group is where the thing is in this resource's hierarchy, "" when it is in none.
	Group string `json:"group,omitempty"`
	// Machine is what bounds the thing when no group does, in words.
	Machine string `json:"machine,omitempty"`
}

// Setting is the limit of one group on the way.
type Setting struct {
	Group  string  `json:"group"`
	Limit  string  `json:"limit"`
	Amount float64 `json:"amount"`
	File   string  `json:"file"`
	used   *uint64
}

// resource says where a limit and the use beside it are read.
type resource struct {
	name, controller string
	limit            func(h *Host, tree int, group string) (amount float64, file string, ok bool)
	use              [2]string // file of use in v1 and v2
	show             func(float64) string
}

func resources() []resource {
	tasks := func(n float64) string { return strconv.FormatFloat(n, 'f', 0, 64) + " tasks" }
	return []resource{
		{"memory", "memory", single("memory.limit_in_bytes", "memory.max"), [2]string{"memory.usage_in_bytes", "memory.current"}, Bytes},
		{"memory, slowed", "memory", single("", "memory.high"), [2]string{"", "memory.current"}, Bytes},
		{"swap", "memory", single("", "memory.swap.max"), [2]string{"", "memory.swap.current"}, Bytes},
		{"memory+swap", "memory", single("memory.memsw.limit_in_bytes", ""), [2]string{"memory.memsw.usage_in_bytes", ""}, Bytes},
		{"cpu", "cpu", cpuLimit, [2]string{}, cpus},
		{"pids", "pids", single("pids.max", "pids.max"), [2]string{"pids.current", "pids.current"}, tasks},
	}
}

// single is a limit that is the one number of a file.
func single(v1, v2 string) func(*Host, int, string) (float64, string, bool) {
	return func(h *Host, tree int, group string) (float64, string, bool) {
		file := v1
		if h.Hierarchies[tree].V2 {
			file = v2
		}
		if file == "" {
			return 0, "", false
		}
		n := limit(h.text(tree, group, file))
		if n == nil {
			return 0, file, false
		}
		return float64(*n), file, true
	}
}

func cpuLimit(h *Host, tree int, group string) (float64, string, bool) {
	file := "cpu.max"
	var q *float64
	if h.Hierarchies[tree].V2 {
		q = quotaV2(h.text(tree, group, file))
	} else {
		file = "cpu.cfs_quota_us"
		q = quota(h.text(tree, group, file), h.text(tree, group, "cpu.cfs_period_us"))
	}
	if q == nil {
		return 0, file, false
	}
	return *q, file, true
}

// Limits returns what holds for a thing, in a fixed order; swap and slowing only where
// somebody limits them.
func (h *Host) Limits(t Thing) []Bound {
	var out []Bound
	for _, r := range resources() {
		b := h.bound(t, r)
		always := r.name == "memory" || r.name == "cpu" || r.name == "pids"
		if always || b.SetBy != "" {
			out = append(out, b)
		}
	}
	return append(out, h.set(t, "cpus"), h.set(t, "mems"))
}

func (h *Host) bound(t Thing, r resource) Bound {
	b := Bound{Resource: r.name, Machine: h.machine(r.name)}
	tree := h.of(r.controller)
	if tree < 0 || t.Paths[tree] == "" {
		return b
	}
	b.Group = t.Paths[tree]
	way := h.way(tree, b.Group, r)
	best := -1
	for i, s := range way {
		if best < 0 || s.Amount < way[best].Amount {
			best = i
		}
		if s.used != nil {
			left := uint64(s.Amount) - min(uint64(s.Amount), *s.used)
			if b.Left == nil || left < *b.Left {
				b.Left, b.LeftIn = &left, s.Group
			}
		}
	}
	if best < 0 {
		return b
	}
	b.Limit, b.Amount, b.SetBy, b.File = way[best].Limit, way[best].Amount, way[best].Group, way[best].File
	b.Wider = append(way[:best:best], way[best+1:]...)
	return b
}

// way collects the limits from a group up to the root.
func (h *Host) way(tree int, group string, r resource) []Setting {
	var out []Setting
	for p := group; ; p = path.Dir(p) {
		if n, file, ok := r.limit(h, tree, p); ok {
			s := Setting{Group: p, Limit: r.show(n), Amount: n, File: path.Join(h.Hierarchies[tree].Dir, p, file)}
			if use := r.use[version(h.Hierarchies[tree])]; use != "" {
				if text := h.text(tree, p, use); text != "" {
					n := number(text)
					s.used = &n
				}
			}
			out = append(out, s)
		}
		if p == "/" {
			return out
		}
	}
}

func version(t Hierarchy) int {
	if t.V2 {
		return 1
	}
	return 0
}

// machine says in words what bounds a thing that no group bounds.
func (h *Host) machine(name string) string {
	switch name {
	case "memory":
		if h.Memory > 0 {
			return "the machine has " + Bytes(float64(h.Memory))
		}
	case "pids":
		if b, err := os.ReadFile(h.root + "/proc/sys/kernel/pid_max"); err == nil {
			return "the kernel allows " + strings.TrimSpace(string(b)) + " at once"
		}
	case "cpu":
		if b, err := os.ReadFile(h.root + "/sys/devices/system/cpu/online"); err == nil {
			return "the machine has CPUs " + strings.TrimSpace(string(b))
		}
	}
	return ""
}

// set is the bound of a cpuset. The list in effect is never wider than any above it, so
// who sets it is the topmost group on the way that has the same list.
func (h *Host) set(t Thing, name string) Bound {
	b := Bound{Resource: name}
	tree := h.of("cpuset")
	if tree < 0 || t.Paths[tree] == "" {
		return b
	}
	b.Group = t.Paths[tree]
	file, mems := cpusetFiles(h.Hierarchies[tree].V2)
	if name == "mems" {
		file = mems
	}
	for p := b.Group; ; p = path.Dir(p) {
		list := strings.TrimSpace(h.text(tree, p, file))
		s := Setting{p, list, float64(count(list)), path.Join(h.Hierarchies[tree].Dir, p, file), nil}
		switch {
		case list == "": // a group without the controller has its parent's
		case b.Limit == "" || list == b.Limit:
			b.Limit, b.Amount, b.SetBy, b.File = list, s.Amount, p, s.File
		case len(b.Wider) == 0 || b.Wider[len(b.Wider)-1].Limit != list:
			b.Wider = append(b.Wider, s)
		}
		if p == "/" {
			break
		}
	}
	if b.SetBy == "/" {
		b.SetBy, b.File = "", ""
		b.Machine = "all that the machine has"
	}
	return b
}

// String is the bound in one line.
func (b Bound) String() string {
	line := b.Resource + ": "
	switch {
	case b.Group == "":
		return line + "not in a hierarchy of this controller"
	case b.SetBy == "" && b.Limit != "":
		return line + b.Limit + ", " + b.Machine
	case b.SetBy == "":
		line += "no limit on the way up"
		if b.Machine != "" {
			line += "; " + b.Machine
		}
		return line
	case b.SetBy == b.Group:
		line += b.Limit + ", set by its own group " + b.SetBy
	default:
		line += b.Limit + ", set by " + b.SetBy + " above it"
	}
	for _, s := range b.Wider {
		line += "; " + b.wider(s)
	}
	if b.Left != nil {
		line += fmt.Sprintf("; %s left", b.amount(*b.Left))
		if b.LeftIn != b.SetBy {
			line += " in " + b.LeftIn + ", which others share"
		}
	}
	return line
}

func (b Bound) amount(n uint64) string {
	if b.Resource == "pids" {
		return strconv.FormatUint(n, 10)
	}
	return Bytes(float64(n))
}

func (b Bound) wider(s Setting) string {
	relation := "is wider"
	if s.Amount == b.Amount && s.Limit == b.Limit {
		relation = "is the same"
	}
	switch {
	case s.Group == b.Group:
		return "its own " + s.Limit + " " + relation
	case len(s.Group) < len(b.SetBy):
		return "the " + s.Limit + " of " + s.Group + " above " + relation
	}
	return "the " + s.Limit + " of " + s.Group + " " + relation
}

// Bytes is a number of bytes in words: "256MiB".
func Bytes(n float64) string {
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return strconv.FormatFloat(n, 'g', 4, 64) + units[i]
}

func cpus(n float64) string {
	s := strconv.FormatFloat(n, 'g', 4, 64)
	if s == "1" {
		return "1 CPU"
	}
	return s + " CPUs"
}
