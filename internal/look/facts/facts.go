// Package facts gathers what is to be known of one thing of a host, a process,
// container or pod: identity, capabilities, mounts, limits, devices. Packages that
// compare, explain and judge decide on a Sheet and read nothing themselves.
//
// A sheet is read after the host was, of processes that are still the same; what has
// ended or may not be read is missing and listed in Unread.
package facts

import (
	"os"
	"runtime"
	"slices"
	"strconv"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/filter"
	"carob/internal/look/group"
	"carob/internal/look/mounts"
	"carob/internal/sys/trace"
)

// Sheet is what is known of one thing.
type Sheet struct {
	Thing look.Thing
	// Process stands for the thing: the leader, or of the host its first process.
	Process look.Process
	// UID is its user outside, as the host numbers users.
	UID uint32
	// Users and Groups map its ids to the reader's.
	Users, Groups []look.Map
	// Label is what a security module calls it.
	Label string
	// Mounts are what it sees mounted; Outside are the host's, by which the source of
	// a mount is found.
	Mounts, Outside []mounts.Mount
	// Group is where it is among control groups, "" when that is not known, and Limits
	// what holds for it there.
	Group  string
	Limits []group.Bound
	// Devices are the lines of its device list, which only v1 has; Listed says that
	// there is one.
	Devices []string
	Listed  bool
	// Exposed are the files of the kernel that engines hide from containers and this
	// machine has, whether this thing sees them or not.
	Exposed []string
	// Sockets are those of engines that the host has.
	Sockets []string
	// Switches are files in /proc that act on the whole machine and that it has.
	Switches []string
	// Refused are the system calls that its seccomp filters refuse whatever their
	// arguments, Partly those they refuse with some; only where Reader.Calls asks.
	Refused, Partly []string
	// Twins are containers in other user namespaces whose users are the same outside.
	Twins []string
	// Members are the containers of a pod, its sandbox left out.
	Members []Sheet
	// Host are the host's namespaces, read from HostFrom; With the other containers in
	// each of the thing's.
	Host     look.NS
	HostFrom string
	With     [look.NumKinds][]string
	// Unread says what is missing and why.
	Unread []string
}

// Reader reads sheets of one host.
type Reader struct {
	Host *look.Host
	// Groups may be nil where no cgroups are mounted.
	Groups *group.Host
	// Calls has the first process of each thing stopped for a moment, to read its
	// seccomp filters. It needs root.
	Calls bool

	outside                    []mounts.Mount
	exposed, switches, sockets []string

	users map[uint64][]look.Map // by user namespace
}

// NewReader returns a reader.
func NewReader(h *look.Host, g *group.Host) *Reader {
	r := &Reader{Host: h, Groups: g, users: map[uint64][]look.Map{}}
	r.exposed, r.switches = present(h, Hidden()), present(h, []string{"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"})
	r.sockets = present(h, Sockets())
	for i := range h.Processes {
		p := &h.Processes[i]
		if p.Kernel || p.NS[look.Mnt] == 0 || p.NS[look.Mnt] != h.NS[look.Mnt] {
			continue
		}
		if all, err := h.Mounts(p.PID); err == nil {
			r.outside = all
			break
		}
	}
	return r
}

// Sockets are where engines listen: who may talk to one is root.
func Sockets() []string {
	return []string{
		"/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/podman/podman.sock",
		"/run/carob/api.sock", "/run/buildkit/buildkitd.sock", "/run/dockershim.sock", "/run/k3s/containerd/containerd.sock",
	}
}

// present are those of some paths that the host has.
func present(h *look.Host, paths []string) []string {
	var out []string
	for _, p := range paths {
		if _, err := os.Lstat(h.Path(p)); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Hidden are the paths that engines hide from containers, because what stands there is
// the whole machine's (the defaults of Docker, containerd and podman).
func Hidden() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
}

// Read reads what is known of a thing.
func (r *Reader) Read(t look.Thing) Sheet {
	s := Sheet{Thing: t, Outside: r.outside, Host: r.Host.NS, HostFrom: r.Host.NSFrom, Exposed: r.exposed, Switches: r.switches, Sockets: r.sockets}
	leader := t.Leader
	if t.Is == look.ThingHost {
		leader = 1
	}
	if p := r.Host.Process(leader); p != nil {
		s.Process = *p
	}
	var err error
	s.Users, s.Groups, err = r.Host.Maps(leader)
	s.missed("id maps", err)
	s.UID = outside(s.Process.UID, s.Users, r.Host.Inner)
	s.Label, err = r.Host.Label(leader)
	s.missed("label", err)
	if t.Is == look.ThingHost { // what its first process may not tell, others do
		s.Mounts, s.Process.NS = r.outside, r.Host.NS
	} else {
		s.Mounts, err = r.Host.Mounts(leader)
		s.missed("mounts", err)
	}
	if !s.Process.NS.Known() {
		s.missed("namespaces", fault.New(fault.Denied, "may not be seen"))
	}
	r.group(&s)
	r.with(&s)
	r.twins(&s)
	if r.Calls && s.Process.Seccomp == 2 {
		s.missed("which system calls are refused", r.calls(&s))
	}
	if t.Is == look.ThingPod {
		for _, i := range t.Pod.Containers {
			if r.Host.Containers[i].Class == look.ClassContainer {
				s.Members = append(s.Members, r.Read(r.Host.ContainerThing(i)))
			}
		}
	}
	return s
}

// calls reads what the filters refuse. Below another root the numbers are those of other
// processes.
func (r *Reader) calls(s *Sheet) error {
	if r.Host.Root != "/" {
		return fault.New(fault.Unsupported, "only the running kernel tells")
	}
	programs, err := trace.Filters(s.Process.PID)
	if err != nil {
		return err
	}
	all := make([][]filter.Instruction, len(programs))
	for i, p := range programs {
		for _, in := range p {
			all[i] = append(all[i], filter.Instruction(in))
		}
	}
	v, err := filter.Judge(all, runtime.GOARCH)
	s.Refused, s.Partly = v.Refused, v.Partly
	return err
}

// outside is a user as the host numbers it. A reader inside of a container sees the
// container's numbers, and in the map what they are outside.
func outside(uid uint32, users []look.Map, inner bool) uint32 {
	for _, m := range users {
		if inner && uid >= m.Inside && uid-m.Inside < m.Size {
			return m.Outside + uid - m.Inside
		}
	}
	return uid
}

// with finds the containers that share a namespace with the thing.
func (r *Reader) with(s *Sheet) {
	for i := range r.Host.Containers {
		c := r.Host.ContainerThing(i)
		if c.Leader == s.Process.PID || slices.Contains(c.PIDs, s.Process.PID) {
			continue
		}
		for _, k := range look.Kinds() {
			if n := s.Process.NS[k]; n != 0 && n == c.NS[k] && n != r.Host.NS[k] {
				s.With[k] = append(s.With[k], c.Name)
			}
		}
	}
}

// twins finds containers whose user namespace is another and maps to the same users.
func (r *Reader) twins(s *Sheet) {
	if s.Shares(look.User) || len(s.Users) == 0 {
		return
	}
	for i := range r.Host.Containers {
		c := r.Host.ContainerThing(i)
		n := c.NS[look.User]
		if n == 0 || n == s.Process.NS[look.User] || n == r.Host.NS[look.User] || c.Container.Class != look.ClassContainer {
			continue
		}
		all, known := r.users[n]
		if !known {
			all, _, _ = r.Host.Maps(c.Leader) // has ended: nobody's twin
			r.users[n] = all
		}
		if overlap(s.Users, all) {
			s.Twins = append(s.Twins, c.Name)
		}
	}
}

func overlap(a, b []look.Map) bool {
	for _, x := range a {
		for _, y := range b {
			if uint64(x.Outside) < uint64(y.Outside)+uint64(y.Size) && uint64(y.Outside) < uint64(x.Outside)+uint64(x.Size) {
				return true
			}
		}
	}
	return false
}

func (r *Reader) group(s *Sheet) {
	if r.Groups == nil {
		return
	}
	at, err := r.Groups.Of(r.Host, s.Thing)
	if err != nil {
		s.missed("cgroup", err)
		return
	}
	s.Group, s.Limits = at.Deepest(), r.Groups.Limits(at)
	s.Devices, s.Listed = r.Groups.Devices(at)
}

func (s *Sheet) missed(what string, err error) {
	if err != nil {
		s.Unread = append(s.Unread, what+": "+err.Error())
	}
}

// File is how evidence names a file of the process that stands for the thing.
func (s *Sheet) File(name string) string {
	return "/proc/" + strconv.Itoa(s.Process.PID) + "/" + name
}

// Shares reports whether the thing is in the host's namespace of a kind; false where
// it is not known.
func (s *Sheet) Shares(k look.Kind) bool {
	return s.Process.NS[k] != 0 && s.Process.NS[k] == s.Host[k]
}

// HostUsers reports whether the thing's users are the host's: by its namespace, or where
// that may not be seen by its id map.
func (s *Sheet) HostUsers() bool {
	if s.Process.NS[look.User] != 0 || len(s.Users) == 0 {
		return s.Shares(look.User) || len(s.Users) == 0
	}
	return len(s.Users) == 1 && s.Users[0].Inside == s.Users[0].Outside && s.Users[0].Size > 1<<31
}

// RootOutside is the user of the host that root of the thing is; known is false when
// its root is nobody outside or the map could not be read.
func (s *Sheet) RootOutside() (uid uint32, known bool) {
	for _, m := range s.Users {
		if m.Inside == 0 && m.Size > 0 {
			return m.Outside, true
		}
	}
	return 0, false
}

// Inside is the thing's user as it knows it.
func (s *Sheet) Inside() (uid uint32, known bool) {
	for _, m := range s.Users {
		if s.Process.UID >= m.Outside && s.Process.UID-m.Outside < m.Size {
			return m.Inside + s.Process.UID - m.Outside, true
		}
	}
	return 0, false
}

// Bound is the limit of a resource that holds.
func (s *Sheet) Bound(resource string) (group.Bound, bool) {
	i := slices.IndexFunc(s.Limits, func(b group.Bound) bool { return b.Resource == resource })
	if i < 0 {
		return group.Bound{}, false
	}
	return s.Limits[i], true
}

// Source is what is mounted, for people: the path on the host where it can be found,
// else the file system.
func (s *Sheet) Source(m mounts.Mount) string {
	if p := mounts.HostPath(s.Outside, m); p != "" {
		return p
	}
	if m.Root != "/" {
		return m.Type + " " + m.Root
	}
	return m.Type
}

// IsHostPath reports whether a mount shows a directory or file that the host has at a
// path of its own; kernel file systems are the kernel's, not the host's.
func (s *Sheet) IsHostPath(m mounts.Mount) (string, bool) {
	if slices.Contains([]string{"proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts", "overlay"}, m.Type) {
		return "", false
	}
	p := mounts.HostPath(s.Outside, m)
	return p, p != ""
}
