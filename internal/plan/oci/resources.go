package oci

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

const (
	// minMemory is where a limit stops being a limit and becomes a mistake in units:
	// Docker wants 6 MiB because runc starts inside the limit, carob does not.
	minMemory = 512 << 10
	// The kernel's bounds of the CPU bandwidth period, in microseconds.
	minPeriod, maxPeriod = 1000, 1000000
	defaultPeriod        = 100000
	minWeight, maxWeight = 10, 1000
)

// resources checks the request's limits and completes them with what Docker
// derives. The result shares nothing that it changes with the request.
func (p *planner) resources() (*specs.LinuxResources, error) {
	out := specs.LinuxResources{}
	if p.c.Resources != nil {
		out = *p.c.Resources
	}
	var err error
	if out.Memory, err = p.memory(out.Memory); err != nil {
		return nil, err
	}
	if err := p.checkCPU(out.CPU); err != nil {
		return nil, err
	}
	if err := checkBlockIO(out.BlockIO); err != nil {
		return nil, err
	}
	if out.Pids != nil && out.Pids.Limit != nil && *out.Pids.Limit <= 0 {
		unlimited := int64(-1)
		out.Pids = &specs.LinuxPids{Limit: &unlimited}
	}
	rules, err := p.deviceRules()
	if err != nil {
		return nil, err
	}
	// Rules of the request's own come last and decide.
	out.Devices = append(rules, out.Devices...)
	return &out, nil
}

// memory has Docker's meaning of swap: memory+swap together, twice the memory when
// not said, -1 for no limit.
func (p *planner) memory(asked *specs.LinuxMemory) (*specs.LinuxMemory, error) {
	if asked == nil {
		return nil, nil
	}
	m := *asked
	limit, swap, reservation := value(m.Limit), value(m.Swap), value(m.Reservation)
	switch {
	case limit > 0 && limit < minMemory:
		return nil, fault.New(fault.Invalid, fmt.Sprintf("memory limit %d is below 512KiB", limit))
	case limit < -1 || swap < -1 || reservation < -1:
		return nil, fault.New(fault.Invalid, "memory limits are numbers of bytes or -1")
	case swap > 0 && limit <= 0:
		return nil, fault.New(fault.Invalid, "memory+swap limit needs a memory limit beside it")
	case swap > 0 && swap < limit:
		return nil, fault.New(fault.Invalid, fmt.Sprintf("memory+swap limit %d is below the memory limit %d", swap, limit))
	case limit > 0 && reservation > limit:
		return nil, fault.New(fault.Invalid, fmt.Sprintf("memory reservation %d is above the memory limit %d", reservation, limit))
	case m.Swappiness != nil && *m.Swappiness > 100:
		return nil, fault.New(fault.Invalid, fmt.Sprintf("memory swappiness %d is not from 0 to 100", *m.Swappiness))
	case value(m.Kernel) > 0:
		return nil, fault.New(fault.Unsupported, "kernel memory limit: Linux 5.4 took it away")
	case swap > 0 && !p.swapAccounting():
		return nil, fault.New(fault.Unsupported, "memory+swap limit: this kernel does not account for swap (boot with swapaccount=1)")
	}
	if limit > 0 && swap == 0 && p.swapAccounting() {
		double := 2 * limit
		if double < limit {
			double = -1
		}
		m.Swap = &double
	}
	if m.Swap != nil && !p.swapAccounting() {
		m.Swap = nil // no limit where there is none to set
	}
	m.Kernel = nil
	return &m, nil
}

func (p *planner) checkCPU(c *specs.LinuxCPU) error {
	if c == nil {
		return nil
	}
	quota, period := value(c.Quota), value(c.Period)
	switch {
	case period != 0 && (period < minPeriod || period > maxPeriod):
		return fault.New(fault.Invalid, fmt.Sprintf("cpu period %d is not from %d to %d microseconds", period, minPeriod, maxPeriod))
	case quota < -1 || (quota > 0 && quota < 1000):
		return fault.New(fault.Invalid, fmt.Sprintf("cpu quota %d is below 1000 microseconds: range of CPUs is from 0.01 to %d", quota, p.cpus()))
	}
	if period == 0 {
		period = defaultPeriod
	}
	if n := uint64(p.cpus()); p.boundsCPUs() && n > 0 && quota > 0 && uint64(quota) > n*period {
		return fault.New(fault.Invalid, fmt.Sprintf("%g cpus: range of CPUs is from 0.01 to %d, the host has no more", float64(quota)/float64(period), n))
	}
	if c.Cpus != "" && !isSet(c.Cpus) {
		return fault.New(fault.Invalid, "cpuset cpus \""+clip(c.Cpus)+"\" is not a list like 0-3,5")
	}
	if c.Mems != "" && !isSet(c.Mems) {
		return fault.New(fault.Invalid, "cpuset mems \""+clip(c.Mems)+"\" is not a list like 0-1")
	}
	return nil
}

// boundsCPUs: Docker refuses more CPUs than there are; a Kubernetes limit is a cap
// that one manifest carries to nodes of every size.
func (p *planner) boundsCPUs() bool { return p.pod.Owner != "apply" && p.pod.Owner != "cri" }

// isSet reads the kernel's list format of numbers and ranges.
func isSet(s string) bool {
	const most = 4096
	if len(s) > most {
		return false
	}
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, ok := decimal(from)
		if !ok {
			return false
		}
		if b, ok := decimal(to); isRange && (!ok || b < a) {
			return false
		}
	}
	return true
}

func decimal(s string) (n int, ok bool) {
	if s == "" || len(s) > 6 {
		return 0, false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func checkBlockIO(b *specs.LinuxBlockIO) error {
	if b == nil {
		return nil
	}
	weights := []*uint16{b.Weight, b.LeafWeight}
	for _, d := range b.WeightDevice {
		weights = append(weights, d.Weight, d.LeafWeight)
	}
	for _, w := range weights {
		if n := value(w); n != 0 && (n < minWeight || n > maxWeight) {
			return fault.New(fault.Invalid, fmt.Sprintf("block IO weight %d is not from %d to %d", n, minWeight, maxWeight))
		}
	}
	return nil
}

// deviceRules are the devices cgroup's rules: everything for a privileged
// container of the host's user namespace; else nothing but the harmless nodes, the
// making of any node (using it is another thing), and what was asked for.
func (p *planner) deviceRules() ([]specs.LinuxDeviceCgroup, error) {
	if p.privileged && !p.mapped {
		return []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, nil
	}
	const wild = -1
	out := make([]specs.LinuxDeviceCgroup, 0, 12+len(p.r.Devices))
	out = append(out, specs.LinuxDeviceCgroup{Allow: false, Access: "rwm"})
	for _, d := range [...]struct {
		kind         string
		major, minor int64
		access       string
	}{
		{"c", wild, wild, "m"}, {"b", wild, wild, "m"},
		{"c", 1, 3, "rwm"},      // null
		{"c", 1, 5, "rwm"},      // zero
		{"c", 1, 7, "rwm"},      // full
		{"c", 1, 8, "rwm"},      // random
		{"c", 1, 9, "rwm"},      // urandom
		{"c", 5, 0, "rwm"},      // tty
		{"c", 5, 1, "rwm"},      // console
		{"c", 5, 2, "rwm"},      // ptmx
		{"c", 136, wild, "rwm"}, // pts
	} {
		rule := specs.LinuxDeviceCgroup{Allow: true, Type: d.kind, Access: d.access}
		if d.major != wild {
			rule.Major = &d.major
		}
		if d.minor != wild {
			rule.Minor = &d.minor
		}
		out = append(out, rule)
	}
	for i := range p.r.Devices {
		d := p.r.Devices[i]
		access, err := p.access(d.Path)
		if err != nil {
			return nil, err
		}
		out = append(out, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: access})
	}
	return out, nil
}

// access finds what the request allows on a resolved node: a request for a
// directory speaks of every node below it, the nearest request decides.
func (p *planner) access(node string) (string, error) {
	access, best := "rwm", -1
	for _, d := range p.c.Devices {
		target := d.Target
		if target == "" {
			target = d.Source
		}
		target = path.Clean(target)
		if node != target && !strings.HasPrefix(node, target+"/") || len(target) <= best {
			continue
		}
		best, access = len(target), d.Access
		if access == "" {
			access = "rwm"
		}
	}
	for i := range len(access) {
		if c := access[i]; (c != 'r' && c != 'w' && c != 'm') || strings.IndexByte(access, c) != i {
			return "", fault.New(fault.Invalid, "device "+clip(node)+": access \""+clip(access)+"\" is not made of r, w and m")
		}
	}
	return access, nil
}

// devices are the nodes made besides the OCI's default ones.
func (p *planner) devices() ([]specs.LinuxDevice, error) {
	seen := make(map[string]bool, len(p.r.Devices))
	for _, d := range p.r.Devices {
		subject := "device \"" + clip(d.Path) + "\": "
		switch {
		case !path.IsAbs(d.Path) || !plainPath(d.Path) || path.Clean(d.Path) != d.Path || d.Path == "/":
			return nil, fault.New(fault.Invalid, subject+"the target is not a clean absolute path")
		case strings.HasPrefix(d.Path, "/proc/") || strings.HasPrefix(d.Path, "/sys/"):
			return nil, fault.New(fault.Invalid, subject+"no node is made in the kernel's file systems")
		case d.Type != "c" && d.Type != "b":
			return nil, fault.New(fault.Invalid, subject+"neither a character nor a block device")
		case seen[d.Path]:
			return nil, fault.New(fault.Invalid, subject+"asked for twice")
		}
		seen[d.Path] = true
	}
	return p.r.Devices, nil
}

func value[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}
