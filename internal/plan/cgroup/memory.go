package cgroup

import (
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
	limit, swap := value(m.Limit), value(m.Swap)
	switch {
	case limit < -1:
		return invalid("memory.limit", "%d is negative", limit)
	case swap < -1:
		return invalid("memory.swap", "%d is negative", swap)
	case value(m.Reservation) < -1:
		return invalid("memory.reservation", "%d is negative", *m.Reservation)
	case limit > 0 && swap > 0 && swap < limit:
		return invalid("memory.swap", "%d is less than memory.limit %d; it counts memory and swap together", swap, limit)
	case limit == -1 && swap > 0:
		return invalid("memory.swap", "%d with unlimited memory", swap)
	//lint:ignore SA1019 a deprecated field that is set must still be refused by name
	case value(m.Kernel) != 0:
		return unsupported("memory.kernel", "kernels since 5.4 have no such limit")
	case m.UseHierarchy != nil && !*m.UseHierarchy:
		return unsupported("memory.useHierarchy", "kernels since 5.11 always account hierarchically")
	case m.Swappiness != nil && *m.Swappiness > 200:
		return invalid("memory.swappiness", "%d is above 200", *m.Swappiness)
	}
	if v == V1 {
		return nil
	}
	switch {
	case value(m.KernelTCP) != 0:
		return unsupported("memory.kernelTCP", "only cgroup v1 has it")
	case m.Swappiness != nil:
		return unsupported("memory.swappiness", "only cgroup v1 has it")
	case value(m.DisableOOMKiller):
		return unsupported("memory.disableOOMKiller", "only cgroup v1 has it")
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
	known := limit
	if known == 0 {
		known = value(now.Limit)
	}
	total := swap
	if total == 0 && limit > 0 && value(now.Swap) > 0 {
		total = *now.Swap
	}
	switch {
	case total > 0 && known <= 0:
		return invalid("memory.swap", "%d needs a memory.limit", total)
	case total > 0 && total < known:
		return invalid("memory.limit", "%d is above the present memory.swap %d; change both", known, total)
	}
	if total != 0 && (total > 0 || m.Swap != nil || value(now.Swap) > 0) {
		rest := total
		if total > 0 {
			rest = total - known
		}
		w := Write{Controller: "memory", File: "memory.swap.max", Field: "memory.swap", Missing: noSwapAccounting}
		p.number(w, rest, "max")
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
