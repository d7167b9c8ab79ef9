package cgroup

import (
	"cmp"
	"math"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const noSwapAccounting = "no swap accounting on this host"

// memory plans limit, reservation, swap and the switches. In OCI swap is memory
// and swap together (Docker's --memory-swap), -1 is unlimited and 0 is unset.
func (p *planner) memory(m, now *specs.LinuxMemory) error {
	if m == nil || *m == (specs.LinuxMemory{}) {
		return nil
	}
	v, err := p.need("memory", "memory")
	if err != nil {
		return err
	}
	if err := checkMemory(m, v); err != nil {
		return err
	}
	if now == nil {
		now = &specs.LinuxMemory{}
	}
	if err := p.memoryLimits(m, now, v); err != nil {
		return err
	}
	if r := value(m.Reservation); r != 0 {
		file := "memory.soft_limit_in_bytes"
		if v == V2 {
			file = "memory.low"
		}
		none := "-1"
		if v == V2 { // memory.low protects: nothing reserved is 0, not "max"
			none = "0"
		}
		p.number(Write{Controller: "memory", File: file, Field: "memory.reservation"}, r, none)
	}
	if v == V1 {
		p.memoryV1(m)
	}
	return nil
}

func checkMemory(m *specs.LinuxMemory, v Version) error {
	for _, n := range [...]struct {
		field string
		bytes *int64
	}{{"memory.limit", m.Limit}, {"memory.swap", m.Swap}, {"memory.reservation", m.Reservation}} {
		if value(n.bytes) < -1 {
			return invalid(n.field, "%d is negative", *n.bytes)
		}
	}
	limit, swap := value(m.Limit), value(m.Swap)
	switch {
	case limit > 0 && swap > 0 && swap < limit:
		return invalid("memory.swap", "%d is less than memory.limit %d; it counts memory and swap together", swap, limit)
	case limit == -1 && swap > 0:
		return invalid("memory.swap", "%d with unlimited memory", swap)
	case value(m.Swappiness) > 200:
		return invalid("memory.swappiness", "%d is above 200", *m.Swappiness)
	}
	return honoured(m, v)
}

// honoured refuses what the kernel does not have, or not in this version.
func honoured(m *specs.LinuxMemory, v Version) error {
	const onlyV1 = "only cgroup v1 has it"
	for _, s := range [...]struct {
		field string
		asked bool
		why   string
	}{
		//lint:ignore SA1019 a deprecated field that is set must still be refused by name
		{"memory.kernel", value(m.Kernel) != 0, "kernels since 5.4 have no such limit"},
		{"memory.useHierarchy", m.UseHierarchy != nil && !*m.UseHierarchy, "kernels since 5.11 always account hierarchically"},
		{"memory.kernelTCP", v == V2 && value(m.KernelTCP) != 0, onlyV1},
		{"memory.swappiness", v == V2 && m.Swappiness != nil, onlyV1},
		{"memory.disableOOMKiller", v == V2 && value(m.DisableOOMKiller), onlyV1},
	} {
		if s.asked {
			return unsupported(s.field, s.why)
		}
	}
	return nil
}

// memoryLimits plans the two numbers that bind each other: v1 refuses a limit
// above memory+swap and a memory+swap below the limit, at every moment.
func (p *planner) memoryLimits(m, now *specs.LinuxMemory, v Version) error {
	limit, swap := value(m.Limit), value(m.Swap)
	if limit == -1 && swap == 0 {
		swap = -1 // unlimited memory below limited memory+swap would be no freedom at all
	}
	if v == V2 {
		return p.memoryLimitsV2(limit, swap, m, now)
	}
	was := value(now.Swap)
	if swap == 0 && limit > 0 && was > 0 && limit > was {
		return invalid("memory.limit", "%d is above the present memory.swap %d; change both", limit, was)
	}
	mem := func() {
		if limit != 0 {
			p.number(Write{Controller: "memory", File: "memory.limit_in_bytes", Field: "memory.limit"}, limit, "-1")
		}
	}
	memsw := func() {
		if swap == 0 {
			return
		}
		w := Write{Controller: "memory", File: "memory.memsw.limit_in_bytes", Field: "memory.swap", Missing: noSwapAccounting}
		p.number(w, swap, "-1")
	}
	if bytes(swap) > bytes(was) { // raise the roof first
		memsw()
		mem()
		return nil
	}
	mem()
	memsw()
	return nil
}

// memoryLimitsV2: swap is a number of its own there, so it is recomputed when
// only the memory limit changes: Docker's total must stay what was asked.
func (p *planner) memoryLimitsV2(limit, swap int64, m, now *specs.LinuxMemory) error {
	known, total := cmp.Or(limit, value(now.Limit)), swap
	if total == 0 && limit > 0 {
		total = max(0, value(now.Swap))
	}
	file := Write{Controller: "memory", File: "memory.swap.max", Field: "memory.swap", Missing: noSwapAccounting}
	switch {
	case total > 0 && known <= 0:
		return invalid("memory.swap", "%d needs a memory.limit", total)
	case total > 0 && total < known:
		return invalid("memory.limit", "%d is above the present memory.swap %d; change both", known, total)
	case total > 0:
		p.number(file, total-known, "max")
	case total < 0 && (m.Swap != nil || value(now.Swap) > 0): // else it is unlimited, and the file may be absent
		p.number(file, total, "max")
	}
	if limit != 0 {
		p.number(Write{Controller: "memory", File: "memory.max", Field: "memory.limit"}, limit, "max")
	}
	return nil
}

// bytes orders limits: 0 (unset) and negative are above every number.
func bytes(n int64) uint64 {
	if n <= 0 {
		return math.MaxUint64
	}
	return uint64(n)
}

func (p *planner) memoryV1(m *specs.LinuxMemory) {
	if n := value(m.KernelTCP); n != 0 {
		p.number(Write{Controller: "memory", File: "memory.kmem.tcp.limit_in_bytes", Field: "memory.kernelTCP",
			Missing: "this kernel has no such limit"}, n, "-1")
	}
	if m.Swappiness != nil {
		p.number(Write{Controller: "memory", File: "memory.swappiness", Field: "memory.swappiness"}, int64(*m.Swappiness), "")
	}
	if m.DisableOOMKiller != nil {
		n := int64(0)
		if *m.DisableOOMKiller {
			n = 1
		}
		p.number(Write{Controller: "memory", File: "memory.oom_control", Field: "memory.disableOOMKiller", Key: "oom_kill_disable"}, n, "")
	}
}
