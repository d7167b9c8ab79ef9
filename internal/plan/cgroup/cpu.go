package cgroup

import (
	"cmp"
	"math"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// cpu plans weight, bandwidth, idle and real-time of the cpu controller.
func (p *planner) cpu(c, now *specs.LinuxCPU) error {
	if c == nil {
		return nil
	}
	rest := *c
	rest.Cpus, rest.Mems = "", ""
	if rest == (specs.LinuxCPU{}) {
		return nil
	}
	v, err := p.need("cpu", "cpu")
	if err != nil {
		return err
	}
	if now == nil {
		now = &specs.LinuxCPU{}
	}
	if err := checkCPU(c, now, v); err != nil {
		return err
	}
	t := cpuTime{planner: p, LinuxCPU: c, now: now}
	t.weight(v)
	if v == V2 {
		t.bandwidthV2()
		return nil
	}
	t.bandwidthV1()
	t.realtime()
	return nil
}

// cpuTime plans what is asked, of a group with the limits of now.
type cpuTime struct {
	*planner
	*specs.LinuxCPU
	now *specs.LinuxCPU
}

func checkCPU(c, now *specs.LinuxCPU, v Version) error {
	idle, burst, quota := value(c.Idle), value(c.Burst), cmp.Or(value(c.Quota), value(now.Quota))
	switch {
	case idle != 0 && idle != 1:
		return invalid("cpu.idle", "%d is neither 0 nor 1", idle)
	case max(value(c.Period), value(c.RealtimePeriod)) > math.MaxInt64:
		return invalid("cpu.period", "out of range")
	case burst > math.MaxInt64 || (quota > 0 && burst > uint64(quota)):
		return invalid("cpu.burst", "%d is above cpu.quota %d", burst, quota)
	case v == V2 && (value(c.RealtimePeriod) != 0 || value(c.RealtimeRuntime) != 0):
		return unsupported("cpu.realtimeRuntime", "only cgroup v1 has it")
	}
	return nil
}

// weight plans idleness and shares. An idle group refuses a weight: it leaves
// idleness first and enters it last.
func (c cpuTime) weight(v Version) {
	idle := Write{Controller: "cpu", File: "cpu.idle", Field: "cpu.idle", Missing: "needs Linux 5.15"}
	if c.Idle != nil && *c.Idle == 0 {
		c.number(idle, 0, "")
	}
	if s := value(c.Shares); s != 0 {
		c.shares(s, v)
	}
	if value(c.Idle) == 1 {
		c.number(idle, 1, "")
	}
}

// realtime plans what only v1 has, and only kernels built with it.
func (c cpuTime) realtime() {
	const missing = "this kernel has no real-time groups"
	if n := value(c.RealtimePeriod); n != 0 {
		c.number(Write{Controller: "cpu", File: "cpu.rt_period_us", Field: "cpu.realtimePeriod", Missing: missing}, int64(n), "")
	}
	if n := value(c.RealtimeRuntime); n != 0 {
		c.number(Write{Controller: "cpu", File: "cpu.rt_runtime_us", Field: "cpu.realtimeRuntime", Missing: missing}, n, "-1")
	}
}

func (c cpuTime) shares(s uint64, v Version) {
	if v == V2 {
		c.number(Write{Controller: "cpu", File: "cpu.weight", Field: "cpu.shares"}, int64(Weight(s)), "")
		return
	}
	// The kernel clamps to 2..262144 itself; a larger number than it can parse is clamped here.
	c.number(Write{Controller: "cpu", File: "cpu.shares", Field: "cpu.shares"}, int64(min(s, maxShares)), "")
}

// bandwidthV1 lifts a present quota for a moment when quota and period both
// change: the kernel checks each single write against the parent's ratio and
// the burst, and an old quota with a new period may exceed it.
func (c cpuTime) bandwidthV1() {
	quota := Write{Controller: "cpu", File: "cpu.cfs_quota_us", Field: "cpu.quota", Missing: "this kernel has no CPU bandwidth control"}
	want := value(c.Quota)
	if want != 0 && value(c.now.Quota) > 0 && (value(c.Period) != 0 || c.Burst != nil) {
		c.number(quota, -1, "-1")
	}
	if n := value(c.Period); n != 0 {
		c.number(Write{Controller: "cpu", File: "cpu.cfs_period_us", Field: "cpu.period", Missing: quota.Missing}, int64(n), "")
	}
	if c.Burst != nil {
		c.number(Write{Controller: "cpu", File: "cpu.cfs_burst_us", Field: "cpu.burst", Missing: "needs Linux 5.14"}, int64(*c.Burst), "")
	}
	if want != 0 {
		c.number(quota, want, "-1")
	}
}

func (c cpuTime) bandwidthV2() {
	limit := func() {
		if value(c.Quota) == 0 && value(c.Period) == 0 {
			return
		}
		quota, period := value(c.Quota), value(c.Period)
		if quota == 0 {
			quota = value(c.now.Quota)
		}
		text := "max"
		if quota > 0 {
			text = strconv.FormatInt(quota, 10)
		}
		if period != 0 {
			text += " " + strconv.FormatUint(period, 10)
		}
		field := "cpu.quota"
		if value(c.Quota) == 0 {
			field = "cpu.period"
		}
		c.add(Write{Controller: "cpu", File: "cpu.max", Value: text, Field: field})
	}
	if c.Burst == nil {
		limit()
		return
	}
	burst := Write{Controller: "cpu", File: "cpu.max.burst", Field: "cpu.burst", Missing: "needs Linux 5.14"}
	if *c.Burst <= value(c.now.Burst) { // a burst above the quota is refused at every moment
		c.number(burst, int64(*c.Burst), "")
		limit()
		return
	}
	limit()
	c.number(burst, int64(*c.Burst), "")
}

func (p *planner) cpuset(c *specs.LinuxCPU) error {
	if c == nil || (c.Cpus == "" && c.Mems == "") {
		return nil
	}
	for _, s := range []struct{ field, file, list string }{
		{"cpu.cpus", "cpuset.cpus", c.Cpus},
		{"cpu.mems", "cpuset.mems", c.Mems},
	} {
		if s.list == "" {
			continue
		}
		if _, err := p.need("cpuset", s.field); err != nil {
			return err
		}
		if !isList(s.list) {
			return invalid(s.field, "%q is not a list like 0-3,6", s.list)
		}
		p.add(Write{Controller: "cpuset", File: s.file, Value: s.list, Field: s.field})
	}
	return nil
}

// isList tells a cpuset list from everything that must not reach the kernel;
// the kernel itself judges the ranges.
func isList(s string) bool {
	if len(s) > 4096 {
		return false
	}
	for _, r := range s {
		if (r < '0' || r > '9') && r != '-' && r != ',' && r != ':' && r != '/' {
			return false
		}
	}
	return s != ""
}

const (
	minShares = 2
	maxShares = 262144
	maxWeight = 10000
)

// Weight converts v1 cpu.shares (2..262144, default 1024) to v2 cpu.weight
// (1..10000, default 100) with the curve through both ends and both
// defaults that the OCI runtimes agreed on in 2025; 0 (unset) stays 0.
func Weight(shares uint64) uint64 {
	switch {
	case shares == 0:
		return 0
	case shares <= minShares:
		return 1
	case shares >= maxShares:
		return maxWeight
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// Shares is the inverse of Weight: the most shares that give this weight, or
// as near below as the curve comes. The default 100 is 1024.
func Shares(weight uint64) uint64 {
	if weight == 0 {
		return 0
	}
	lo, hi := uint64(minShares), uint64(maxShares)
	for lo < hi {
		mid := (lo + hi + 1) / 2
		if Weight(mid) <= weight {
			lo = mid
			continue
		}
		hi = mid - 1
	}
	return lo
}
