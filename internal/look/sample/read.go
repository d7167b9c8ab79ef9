package sample

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/sys/procfs"
)

// Reader reads samples of one host.
type Reader struct {
	o      look.Options
	groups *group.Host // nil where no cgroups are mounted
	host   *look.Host  // as it was at the last sample
	reads  int
	buf    bytes.Buffer
}

// whole is how often everything is read: what of a process seldom changes is known again
// from the sample before in between.
const whole = 5

// New returns a reader below a root; runDirs are carob's, to learn names from.
func New(root string, runDirs []string) (*Reader, error) {
	g, err := group.Open(root)
	if err != nil && !fault.Is(err, fault.Unsupported) {
		return nil, err
	}
	return &Reader{o: look.Options{Root: root, RunDirs: runDirs}, groups: g}, nil
}

// Read reads a sample. It ends early with the error of ctx.
func (r *Reader) Read(ctx context.Context) (*Sample, error) {
	o := r.o
	if r.reads%whole != 0 {
		o.Before = r.host
	}
	h, err := look.Read(ctx, o)
	if err != nil {
		return nil, err
	}
	r.host = h
	r.reads++
	s := &Sample{At: time.Now(), Nets: map[uint64]Net{}, Inner: h.Inner, Limited: len(h.Unread) > 0 && os.Geteuid() != 0}
	inPod := make([]bool, len(h.Containers))
	for i := range h.Pods {
		s.Things = append(s.Things, r.pod(i))
		for _, n := range h.Pods[i].Containers {
			inPod[n] = true
			s.Things = append(s.Things, r.container(n))
		}
	}
	for i := range h.Containers {
		if !inPod[i] {
			s.Things = append(s.Things, r.container(i))
		}
	}
	s.Machine = r.machine()
	s.Machine.Processes, s.Machine.NS = len(h.Processes), h.NS
	r.nets(s)
	return s, ctx.Err()
}

// key names a container for as long as it lives. A group has no ID: its first process
// names it, with the time of its start because numbers come again.
func (r *Reader) key(i int) string {
	c := &r.host.Containers[i]
	if c.ID != "" {
		return c.Class + ":" + c.ID
	}
	key := c.Class + ":" + strconv.Itoa(c.Leader)
	if p := r.host.Process(c.Leader); p != nil {
		key += "@" + strconv.FormatUint(p.Start, 10)
	}
	return key
}

func (r *Reader) container(i int) Thing {
	c := &r.host.Containers[i]
	at := r.host.ContainerThing(i)
	t := Thing{
		Key: r.key(i), Kind: c.Class, Name: at.Name, ID: c.ID, Engine: c.Engine, PID: c.Leader,
		Processes: len(c.PIDs), NS: c.NS, State: Running,
	}
	if at.Pod != nil {
		t.Pod = ThingPod + ":" + at.Pod.ID
		t.Name = strings.TrimPrefix(t.Name, at.Pod.Called()+"/")
	}
	if p := r.host.Process(c.Leader); p != nil {
		t.State = state(p.State)
	}
	if c.Cgroup != "" { // a path that tells the container is the container's own
		r.counted(at, &t)
	}
	if t.Use.From == "" {
		t.Use = r.processes(c.PIDs)
	}
	return t
}

func (r *Reader) pod(i int) Thing {
	p := &r.host.Pods[i]
	at := r.host.PodThing(i)
	t := Thing{
		Key: ThingPod + ":" + p.ID, Kind: ThingPod, Name: at.Name, ID: p.ID, Engine: p.Engine, PID: at.Leader,
		Processes: len(at.PIDs), NS: at.NS, State: Empty, Solo: p.Solo,
	}
	for _, n := range p.Containers {
		if r.host.Containers[n].Class == look.ClassContainer {
			t.State = Running
		}
	}
	if t.State == Empty || p.Solo {
		return t
	}
	r.counted(at, &t)
	return t
}

// state is a process's state as the state of what it leads.
func state(letter string) string {
	switch letter {
	case "T", "t":
		return Stopped
	case "Z", "X":
		return Zombie
	}
	return Running
}

// counted fills in what a thing's cgroup counts.
func (r *Reader) counted(at look.Thing, t *Thing) {
	if r.groups == nil {
		return
	}
	place, err := r.groups.Of(r.host, at)
	if err != nil { // has ended
		return
	}
	for i, p := range place.Paths {
		if !own(p, at) { // counts others too
			place.Paths[i] = ""
		}
	}
	if place.Deepest() == "/" {
		return
	}
	g := r.groups.Use(place)
	t.Use.From, t.Use.Pressure = g.Path, g.Pressure
	if g.CPU != nil {
		t.Use.CPU, t.Use.Quota = &g.CPU.Usage, g.CPU.Quota
		t.Use.Periods, t.Use.Throttled = g.CPU.Periods, g.CPU.ThrottledPeriods
	}
	if g.Memory != nil {
		t.Use.Memory, t.Use.Limit = &g.Memory.WorkingSet, g.Memory.Limit
	}
	if g.IO != nil {
		t.Use.Read, t.Use.Written = &g.IO.Read, &g.IO.Written
	}
	if g.Pids != nil {
		t.Use.Pids, t.Use.PidsLimit = &g.Pids.Current, g.Pids.Limit
	}
	if g.Frozen {
		t.State = Paused
	}
}

// own reports whether a group is a thing's own, by what its path tells: in some of the
// hierarchies of v1 an engine may leave a container where the engine itself is.
func own(path string, t look.Thing) bool {
	mark := look.ReadPath(path)
	return mark.ID == t.ID || t.Is == look.ThingPod && mark.ID == "" && mark.Pod == t.ID
}

// processes sums up what processes tell of themselves.
func (r *Reader) processes(pids []int) Use {
	var u Use
	if len(pids) == 0 {
		return u
	}
	var memory, tasks uint64
	for _, pid := range pids {
		p := r.host.Process(pid)
		memory += p.RSS
		tasks += uint64(max(0, p.Threads))
		r.process(pid, &u)
	}
	u.Memory, u.Pids = &memory, &tasks
	return u
}

// process adds a process's time and traffic to disks; what may not be read leaves them
// unknown.
func (r *Reader) process(pid int, u *Use) {
	d, err := procfs.Open(r.host.Path("proc", strconv.Itoa(pid)))
	if err != nil {
		return // has ended
	}
	defer d.Close()
	if d.ReadShort("stat", &r.buf) == nil {
		if cpu, ok := ParseStat(r.buf.Bytes()); ok {
			u.CPU = plus(u.CPU, cpu)
		}
	}
	if d.ReadShort("io", &r.buf) == nil {
		in, out := ParseIO(r.buf.String())
		u.Read, u.Written = plus(u.Read, in), plus(u.Written, out)
	}
}

func plus(sum *uint64, n uint64) *uint64 {
	if sum != nil {
		n += *sum
	}
	return &n
}

// nets reads each network namespace once, through the first process found in it.
func (r *Reader) nets(s *Sample) {
	for i := range s.Things {
		t := &s.Things[i]
		if n := t.NS[look.Net]; n != 0 && n != r.host.NS[look.Net] {
			r.net(s, n, t.PID, all)
		}
	}
	if n := r.host.NS[look.Net]; n != 0 {
		pid := r.resident(n)
		if r.net(s, n, pid, r.outward); s.Nets[n] == (Net{}) { // a machine that is itself in a container has only pairs
			delete(s.Nets, n)
			r.net(s, n, pid, all)
		}
	}
}

// resident is a process in the host's network.
func (r *Reader) resident(n uint64) int {
	i := slices.IndexFunc(r.host.Processes, func(p look.Process) bool { return p.NS[look.Net] == n })
	if i < 0 {
		return 1 // may not be seen to be in it, and is
	}
	return r.host.Processes[i].PID
}

func (r *Reader) net(s *Sample, n uint64, pid int, counts func(string) bool) {
	if _, have := s.Nets[n]; have {
		return
	}
	if text, ok := r.text("proc", strconv.Itoa(pid), "net/dev"); ok {
		s.Nets[n] = ParseNet(text, counts)
	}
}

func all(string) bool { return true }

// outward tells the machine's interfaces to the outside from bridges and pairs to
// containers, through which the same bytes would be counted again.
func (r *Reader) outward(name string) bool {
	d, err := procfs.Open(r.host.Path("sys/devices/virtual/net", name))
	if err != nil {
		return true
	}
	d.Close()
	return false
}

// machine reads what all together use.
func (r *Reader) machine() Machine {
	var m Machine
	stat, _ := r.text("proc", "", "stat") // missing is nothing known
	m.Busy, m.Total, m.CPUs = parseCPU(stat)
	mem, _ := r.text("proc", "", "meminfo")
	m.Memory, m.Available = field(mem, "MemTotal"), field(mem, "MemAvailable")
	load, _ := r.text("proc", "", "loadavg")
	m.Load = strings.Join(strings.Fields(load)[:min(3, len(strings.Fields(load)))], " ")
	name, _ := r.text("proc/sys/kernel", "", "hostname")
	m.Name = strings.TrimSpace(name)
	m.Pressure = r.pressure()
	return m
}

func (r *Reader) pressure() group.Pressure {
	of := func(name string) *group.Stall {
		text, ok := r.text("proc/pressure", "", name)
		if !ok {
			return nil
		}
		return group.ParseStall(text)
	}
	return group.Pressure{CPU: of("cpu"), Memory: of("memory"), IO: of("io")}
}

// text reads a small file of the host.
func (r *Reader) text(dir, sub, name string) (string, bool) {
	d, err := procfs.Open(r.host.Path(dir, sub))
	if err != nil {
		return "", false
	}
	defer d.Close()
	if d.Read(name, &r.buf) != nil {
		return "", false
	}
	return r.buf.String(), true
}
