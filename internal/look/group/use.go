package group

import "strings"

// Use reads what a thing uses and may use, without the members and children of its
// group. It is what is read again and again while somebody watches, and leaves out what
// a watcher does not need: cpusets, weights and peaks cost a file each.
func (h *Host) Use(t Thing) *Group {
	g := &Group{Path: t.Deepest(), in: make([]bool, len(h.Hierarchies))}
	for i, p := range t.Paths {
		g.in[i] = p != ""
	}
	r := reader{h: h, g: g, paths: t.Paths}
	g.Memory, g.CPU, g.Pids, g.IO, g.Pressure = r.need(), r.time(), r.tasks(), r.io(), r.pressure()
	if tree := h.of("freezer"); tree >= 0 {
		g.Frozen = strings.TrimSpace(r.text(tree, "freezer.state")) == "FROZEN"
	}
	g.Frozen = g.Frozen || flat(r.text(h.unified(), "cgroup.events"))["frozen"] == 1
	return g
}

// need is memory without peaks, protection and events.
func (r reader) need() *Memory {
	tree, v2, ok := r.has("memory", "memory.stat")
	if !ok {
		return nil
	}
	files, cache := [2]string{"memory.usage_in_bytes", "memory.limit_in_bytes"}, "total_inactive_file"
	if v2 {
		files, cache = [2]string{"memory.current", "memory.max"}, "inactive_file"
	}
	m := Memory{Usage: number(r.text(tree, files[0])), Limit: limit(r.text(tree, files[1]))}
	m.WorkingSet = m.Usage - min(m.Usage, flat(r.text(tree, "memory.stat"))[cache])
	return &m
}

// time is processor time without weights.
func (r reader) time() *CPU {
	tree, v2, ok := r.has("cpu", "cpu.stat")
	if !ok || v2 {
		return r.cpu()
	}
	stat := flat(r.text(tree, "cpu.stat"))
	return &CPU{
		Usage:   number(r.text(r.h.of("cpuacct"), "cpuacct.usage")),
		Quota:   quota(r.text(tree, "cpu.cfs_quota_us"), r.text(tree, "cpu.cfs_period_us")),
		Periods: stat["nr_periods"], ThrottledPeriods: stat["nr_throttled"], Throttled: stat["throttled_time"],
	}
}

// tasks is the number of tasks without refusals.
func (r reader) tasks() *Pids {
	tree, _, ok := r.has("pids", "pids.current")
	if !ok || r.at(tree) == "/" {
		return nil
	}
	return &Pids{Current: number(r.text(tree, "pids.current")), Limit: limit(r.text(tree, "pids.max"))}
}

// ParseStall reads a pressure file, nil when it holds none.
func ParseStall(s string) *Stall { return stall(s) }
