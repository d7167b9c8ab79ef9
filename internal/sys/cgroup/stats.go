package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"carob/internal/fault"
	plan "carob/internal/plan/cgroup"
)

// Stats are a group's numbers at one moment. A limit of math.MaxUint64 is none;
// numbers whose controller the host lacks are zero.
type Stats struct {
	Memory MemoryStats
	CPU    CPUStats
	Pids   PidsStats
	IO     IO
	// Pressure stall information exists on v2 only (Linux 4.20); nil otherwise.
	CPUStall, MemoryStall, IOStall *Stall
}

// MemoryStats are bytes. WorkingSet is use without the inactive file cache, as
// Kubernetes counts it. Swap is swap alone; SwapLimit too, on both versions.
type MemoryStats struct {
	Usage, WorkingSet, Limit uint64
	Swap, SwapLimit          uint64
	RSS, Cache               uint64
	PageFaults, MajorFaults  uint64
	OOMKills                 uint64
}

// CPUStats are nanoseconds, periods are counts.
type CPUStats struct {
	Usage, User, System       uint64
	Periods, ThrottledPeriods uint64
	Throttled                 uint64
}

// PidsStats count tasks, threads included.
type PidsStats struct{ Current, Limit uint64 }

// Stats reads the group's numbers: about a dozen small files, some 100 µs. A Sub
// has its parent's. The group being gone, or going meanwhile, is a fault.NotFound and an
// fs.ErrNotExist.
func (g *Group) Stats() (Stats, error) {
	r := statReader{g: g, buf: make([]byte, 0, 8192)}
	var s Stats
	if g.l.host["memory"] == plan.V2 {
		r.memoryV2(&s.Memory)
	} else {
		r.memoryV1(&s.Memory)
	}
	if g.l.host["cpu"] == plan.V2 || g.l.mode == ModeV2 {
		r.cpuV2(&s.CPU)
	} else {
		r.cpuV1(&s.CPU)
	}
	s.Pids.Current = r.number("pids", "pids.current")
	s.Pids.Limit = r.number("pids", "pids.max")
	r.io(&s.IO)
	s.CPUStall, s.MemoryStall, s.IOStall = r.stall("cpu"), r.stall("memory"), r.stall("io")
	if r.err != nil {
		return Stats{}, fault.Wrap(kind(r.err), "cgroup "+g.Name()+": stats", r.err)
	}
	return s, nil
}

// statReader reads files into one buffer and keeps the first failure. A single
// absent file is a kernel without that number; PSI that is off at boot refuses
// the read with EOPNOTSUPP.
type statReader struct {
	g   *Group
	buf []byte
	err error
}

func (r *statReader) file(controller, name string) []byte {
	dir := r.g.Path(controller)
	if r.g.l.mode == ModeV2 { // cpu.stat and pressure are there without controllers, too
		dir = r.g.track()
	}
	if dir == "" || r.err != nil {
		return nil
	}
	b, err := readInto(dir+"/"+name, r.buf)
	if err != nil {
		if !errors.Is(err, errors.ErrUnsupported) {
			r.err = absent(r.g, err)
		}
		return nil
	}
	r.buf = b
	return b
}

func (r *statReader) number(controller, name string) uint64 {
	b := r.file(controller, name)
	if len(b) == 0 {
		return 0
	}
	n, err := parseNumber(b)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", name, err)
	}
	return n
}

func (r *statReader) memoryV1(m *MemoryStats) {
	m.Usage = r.number("memory", "memory.usage_in_bytes")
	m.Limit = r.number("memory", "memory.limit_in_bytes")
	var inactive uint64
	flat(r.file("memory", "memory.stat"), func(key []byte, n uint64) {
		switch string(key) {
		case "total_inactive_file":
			inactive = n
		case "total_rss":
			m.RSS = n
		case "total_cache":
			m.Cache = n
		case "total_swap":
			m.Swap = n
		case "total_pgfault":
			m.PageFaults = n
		case "total_pgmajfault":
			m.MajorFaults = n
		case "hierarchical_memsw_limit":
			m.SwapLimit = n
		}
	})
	if m.SwapLimit >= unlimitedV1 || m.Limit == math.MaxUint64 {
		m.SwapLimit = math.MaxUint64
	} else if m.SwapLimit > 0 {
		m.SwapLimit -= min(m.SwapLimit, m.Limit)
	}
	m.WorkingSet = m.Usage - min(inactive, m.Usage)
	flat(r.file("memory", "memory.oom_control"), func(key []byte, n uint64) {
		if string(key) == "oom_kill" {
			m.OOMKills = n
		}
	})
}

func (r *statReader) memoryV2(m *MemoryStats) {
	m.Usage = r.number("memory", "memory.current")
	m.Limit = r.number("memory", "memory.max")
	m.Swap = r.number("memory", "memory.swap.current")
	m.SwapLimit = r.number("memory", "memory.swap.max")
	var inactive uint64
	flat(r.file("memory", "memory.stat"), func(key []byte, n uint64) {
		switch string(key) {
		case "inactive_file":
			inactive = n
		case "anon":
			m.RSS = n
		case "file":
			m.Cache = n
		case "pgfault":
			m.PageFaults = n
		case "pgmajfault":
			m.MajorFaults = n
		}
	})
	m.WorkingSet = m.Usage - min(inactive, m.Usage)
	flat(r.file("memory", "memory.events"), func(key []byte, n uint64) {
		if string(key) == "oom_kill" {
			m.OOMKills = n
		}
	})
}

func (r *statReader) cpuV1(c *CPUStats) {
	c.Usage = r.number("cpuacct", "cpuacct.usage")
	c.User = r.number("cpuacct", "cpuacct.usage_user")
	c.System = r.number("cpuacct", "cpuacct.usage_sys")
	flat(r.file("cpu", "cpu.stat"), func(key []byte, n uint64) {
		switch string(key) {
		case "nr_periods":
			c.Periods = n
		case "nr_throttled":
			c.ThrottledPeriods = n
		case "throttled_time":
			c.Throttled = n
		}
	})
}

func (r *statReader) cpuV2(c *CPUStats) {
	flat(r.file("cpu", "cpu.stat"), func(key []byte, n uint64) {
		switch string(key) {
		case "usage_usec":
			c.Usage = n * 1000
		case "user_usec":
			c.User = n * 1000
		case "system_usec":
			c.System = n * 1000
		case "nr_periods":
			c.Periods = n
		case "nr_throttled":
			c.ThrottledPeriods = n
		case "throttled_usec":
			c.Throttled = n * 1000
		}
	})
}

func (r *statReader) io(out *IO) {
	if r.g.l.host["io"] == plan.V2 {
		if b := r.file("io", "io.stat"); len(b) > 0 {
			s, err := parseIOStat(bytes.NewReader(b))
			r.keep(err)
			*out = s
		}
		return
	}
	for _, f := range [...]struct {
		name          string
		read, written *uint64
	}{
		{"blkio.throttle.io_service_bytes_recursive", &out.ReadBytes, &out.WriteBytes},
		{"blkio.throttle.io_serviced_recursive", &out.Reads, &out.Writes},
	} {
		b := r.file("io", f.name)
		if len(b) == 0 {
			continue
		}
		var err error
		*f.read, *f.written, err = parseBlkio(bytes.NewReader(b))
		r.keep(err)
	}
}

func (r *statReader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *statReader) stall(controller string) *Stall {
	if r.g.l.host[controller] != plan.V2 {
		return nil
	}
	b := r.file(controller, controller+".pressure")
	if len(b) == 0 {
		return nil
	}
	s, err := parseStall(bytes.NewReader(b))
	r.keep(err)
	return s
}

// Extremes are numbers of a group's memory that only a monitoring system asks for:
// bytes, and how often the limit was met.
type Extremes struct{ Peak, Kernel, Mapped, Failures uint64 }

// ReadExtremes reads them of a group. What the kernel does not have is zero; the group
// being gone is as with Stats.
func ReadExtremes(g *Group) (Extremes, error) {
	r := statReader{g: g, buf: make([]byte, 0, 8192)}
	var e Extremes
	mapped := "total_mapped_file"
	if g.l.host["memory"] == plan.V2 {
		mapped = "file_mapped"
		e.Peak = r.number("memory", "memory.peak")
		flat(r.file("memory", "memory.events"), func(key []byte, n uint64) {
			if string(key) == "max" {
				e.Failures = n
			}
		})
	} else {
		e.Peak = r.number("memory", "memory.max_usage_in_bytes")
		e.Kernel = r.number("memory", "memory.kmem.usage_in_bytes")
		e.Failures = r.number("memory", "memory.failcnt")
	}
	flat(r.file("memory", "memory.stat"), func(key []byte, n uint64) {
		switch string(key) {
		case mapped:
			e.Mapped = n
		case "kernel": // v2, Linux 5.18
			e.Kernel = n
		}
	})
	if r.err != nil {
		return Extremes{}, fault.Wrap(kind(r.err), "cgroup "+g.Name()+": stats", r.err)
	}
	return e, nil
}
