package oci

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

const (
	// minMemory is where a limit stops being a limit and becomes a mistake in units:
	// Docker wants 6 MiB because runc starts inside the limit, carob does not.
	minMemory = 512 << 10
	// The kernel's bounds of the CPU bandwidth, in microseconds.
	minQuota, minPeriod, maxPeriod = 1000, 1000, 1000000
	defaultPeriod                  = 100000
	minWeight, maxWeight           = 10, 1000
)

// limits plans the cgroup.
type limits struct{ *planner }

// plan checks what the request asks for and completes it with what Docker derives.
func (l limits) plan() (*specs.LinuxResources, error) {
	out, err := l.check()
	if err != nil {
		return nil, err
	}
	if m := out.Memory; m != nil && value(m.Limit) > 0 && value(m.Swap) == 0 && l.r.Facts.SwapAccounting {
		m.Swap = double(*m.Limit)
	}
	rules, err := l.deviceRules()
	if err != nil {
		return nil, err
	}
	// Rules of the request's own come last and decide.
	out.Devices = append(rules, out.Devices...)
	return out, nil
}

// double is Docker's memory+swap when only the memory is given.
func double(limit int64) *int64 {
	twice := 2 * limit
	if twice < limit {
		twice = -1
	}
	return &twice
}

// check returns a copy of the request's limits that shares nothing that plan
// changes.
func (l limits) check() (*specs.LinuxResources, error) {
	out := specs.LinuxResources{}
	if l.c.Resources != nil {
		out = *l.c.Resources
	}
	if out.Memory != nil {
		m := *out.Memory
		if err := checkMemory(&m); err != nil {
			return nil, err
		}
		if m.Swap != nil && *m.Swap == -1 && !l.r.Facts.SwapAccounting {
			m.Swap = nil // there is no limit, and nowhere to say so
		}
		out.Memory = &m
	}
	if err := l.checkCPU(out.CPU); err != nil {
		return nil, err
	}
	out.Pids = pids(out.Pids)
	return &out, checkBlockIO(out.BlockIO)
}

// pids writes Docker's 0 for "no limit" as the OCI's -1.
func pids(p *specs.LinuxPids) *specs.LinuxPids {
	if p == nil || p.Limit == nil || *p.Limit > 0 {
		return p
	}
	unlimited := int64(-1)
	return &specs.LinuxPids{Limit: &unlimited}
}

// checkMemory holds the numbers against each other. Swap is memory and swap
// together, as in Docker, and -1 is no limit.
func checkMemory(m *specs.LinuxMemory) error {
	limit, swap, reservation := value(m.Limit), value(m.Swap), value(m.Reservation)
	if min(limit, swap, reservation) < -1 {
		return fault.New(fault.Invalid, "memory limits are numbers of bytes or -1")
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		return fault.New(fault.Invalid, fmt.Sprintf("memory swappiness %d is not from 0 to 100", *m.Swappiness))
	}
	if limit <= 0 {
		if swap > 0 {
			return fault.New(fault.Invalid, "memory+swap limit needs a memory limit beside it")
		}
		return nil
	}
	switch {
	case limit < minMemory:
		return fault.New(fault.Invalid, fmt.Sprintf("memory limit %d is below 512KiB", limit))
	case swap > 0 && swap < limit:
		return fault.New(fault.Invalid, fmt.Sprintf("memory+swap limit %d is below the memory limit %d", swap, limit))
	case reservation > limit:
		return fault.New(fault.Invalid, fmt.Sprintf("memory reservation %d is above the memory limit %d", reservation, limit))
	}
	return nil
}

// checkBandwidth refuses more CPUs than the host has, as Docker does, except for
// Kubernetes: there a limit is a cap that one manifest carries to nodes of every
// size.
func (l limits) checkBandwidth(quota int64, period uint64) error {
	cpus := l.r.Facts.CPUs
	if period != 0 && (period < minPeriod || period > maxPeriod) {
		return fault.New(fault.Invalid, fmt.Sprintf("cpu period %d is not from %d to %d microseconds", period, minPeriod, maxPeriod))
	}
	if quota == -1 || quota == 0 {
		return nil
	}
	if quota < minQuota {
		return fault.New(fault.Invalid, fmt.Sprintf("cpu quota %d is below %d microseconds: range of CPUs is from 0.01 to %d", quota, minQuota, cpus))
	}
	if period == 0 {
		period = defaultPeriod
	}
	kubernetes := l.pod.Owner == "apply" || l.pod.Owner == "cri"
	if !kubernetes && cpus > 0 && uint64(quota) > uint64(cpus)*period {
		return fault.New(fault.Invalid, fmt.Sprintf("%g cpus: range of CPUs is from 0.01 to %d, the host has no more", float64(quota)/float64(period), cpus))
	}
	return nil
}

func (l limits) checkCPU(c *specs.LinuxCPU) error {
	if c == nil {
		return nil
	}
	if err := l.checkBandwidth(value(c.Quota), value(c.Period)); err != nil {
		return err
	}
	if c.Cpus != "" && !isSet(c.Cpus) {
		return fault.New(fault.Invalid, "cpuset cpus \""+clip(c.Cpus)+"\" is not a list like 0-3,5")
	}
	if c.Mems != "" && !isSet(c.Mems) {
		return fault.New(fault.Invalid, "cpuset mems \""+clip(c.Mems)+"\" is not a list like 0-1")
	}
	return nil
}

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

func value[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}
