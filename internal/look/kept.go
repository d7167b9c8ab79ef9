package look

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"carob/internal/fault"
	"carob/internal/look/mounts"
	"carob/internal/sys/nsfs"
	"carob/internal/sys/procfs"
)

// Kept is a namespace that has no process: it lives by what holds it.
type Kept struct {
	Namespace
	// Mounts are the paths it is mounted at, with the process whose mounts show it.
	Mounts []Held `json:"mounts,omitempty"`
	// Files are the descriptors it is open in; Children are the processes whose next
	// children will be in it (pid_for_children, time_for_children).
	Files    []Held `json:"files,omitempty"`
	Children []int  `json:"children,omitempty"`
	// Threads are those that have gone there alone, without their process.
	Threads []Held `json:"threads,omitempty"`
}

// Held is a place that holds a namespace.
type Held struct {
	PID int `json:"pid"`
	// Path is a mount point as the process sees it, or a name in /proc/PID.
	Path string `json:"path"`
}

// holders finds what keeps namespaces alive beside processes.
type holders struct {
	alive map[Namespace]bool

	mu   sync.Mutex
	kept map[Namespace]*Kept
}

// findKept looks for namespaces without a process: in one list of mounts per mount
// namespace, and in every descriptor that may be seen.
func (h *Host) findKept(proc procfs.Dir, m *misses) {
	f := holders{alive: map[Namespace]bool{}, kept: map[Namespace]*Kept{}}
	for _, k := range Kinds() {
		f.alive[Namespace{k, h.NS[k]}] = true
		for i := range h.Processes {
			f.alive[Namespace{k, h.Processes[i].NS[k]}] = true
		}
	}
	h.findMounted(&f, m)
	root := h.Path("proc")
	several(func(w int) {
		for i := w; i < len(h.Processes); i += workers() {
			if p := &h.Processes[i]; !p.Kernel {
				m.add("open files", f.files(proc, root, p.PID))
				f.threads(proc, root, p)
			}
		}
	})
	for _, k := range f.kept {
		for _, all := range [][]Held{k.Files, k.Threads} {
			slices.SortFunc(all, func(a, b Held) int { return cmp.Or(cmp.Compare(a.PID, b.PID), cmp.Compare(a.Path, b.Path)) })
		}
		slices.Sort(k.Children)
		h.Kept = append(h.Kept, *k)
	}
	slices.SortFunc(h.Kept, func(a, b Kept) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Inode, b.Inode))
	})
}

// findMounted looks into the mounts of each mount namespace once.
func (h *Host) findMounted(f *holders, m *misses) {
	mounted := map[uint64]bool{}
	for i := range h.Processes {
		p := &h.Processes[i]
		if p.Kernel || p.NS[Mnt] == 0 || mounted[p.NS[Mnt]] {
			continue
		}
		all, err := h.Mounts(p.PID)
		m.add("mounts", err)
		mounted[p.NS[Mnt]] = err == nil
		f.mounts(p.PID, all)
	}
	if !mounted[h.NS[Mnt]] { // nobody in it could be asked: perhaps this is it
		all, err := ownMounts(h)
		m.add("mounts", err)
		f.mounts(os.Getpid(), all)
	}
}

func ownMounts(h *Host) ([]mounts.Mount, error) {
	if !h.real() {
		return nil, nil
	}
	return h.Mounts(os.Getpid())
}

// held notes what holds a namespace that no process is in. Any other link is left.
func (f *holders) held(link string, note func(*Kept)) {
	n, err := ParseNamespace(link)
	if err != nil || f.alive[n] {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept[n] == nil {
		f.kept[n] = &Kept{Namespace: n}
	}
	note(f.kept[n])
}

func (f *holders) mounts(pid int, all []mounts.Mount) {
	for _, m := range all {
		if m.Type == "nsfs" {
			f.held(m.Root, func(k *Kept) { k.Mounts = append(k.Mounts, Held{pid, m.Point}) })
		}
	}
}

// files looks at the links of one process. Descriptors are listed by name: how many
// there are, a process decides.
func (f *holders) files(proc procfs.Dir, root string, pid int) error {
	dir, err := proc.Dir(strconv.Itoa(pid))
	if err != nil {
		return nil // it has ended
	}
	defer dir.Close()
	for _, name := range []string{"pid_for_children", "time_for_children"} {
		if link, err := dir.Link("ns/" + name); err == nil { // else the namespaces themselves have told why
			f.held(link, func(k *Kept) { k.Children = append(k.Children, pid) })
		}
	}
	names, err := listed(root + "/" + strconv.Itoa(pid) + "/fd")
	for _, n := range names {
		link, err := dir.Link("fd/" + n)
		if err == nil && strings.HasSuffix(link, "]") { // else closed meanwhile, or a file
			f.held(link, func(k *Kept) { k.Files = append(k.Files, Held{pid, "fd/" + n}) })
		}
	}
	return err
}

// threads looks for threads that are in other namespaces than their process, as a
// daemon's are while they work inside of containers. Only some kinds can differ
// (setns(2)).
func (f *holders) threads(proc procfs.Dir, root string, p *Process) {
	if p.Threads < 2 || !p.NS.Known() {
		return
	}
	task := strconv.Itoa(p.PID) + "/task"
	names, _ := listed(root + "/" + task) // its files have told why
	for _, tid := range names[:min(len(names), maxThreads)] {
		dir, err := proc.Dir(task + "/" + tid)
		if err != nil {
			continue // it has ended
		}
		for _, k := range []Kind{Mnt, UTS, IPC, Net, Cgroup, Time} {
			if link, err := dir.Link("ns/" + k.String()); err == nil {
				f.held(link, func(kept *Kept) { kept.Threads = append(kept.Threads, Held{p.PID, "task/" + tid}) })
			}
		}
		dir.Close()
	}
}

// maxThreads is how many threads of one process are looked at.
const maxThreads = 1024

// listed lists a directory of a process; one that has ended has nothing in it.
func listed(dir string) ([]string, error) {
	d, err := os.Open(dir)
	switch {
	case os.IsPermission(err):
		return nil, fault.Wrap(fault.Denied, dir, err)
	case err != nil:
		return nil, nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1) // what was read before it ended is looked at
	return names, nil
}

// Lineage is where a namespace stands among others.
type Lineage struct {
	// Owner is the user namespace whose capabilities rule it, 0 when it may not be seen.
	Owner uint64 `json:"owner,omitempty"`
	// Parent is the namespace over a pid or user namespace, 0 at the top of what may
	// be seen.
	Parent uint64 `json:"parent,omitempty"`
	// UID made a user namespace; Made says that it is known.
	UID  uint32 `json:"uid,omitempty"`
	Made bool   `json:"made,omitempty"`
}

// findLineage asks the kernel about every namespace that a process was seen in.
func (h *Host) findLineage(m *misses) {
	h.Lineage = map[Namespace]Lineage{}
	if !h.real() {
		m.add("parents of namespaces", fault.New(fault.Unsupported, "only the running kernel tells"))
		return
	}
	for i := range h.Processes {
		p := &h.Processes[i]
		for _, k := range Kinds() {
			n := Namespace{k, p.NS[k]}
			if _, known := h.Lineage[n]; known || n.Inode == 0 {
				continue
			}
			l, err := lineage(p.PID, n)
			m.add("parents of namespaces", err)
			if err == nil {
				h.Lineage[n] = l
			}
		}
	}
}

// lineage asks about one namespace by a process in it.
func lineage(pid int, n Namespace) (l Lineage, err error) {
	ns, err := nsfs.Of(pid, n.Kind.String())
	if err != nil {
		return l, err
	}
	defer ns.Close()
	if inode, err := ns.Inode(); err != nil || inode != n.Inode {
		return l, fault.New(fault.NotFound, n.String()+": the process has moved or ended")
	}
	l.Owner = inodeOf(ns.Owner())
	if n.Kind != PID && n.Kind != User {
		return l, nil
	}
	l.Parent = inodeOf(ns.Parent())
	if n.Kind == User {
		uid, err := ns.OwnerUID()
		l.UID, l.Made = uid, err == nil
	}
	return l, nil
}

// inodeOf closes what it is given. A namespace that may not be seen has number 0.
func inodeOf(ns nsfs.NS, err error) uint64 {
	if err != nil {
		return 0
	}
	defer ns.Close()
	inode, err := ns.Inode()
	if err != nil {
		return 0
	}
	return inode
}
