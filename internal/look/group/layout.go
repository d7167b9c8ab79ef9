// Package group shows control groups as they are: the tree with its processes,
// limits, use, throttling, OOM kills and pressure, and for one thing the limit that
// really holds, which is the tightest on the way up to the root, and who set it.
//
// It reads cgroup file systems (v1, v2 and both at once) and /proc below a root
// directory, so recorded trees work as this machine does, and writes nothing. Groups
// and processes that vanish while it reads are left out; what it may not read is
// listed. A Host keeps no open files and is for one goroutine.
package group

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/look/mounts"
)

// Mode says which versions are mounted.
type Mode string

// The modes. Hybrid is any mixture of v1 and v2.
const (
	V1     Mode = "v1"
	Hybrid Mode = "hybrid"
	V2     Mode = "v2"
)

// Hierarchy is one mounted tree of groups.
type Hierarchy struct {
	// Dir is where it is mounted; Base is the group that is seen there, "/" unless
	// the reader sits in a cgroup namespace or container.
	Dir  string `json:"dir"`
	Base string `json:"base"`
	V2   bool   `json:"v2"`
	// Controllers are the names the kernel uses; a v1 tree without any has its
	// "name=…".
	Controllers []string `json:"controllers"`
}

// Host is what Open found.
type Host struct {
	Mode        Mode        `json:"mode"`
	Hierarchies []Hierarchy `json:"hierarchies"`
	// Memory is the machine's in bytes, 0 when unknown.
	Memory uint64 `json:"memory,omitempty"`
	// Unread are files that could not be read for want of privilege.
	Unread []string `json:"unread,omitempty"`

	root string
	buf  bytes.Buffer
}

// Open finds the cgroup file systems of the machine below root ("" is "/"). Without any
// it is a fault.Unsupported.
func Open(root string) (*Host, error) {
	h := &Host{root: root}
	all, err := mounts.Read(root + "/proc/self/mountinfo")
	if os.IsNotExist(err) { // a recorded tree has no self
		all, err = mounts.Read(root + "/proc/1/mountinfo")
	}
	if err != nil {
		return nil, fmt.Errorf("cgroups: %w", err)
	}
	for _, m := range all {
		h.add(m)
	}
	v2 := slices.ContainsFunc(h.Hierarchies, func(t Hierarchy) bool { return t.V2 })
	v1 := slices.ContainsFunc(h.Hierarchies, func(t Hierarchy) bool { return !t.V2 })
	switch {
	case v1 && v2:
		h.Mode = Hybrid
	case v1:
		h.Mode = V1
	case v2:
		h.Mode = V2
	default:
		return nil, fault.New(fault.Unsupported, "cgroups: no cgroup file system is mounted")
	}
	if b, err := os.ReadFile(root + "/proc/meminfo"); err == nil {
		h.Memory = flat(string(b))["MemTotal:"] << 10
	}
	return h, nil
}

// add keeps the first mount of each hierarchy.
func (h *Host) add(m mounts.Mount) {
	t := Hierarchy{Dir: m.Point, Base: m.Root, V2: m.Type == "cgroup2"}
	switch m.Type {
	case "cgroup2":
		b, _ := os.ReadFile(h.root + m.Point + "/cgroup.controllers") // unreadable is like none
		t.Controllers = strings.Fields(string(b))
	case "cgroup":
		for _, o := range m.Super {
			if o != "rw" && o != "ro" && (!strings.Contains(o, "=") || strings.HasPrefix(o, "name=")) && !slices.Contains(v1Flags(), o) {
				t.Controllers = append(t.Controllers, o)
			}
		}
	default:
		return
	}
	for _, have := range h.Hierarchies {
		if have.V2 == t.V2 && (t.V2 || slices.Equal(have.Controllers, t.Controllers)) {
			return
		}
	}
	h.Hierarchies = append(h.Hierarchies, t)
}

// v1Flags are options of a v1 mount that are no controllers (cgroups(7)).
func v1Flags() []string {
	return []string{"noprefix", "clone_children", "xattr", "cpuset_v2_mode", "none"}
}

// of returns the hierarchy that a controller is in, -1 when it is in none.
func (h *Host) of(controller string) int {
	return slices.IndexFunc(h.Hierarchies, func(t Hierarchy) bool { return slices.Contains(t.Controllers, controller) })
}

// unified returns the v2 hierarchy, -1 when there is none. It counts pressure for every
// controller, whoever has the controller itself.
func (h *Host) unified() int {
	return slices.IndexFunc(h.Hierarchies, func(t Hierarchy) bool { return t.V2 })
}

// deny remembers what could not be read.
func (h *Host) deny(file string) {
	if !slices.Contains(h.Unread, file) {
		h.Unread = append(h.Unread, file)
	}
}

// Thing is a process or group whose limits are asked for: where it is in each
// hierarchy, by index into Host.Hierarchies; "" where it is not.
type Thing struct {
	Name  string   `json:"name"`
	Paths []string `json:"paths"`
}

// Process returns where a process is. A process that is not there is a fault.NotFound.
func (h *Host) Process(pid int) (Thing, error) {
	file := fmt.Sprintf("%s/proc/%d/cgroup", h.root, pid)
	b, err := os.ReadFile(file)
	if err != nil {
		return Thing{}, fault.Wrap(fault.NotFound, fmt.Sprintf("process %d", pid), err)
	}
	t := Thing{Name: fmt.Sprintf("process %d", pid), Paths: make([]string, len(h.Hierarchies))}
	for controllers, p := range memberships(string(b)) {
		for i, tree := range h.Hierarchies {
			if tree.V2 && controllers == "" || !tree.V2 && controllers == strings.Join(tree.Controllers, ",") {
				t.Paths[i] = tree.below(p)
			}
		}
	}
	return t, nil
}

// below makes a path of /proc/PID/cgroup one below the mount. A process that is outside
// of what the mount shows has none.
func (t Hierarchy) below(p string) string {
	if strings.HasPrefix(p, "/..") || !mounts.Under(p, t.Base) {
		return ""
	}
	return path.Join("/", strings.TrimPrefix(p, t.Base))
}

// Group returns a group by its path, the same in every hierarchy that has it. No group
// of that path is a fault.NotFound.
func (h *Host) Group(p string) (Thing, error) {
	t := Thing{Name: path.Clean("/" + p), Paths: make([]string, len(h.Hierarchies))}
	found := false
	for i, tree := range h.Hierarchies {
		if info, err := os.Stat(h.root + tree.Dir + t.Name); err == nil && info.IsDir() {
			t.Paths[i], found = t.Name, true
		}
	}
	if !found {
		return Thing{}, fault.New(fault.NotFound, "no cgroup "+t.Name)
	}
	return t, nil
}
