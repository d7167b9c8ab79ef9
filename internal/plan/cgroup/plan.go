// Package cgroup decides which cgroup files an OCI resources section becomes:
// names, values and their order, for cgroup v1, v2 and hosts that mix them. It
// writes nothing; internal/sys/cgroup carries a plan out and undoes it. Whatever
// the host cannot honour is a fault.Unsupported that names the OCI field, what no
// kernel could honour is a fault.Invalid, and nothing is dropped in silence.
package cgroup

import (
	"fmt"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// Version says in which kind of hierarchy a controller lives on a host.
type Version uint8

// The versions. None means the host has no such controller mounted.
const (
	None Version = iota
	V1
	V2
)

// Host maps controllers by their v2 names ("cpu", "cpuset", "io", "memory",
// "pids", "hugetlb", "rdma") and the v1-only ones ("devices", "net_cls",
// "net_prio") to the version that holds them. On a host with a v2 hierarchy
// and no v1 devices controller, "devices" is V2: eBPF programs do its work.
type Host map[string]Version

// Write is one value for one file of a cgroup.
type Write struct {
	Controller string // by its v2 name, see Host
	File       string // base name
	Value      string
	Field      string // the OCI field that asked for it, for errors
	Key        string // in a file with a line per device: the key of the line
	Unset      string // in such a file: the value that clears the key again
	Missing    string // why the file may be absent
	Or         *Write // what to write instead when the file is absent
}

// Limits returns the writes that make a group's limits what res asks for, in an
// order the kernel accepts given that its limits are those of now (the zero value
// for a fresh group). Devices are not among them: see DeviceRules.
func Limits(res *specs.LinuxResources, now specs.LinuxResources, host Host) ([]Write, error) {
	if res == nil {
		return nil, nil
	}
	p := &planner{host: host}
	steps := []func() error{
		func() error { return p.memory(res.Memory, now.Memory) },
		func() error { return p.cpu(res.CPU, now.CPU) },
		func() error { return p.cpuset(res.CPU) },
		func() error { return p.pids(res.Pids) },
		func() error { return p.blockIO(res.BlockIO) },
		func() error { return p.hugepages(res.HugepageLimits) },
		func() error { return p.network(res.Network) },
		func() error { return p.rdma(res.Rdma) },
		func() error { return p.unified(res.Unified) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return p.out, nil
}

type planner struct {
	host Host
	out  []Write
}

// need returns the version that holds a controller, or why field cannot be had.
func (p *planner) need(controller, field string) (Version, error) {
	v := p.host[controller]
	if v == None {
		return v, unsupported(field, "no "+controller+" controller on this host")
	}
	return v, nil
}

func (p *planner) add(w Write) { p.out = append(p.out, w) }

// number plans one integer: -1 (any negative) is written as unlimited.
func (p *planner) number(w Write, value int64, unlimited string) {
	w.Value = unlimited
	if value >= 0 {
		w.Value = strconv.FormatInt(value, 10)
	}
	p.add(w)
}

func unsupported(field, why string) error {
	return fault.New(fault.Unsupported, field+": "+why)
}

func invalid(field, format string, args ...any) error {
	return fault.New(fault.Invalid, field+": "+fmt.Sprintf(format, args...))
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
