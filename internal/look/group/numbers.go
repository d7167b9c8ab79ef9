package group

import (
	"os"
	"slices"
	"strings"

	"carob/internal/sys/procfs"
)

// fill reads a group's numbers from the hierarchies that have it.
func (w *walk) fill(g *Group) {
	r := reader{h: w.h, g: g}
	g.Only = r.only()
	g.Memory, g.CPU, g.Cpuset, g.Pids, g.IO = r.memory(), r.cpu(), r.cpuset(), r.pids(), r.io()
	g.Pressure = r.pressure()
	g.Frozen = strings.TrimSpace(r.text(w.h.of("freezer"), "freezer.state")) == "FROZEN" ||
		flat(r.text(w.h.unified(), "cgroup.events"))["frozen"] == 1
}

// reader reads files of one group.
type reader struct {
	h *Host
	g *Group
	// paths are where it is in each hierarchy; nil is at its path in all.
	paths []string
}

func (r reader) at(tree int) string {
	if r.paths == nil {
		return r.g.Path
	}
	return r.paths[tree]
}

// text returns a file of the group in a hierarchy, "" when there is none.
func (r reader) text(tree int, file string) string {
	if tree < 0 || !r.g.in[tree] {
		return ""
	}
	return r.h.text(tree, r.at(tree), file)
}

func (h *Host) text(tree int, group, file string) string {
	name := h.root + h.Hierarchies[tree].Dir + group + "/" + file
	err := procfs.File(name, &h.buf) // half the system calls of os.ReadFile
	h.refused(name, err)
	if err != nil {
		return ""
	}
	return h.buf.String()
}

// has reports whether the group is in the hierarchy of a controller, and whether that is
// v2. In v2 a controller that the parent does not hand down is not there: it has no files.
func (r reader) has(controller, file string) (tree int, v2, ok bool) {
	tree = r.h.of(controller)
	if tree < 0 || !r.g.in[tree] {
		return tree, false, false
	}
	v2 = r.h.Hierarchies[tree].V2
	if v2 {
		_, err := os.Lstat(r.h.root + r.h.Hierarchies[tree].Dir + r.at(tree) + "/" + file)
		return tree, v2, err == nil
	}
	return tree, v2, true
}

// usual are the controllers that a group of an engine is expected to have.
func usual() []string { return []string{"memory", "cpu", "cpuset", "pids", "io", "blkio"} }

// only names the hierarchies of a group that some hierarchy of the usual controllers
// lacks.
func (r reader) only() []string {
	have, lacks := []string{}, false
	for i, tree := range r.h.Hierarchies {
		switch {
		case r.g.in[i] && len(tree.Controllers) > 0:
			have = append(have, tree.Controllers...)
		case r.g.in[i]:
			have = append(have, "v2")
		case slices.ContainsFunc(tree.Controllers, func(c string) bool { return slices.Contains(usual(), c) }):
			lacks = true
		}
	}
	if !lacks {
		return nil
	}
	return have
}

func (r reader) memory() *Memory {
	tree, v2, ok := r.has("memory", "memory.stat")
	if !ok {
		return nil
	}
	get := func(file string) string { return r.text(tree, file) }
	var m Memory
	cache := "inactive_file"
	stat := flat(get("memory.stat"))
	if v2 {
		m = Memory{
			Usage: number(get("memory.current")), Peak: number(get("memory.peak")), Swap: number(get("memory.swap.current")),
			Limit: limit(get("memory.max")), High: limit(get("memory.high")), SwapLimit: limit(get("memory.swap.max")),
			Low: number(get("memory.low")), Min: number(get("memory.min")),
		}
		events := flat(get("memory.events"))
		m.OOMKills, m.AtLimit = events["oom_kill"], events["max"]
		if m.Usage == 0 { // the root has no memory.current
			m.Usage = stat["anon"] + stat["file"] + stat["kernel"]
		}
	} else {
		cache = "total_inactive_file"
		m = Memory{
			Usage: number(get("memory.usage_in_bytes")), Peak: number(get("memory.max_usage_in_bytes")), Swap: stat["total_swap"],
			Limit: limit(get("memory.limit_in_bytes")), AtLimit: number(get("memory.failcnt")),
		}
		// v1 limits memory and swap together.
		if both := limit(get("memory.memsw.limit_in_bytes")); both != nil && m.Limit != nil && *both >= *m.Limit {
			swap := *both - *m.Limit
			m.SwapLimit = &swap
		}
		m.OOMKills = flat(get("memory.oom_control"))["oom_kill"]
	}
	m.WorkingSet = m.Usage - min(m.Usage, stat[cache])
	return &m
}

func (r reader) cpu() *CPU {
	tree, v2, ok := r.has("cpu", "cpu.stat")
	if !ok {
		if tree = r.h.unified(); tree < 0 || !r.g.in[tree] {
			return nil
		}
		// Without the controller v2 still counts time.
		stat := flat(r.text(tree, "cpu.stat"))
		if _, counted := stat["usage_usec"]; !counted || r.h.of("cpu") >= 0 {
			return nil
		}
		return &CPU{Usage: stat["usage_usec"] * 1000}
	}
	stat := flat(r.text(tree, "cpu.stat"))
	c := CPU{Periods: stat["nr_periods"], ThrottledPeriods: stat["nr_throttled"]}
	if v2 {
		c.Usage, c.Throttled = stat["usage_usec"]*1000, stat["throttled_usec"]*1000
		c.Quota, c.Weight = quotaV2(r.text(tree, "cpu.max")), number(r.text(tree, "cpu.weight"))
		return &c
	}
	c.Throttled = stat["throttled_time"]
	c.Usage = number(r.text(r.h.of("cpuacct"), "cpuacct.usage"))
	c.Quota = quota(r.text(tree, "cpu.cfs_quota_us"), r.text(tree, "cpu.cfs_period_us"))
	c.Shares = number(r.text(tree, "cpu.shares"))
	return &c
}

func (r reader) cpuset() *Cpuset {
	tree, v2, ok := r.has("cpuset", "cpuset.cpus.effective")
	if !ok {
		return nil
	}
	get := func(file string) string { return strings.TrimSpace(r.text(tree, file)) }
	effective, mems := cpusetFiles(v2)
	return &Cpuset{CPUs: get("cpuset.cpus"), EffectiveCPUs: get(effective), Mems: get("cpuset.mems"), EffectiveMems: get(mems)}
}

// cpusetFiles names the files with the CPUs and memory nodes that are in effect.
func cpusetFiles(v2 bool) (cpus, mems string) {
	if v2 {
		return "cpuset.cpus.effective", "cpuset.mems.effective"
	}
	return "cpuset.effective_cpus", "cpuset.effective_mems"
}

func (r reader) pids() *Pids {
	tree, _, ok := r.has("pids", "pids.current")
	if !ok || r.at(tree) == "/" { // the root has no files of this controller
		return nil
	}
	return &Pids{
		Current: number(r.text(tree, "pids.current")), Limit: limit(r.text(tree, "pids.max")),
		Refused: flat(r.text(tree, "pids.events"))["max"],
	}
}

func (r reader) io() *IO {
	if tree, v2, ok := r.has("io", "io.stat"); ok && v2 {
		in, out := moved(r.text(tree, "io.stat"))
		return &IO{in, out}
	}
	tree, _, ok := r.has("blkio", "blkio.throttle.io_service_bytes")
	if !ok {
		return nil
	}
	s := r.text(tree, "blkio.throttle.io_service_bytes_recursive")
	if s == "" { // before Linux 4.17
		s = r.text(tree, "blkio.throttle.io_service_bytes")
	}
	in, out := moved(s)
	return &IO{in, out}
}

func (r reader) pressure() *Pressure {
	tree := r.h.unified()
	p := Pressure{stall(r.text(tree, "cpu.pressure")), stall(r.text(tree, "memory.pressure")), stall(r.text(tree, "io.pressure"))}
	if p == (Pressure{}) {
		return nil
	}
	return &p
}
