package look

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"carob/internal/fault"
	"carob/internal/sys/procfs"
)

// Options say what Read reads.
type Options struct {
	// Root is where proc and sys are found; "" is "/", the only one where namespaces
	// can be asked for their parents.
	Root string
	// PIDs, when not nil, are the only processes to read. Pods and containers are then
	// those seen among them.
	PIDs []int
	// RunDirs are carob's run directories to learn names from, below Root, beside
	// those that its supervisors show. They may be missing.
	RunDirs []string
	// Kept asks for namespaces that only an open file or a mount keeps alive: it
	// reads the descriptors of every process.
	Kept bool
	// Lineage asks for parents and owners of the namespaces seen.
	Lineage bool
	// Before is a look at the same host a moment ago, nil without. Of a process that is
	// the same since only state, threads and memory are read anew, which is a third of
	// the work: namespaces that it entered, or a cgroup that it was moved to, without
	// execve, are seen by the next look without Before.
	Before *Host
}

// Host is what was seen of a machine. It is not changed after Read.
type Host struct {
	Root string `json:"-"`
	// Processes are in order of PID.
	Processes []Process `json:"processes"`
	// NS are the host's own namespaces and NSFrom the file they were read from: the
	// first process's, where the reader may see them.
	NS     NS     `json:"ns"`
	NSFrom string `json:"nsFrom"`
	// Inner is true when the reader is inside of something: what it sees as the first
	// process is not the machine's. NS are then the numbers that kernels give.
	Inner bool `json:"inner,omitempty"`
	// Containers are in order of pod and start. Sandboxes of pods and groups of
	// processes in namespaces of their own that nobody calls a container are among
	// them.
	Containers []Container `json:"containers"`
	Pods       []Pod       `json:"pods"`
	// Kept are namespaces without a process, if asked for.
	Kept []Kept `json:"kept,omitempty"`
	// Lineage is by namespace, if asked for.
	Lineage map[Namespace]Lineage `json:"-"`
	Unread  []Unread              `json:"unread,omitempty"`

	index map[int]int
	pods  map[string]int
}

// Unread is something that could not be read, of how many processes, and why.
type Unread struct {
	What  string `json:"what"`
	Count int    `json:"count"`
	Why   string `json:"why"`
}

// Process finds a process by number, nil when it was not there.
func (h *Host) Process(pid int) *Process {
	i, ok := h.index[pid]
	if !ok {
		return nil
	}
	return &h.Processes[i]
}

// Path is where a path of the host is found, below the root.
func (h *Host) Path(elem ...string) string {
	return filepath.Join(append([]string{h.Root}, elem...)...)
}

// real reports whether the root is the machine's own, so that its kernel can be asked.
func (h *Host) real() bool { return h.Root == "/" }

// Read observes a host. It is NotFound when there is no proc below the root, and ends
// early with the error of ctx.
func Read(ctx context.Context, o Options) (*Host, error) {
	root := filepath.Clean(o.Root)
	if o.Root == "" {
		root = "/"
	}
	h := &Host{Root: root, index: map[int]int{}, pods: map[string]int{}}
	pids := o.PIDs
	if pids == nil {
		var err error
		if pids, err = numbered(h.Path("proc")); err != nil {
			return nil, err
		}
	}
	proc, err := procfs.Open(h.Path("proc"))
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	missed := misses{}
	if h.Processes, err = readAll(ctx, reader{proc: proc, missed: &missed, before: o.Before}, pids); err != nil {
		return nil, err
	}
	for i := range h.Processes {
		h.index[h.Processes[i].PID] = i
	}
	h.findNamespaces(proc)
	h.gather(o, &missed)
	if o.Kept {
		h.findKept(proc, &missed)
	}
	if o.Lineage {
		h.findLineage(&missed)
	}
	h.Unread = missed.list()
	return h, nil
}

// numbered lists the processes in a proc directory.
func numbered(dir string) ([]int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, dir, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, dir, err)
	}
	var pids []int
	for _, n := range names {
		if pid := number([]byte(n)); pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// readAll reads processes, several at a time, and returns those that were there in
// order of PID.
func readAll(ctx context.Context, like reader, pids []int) ([]Process, error) {
	found := make([][]Process, workers())
	several(func(w int) {
		r := reader{proc: like.proc, missed: like.missed, before: like.before}
		for i := w; i < len(pids) && ctx.Err() == nil; i += workers() {
			if p, ok := r.process(pids[i]); ok {
				found[w] = append(found[w], p)
			}
		}
	})
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	return slices.CompactFunc(all, func(a, b Process) bool { return a.PID == b.PID }), ctx.Err()
}

// workers is how many read at the same time.
func workers() int { return min(runtime.GOMAXPROCS(0), 8) }

// several runs f once for each worker and waits for all.
func several(f func(worker int)) {
	var wg sync.WaitGroup
	for w := range workers() {
		wg.Go(func() { f(w) })
	}
	wg.Wait()
}

// reader reads one process after the other into one buffer.
type reader struct {
	proc   procfs.Dir
	buf    bytes.Buffer
	missed *misses
	before *Host
}

// process reads one process; false when it is gone.
func (r *reader) process(pid int) (Process, bool) {
	dir, err := r.proc.Dir(strconv.Itoa(pid))
	if err != nil {
		r.missed.add("processes", err)
		return Process{}, false
	}
	defer dir.Close()
	if same, ok := r.again(dir, pid); ok {
		return same, true
	}
	return r.whole(dir, pid)
}

// whole reads all there is of a process.
func (r *reader) whole(dir procfs.Dir, pid int) (Process, bool) {
	p := Process{PID: pid}
	if dir.ReadShort("status", &r.buf) != nil || ParseStatus(&r.buf, &p) != nil {
		return p, false
	}
	r.parse(dir, "stat", "start times", func() (err error) { p.Start, err = ParseStart(&r.buf); return err })
	r.parse(dir, "cmdline", "command lines", func() (err error) { p.Args, err = ParseArgs(&r.buf); return err })
	r.parse(dir, "cgroup", "cgroups", func() (err error) { p.Cgroups, err = ParsePlaces(&r.buf); return err })
	p.Kernel = len(p.Args) == 0 && (p.PPID == 2 || pid == 2) && p.RSS == 0 && p.State != "Z"
	var err error
	if !p.Kernel {
		p.NS, err = namespaces(dir)
		r.missed.add("namespaces", err)
	}
	// Only of a process that has ended are there no namespaces to be refused.
	gone := !p.Kernel && err == nil && !p.NS.Known() && p.State != "Z"
	return p, !gone
}

// parse reads a file and notes what could not be read or understood.
func (r *reader) parse(dir procfs.Dir, name, what string, parse func() error) {
	err := dir.ReadShort(name, &r.buf)
	if err == nil {
		err = parse()
	}
	r.missed.add(what, err)
}

// namespaces reads the links in ns. One that is refused is asked for no further: all
// are under the same rule (ptrace(2), PTRACE_MODE_READ).
func namespaces(dir procfs.Dir) (ns NS, err error) {
	for _, k := range Kinds() {
		link, err := dir.Link("ns/" + k.String())
		if fault.Is(err, fault.NotFound) {
			continue // this kernel has no such kind, or a zombie has none any more
		}
		if err != nil {
			return ns, err
		}
		n, err := ParseNamespace(link)
		if err != nil {
			return ns, err
		}
		ns[k] = n.Inode
	}
	if ns[Mnt] == 0 {
		// A process that is ending has let go of all but its pid and user namespaces:
		// it is nowhere any more.
		return NS{}, nil
	}
	return ns, nil
}

// findNamespaces learns which namespaces are the host's: those of the first process;
// where the reader may not see them, those of the kernel's own threads; else the
// reader's, which is said in NSFrom.
func (h *Host) findNamespaces(proc procfs.Dir) {
	for _, name := range []string{"1", "2", "self"} {
		dir, err := proc.Dir(name)
		if err != nil {
			continue
		}
		ns, err := namespaces(dir)
		dir.Close()
		if err == nil && ns.Known() {
			h.NS, h.NSFrom = ns, "/proc/"+name+"/ns"
			break
		}
	}
	first := born()
	other := func(k Kind) bool { return h.NS[k] != 0 && h.NS[k] != first[k] }
	if !other(PID) && !other(User) {
		return
	}
	h.Inner, h.NSFrom = true, "linux/proc_ns.h"
	for _, k := range Kinds() {
		if h.NS[k] != 0 { // the kernel has the kind
			h.NS[k] = first[k]
		}
	}
}

// born are the numbers of the namespaces that a kernel is born with (linux/proc_ns.h).
// Those of mnt and net are fixed since Linux 6.18 only: on an older one nothing seen
// from inside of a container is ever called the host's by them.
func born() NS {
	return NS{
		Mnt: 0xEFFFFFF8, Net: 0xEFFFFFF9, Time: 0xEFFFFFFA, Cgroup: 0xEFFFFFFB,
		PID: 0xEFFFFFFC, User: 0xEFFFFFFD, UTS: 0xEFFFFFFE, IPC: 0xEFFFFFFF,
	}
}

// misses counts what could not be read. What is gone is not missed.
type misses struct {
	mu   sync.Mutex
	seen map[Unread]int
}

func (m *misses) add(what string, err error) {
	if err == nil || fault.Is(err, fault.NotFound) {
		return
	}
	why := "permission denied"
	if !fault.Is(err, fault.Denied) {
		why = err.Error()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[Unread]int{}
	}
	m.seen[Unread{What: what, Why: why}]++
}

func (m *misses) list() []Unread {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Unread
	for u, n := range m.seen {
		u.Count = n
		all = append(all, u)
	}
	slices.SortFunc(all, func(a, b Unread) int { return bytes.Compare([]byte(a.What+a.Why), []byte(b.What+b.Why)) })
	return all
}
