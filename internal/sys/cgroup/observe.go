package cgroup

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	plan "carob/internal/plan/cgroup"
)

// Observed returns the limits as the kernel shows them, in OCI terms: no limit is
// nil, swap is memory and swap together, and on v2 shares and block weights
// are mapped back (plan.Weight(shares) is exact, shares may differ from what was
// asked). Devices are known on v1 only: v2's are a program. A file that is absent
// on this host leaves its field nil. The group being gone is as with Stats.
func (g *Group) Observed() (specs.LinuxResources, error) {
	r := reader{g: g}
	res := specs.LinuxResources{
		Memory:         r.memory(),
		CPU:            r.cpu(),
		Pids:           r.pids(),
		BlockIO:        r.blockIO(),
		HugepageLimits: r.hugepages(),
		Devices:        r.devices(),
	}
	if r.err != nil {
		return specs.LinuxResources{}, fault.Wrap(kind(r.err), "cgroup "+g.Name(), r.err)
	}
	return res, nil
}

// reader reads files of a group and keeps the first failure; an absent file is none.
type reader struct {
	g   *Group
	err error
}

func (r *reader) text(controller, file string) (string, bool) {
	dir := r.g.Path(controller)
	if dir == "" || r.err != nil {
		return "", false
	}
	s, err := readFile(dir + "/" + file)
	if err != nil {
		r.err = absent(r.g, err)
		return "", false
	}
	return strings.TrimSpace(s), true
}

func (r *reader) number(controller, file string) (uint64, bool) {
	s, ok := r.text(controller, file)
	if !ok {
		return 0, false
	}
	n, err := parseNumber([]byte(s))
	if err != nil {
		r.err = fmt.Errorf("%s: %w", file, err)
		return 0, false
	}
	return n, true
}

// limit is a number, nil when absent or unlimited.
func (r *reader) limit(controller, file string) *int64 {
	n, ok := r.number(controller, file)
	if !ok || n > math.MaxInt64 {
		return nil
	}
	v := int64(n)
	return &v
}

func (r *reader) v2(controller string) bool { return r.g.l.host[controller] == plan.V2 }

func (r *reader) memory() *specs.LinuxMemory {
	var m specs.LinuxMemory
	if r.v2("memory") {
		m.Limit = r.limit("memory", "memory.max")
		if low := r.limit("memory", "memory.low"); low != nil && *low > 0 {
			m.Reservation = low
		}
		if swap := r.limit("memory", "memory.swap.max"); swap != nil && m.Limit != nil {
			total := *swap + *m.Limit
			m.Swap = &total
		}
	} else {
		m.Limit = r.limit("memory", "memory.limit_in_bytes")
		m.Reservation = r.limit("memory", "memory.soft_limit_in_bytes")
		m.Swap = r.limit("memory", "memory.memsw.limit_in_bytes")
		if n, ok := r.number("memory", "memory.swappiness"); ok {
			m.Swappiness = &n
		}
		if s, ok := r.text("memory", "memory.oom_control"); ok && strings.Contains(s, "oom_kill_disable 1") {
			off := true
			m.DisableOOMKiller = &off
		}
	}
	return present(m)
}

// present returns nil for a struct that says nothing.
func present[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (r *reader) cpu() *specs.LinuxCPU {
	var c specs.LinuxCPU
	c.Cpus, _ = r.text("cpuset", "cpuset.cpus")
	c.Mems, _ = r.text("cpuset", "cpuset.mems")
	if idle := r.limit("cpu", "cpu.idle"); idle != nil && *idle != 0 {
		c.Idle = idle
	}
	burst := "cpu.cfs_burst_us"
	if r.v2("cpu") {
		burst = "cpu.max.burst"
		if w, ok := r.number("cpu", "cpu.weight"); ok {
			c.Shares = present(plan.Shares(w))
		}
		if s, ok := r.text("cpu", "cpu.max"); ok {
			r.cpuMax(&c, s)
		}
	} else {
		if n, ok := r.number("cpu", "cpu.shares"); ok {
			c.Shares = &n
		}
		c.Quota = r.limit("cpu", "cpu.cfs_quota_us")
		if n, ok := r.number("cpu", "cpu.cfs_period_us"); ok {
			c.Period = &n
		}
		if n := r.limit("cpu", "cpu.rt_runtime_us"); n != nil && *n != 0 {
			c.RealtimeRuntime = n
		}
	}
	if n, ok := r.number("cpu", burst); ok && n != 0 {
		c.Burst = &n
	}
	return present(c)
}

// cpuMax reads "max 100000" or "50000 100000".
func (r *reader) cpuMax(c *specs.LinuxCPU, s string) {
	quota, period, _ := strings.Cut(s, " ")
	p, err := strconv.ParseUint(period, 10, 64)
	if err != nil {
		r.err = fmt.Errorf("cpu.max: %w", err)
		return
	}
	c.Period = &p
	if quota == "max" {
		return
	}
	q, err := strconv.ParseInt(quota, 10, 64)
	if err != nil {
		r.err = fmt.Errorf("cpu.max: %w", err)
		return
	}
	c.Quota = &q
}

func (r *reader) pids() *specs.LinuxPids {
	if n := r.limit("pids", "pids.max"); n != nil {
		return &specs.LinuxPids{Limit: n}
	}
	return nil
}

func (r *reader) blockIO() *specs.LinuxBlockIO {
	var b specs.LinuxBlockIO
	weight := "blkio.bfq.weight"
	if r.v2("io") {
		weight = "io.bfq.weight"
	}
	if s, ok := r.text("io", weight); ok {
		s, _, _ = strings.Cut(s, "\n")
		if n, err := strconv.ParseUint(strings.TrimPrefix(s, "default "), 10, 16); err == nil {
			w := uint16(n)
			b.Weight = &w
		}
	}
	if r.v2("io") {
		if s, ok := r.text("io", "io.max"); ok {
			limits, err := parseIOMax(strings.NewReader(s))
			r.keep(err)
			b.ThrottleReadBpsDevice, b.ThrottleWriteBpsDevice = throttles(limits["rbps"]), throttles(limits["wbps"])
			b.ThrottleReadIOPSDevice, b.ThrottleWriteIOPSDevice = throttles(limits["riops"]), throttles(limits["wiops"])
		}
	} else {
		b.ThrottleReadBpsDevice = r.throttle("blkio.throttle.read_bps_device")
		b.ThrottleWriteBpsDevice = r.throttle("blkio.throttle.write_bps_device")
		b.ThrottleReadIOPSDevice = r.throttle("blkio.throttle.read_iops_device")
		b.ThrottleWriteIOPSDevice = r.throttle("blkio.throttle.write_iops_device")
	}
	if b.Weight == nil && b.ThrottleReadBpsDevice == nil && b.ThrottleWriteBpsDevice == nil &&
		b.ThrottleReadIOPSDevice == nil && b.ThrottleWriteIOPSDevice == nil {
		return nil
	}
	return &b
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) throttle(file string) []specs.LinuxThrottleDevice {
	s, ok := r.text("io", file)
	if !ok {
		return nil
	}
	limits, err := parseThrottles(strings.NewReader(s))
	r.keep(err)
	return throttles(limits)
}

func throttles(limits map[[2]int64]uint64) []specs.LinuxThrottleDevice {
	var out []specs.LinuxThrottleDevice
	devices := slices.SortedFunc(maps.Keys(limits), func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	for _, d := range devices {
		t := specs.LinuxThrottleDevice{Rate: limits[d]}
		t.Major, t.Minor = d[0], d[1]
		out = append(out, t)
	}
	return out
}

func (r *reader) hugepages() []specs.LinuxHugepageLimit {
	dir := r.g.Path("hugetlb")
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	r.keep(err)
	var out []specs.LinuxHugepageLimit
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), "hugetlb.")
		size, rest, _ := strings.Cut(name, ".")
		if !ok || (rest != "max" && rest != "limit_in_bytes") {
			continue
		}
		if n := r.limit("hugetlb", e.Name()); n != nil {
			out = append(out, specs.LinuxHugepageLimit{Pagesize: size, Limit: uint64(*n)})
		}
	}
	return out
}

func (r *reader) devices() []specs.LinuxDeviceCgroup {
	if r.g.l.host["devices"] != plan.V1 {
		return nil
	}
	s, ok := r.text("devices", "devices.list")
	if !ok {
		return nil
	}
	l, err := plan.ParseDevicesList(s)
	if err != nil {
		r.err = err
		return nil
	}
	if l.All { // no restriction; the kernel does not show exceptions to it
		return nil
	}
	return l.OCI()
}
