package cgroup

import (
	"cmp"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Within returns res for a group below one with the limits of above: a CPU quota that
// above does not leave is lifted, because above's is the one that holds. cgroup v1
// refuses it.
func Within(res *specs.LinuxResources, above *specs.LinuxCPU) *specs.LinuxResources {
	if res == nil || res.CPU == nil || above == nil || value(above.Quota) <= 0 || value(res.CPU.Quota) <= 0 {
		return res
	}
	if share(res.CPU) <= share(above) {
		return res
	}
	none := int64(-1)
	cpu := *res.CPU
	cpu.Quota = &none
	out := *res
	out.CPU = &cpu
	return &out
}

// share is a quota as a part of its period, whose default is the kernel's.
func share(c *specs.LinuxCPU) float64 {
	const usual = 100_000
	return float64(*c.Quota) / float64(cmp.Or(value(c.Period), usual))
}
