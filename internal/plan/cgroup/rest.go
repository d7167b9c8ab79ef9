package cgroup

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// pids plans the process limit. Negative is unlimited; 0 becomes 1, as in the
// other OCI runtimes: nobody can fork either way, and systemd has no 0.
func (p *planner) pids(l *specs.LinuxPids) error {
	if l == nil || l.Limit == nil {
		return nil
	}
	if _, err := p.need("pids", "pids.limit"); err != nil {
		return err
	}
	n := *l.Limit
	if n == 0 {
		n = 1
	}
	p.number(Write{Controller: "pids", File: "pids.max", Field: "pids.limit"}, n, "max")
	return nil
}

// hugepages limits reservation (Linux 5.7) beside use: where only use is limited,
// too large a mapping succeeds and ends in SIGBUS instead of a failed mmap.
func (p *planner) hugepages(limits []specs.LinuxHugepageLimit) error {
	for _, l := range limits {
		field := "hugepageLimits[" + l.Pagesize + "]"
		v, err := p.need("hugetlb", field)
		if err != nil {
			return err
		}
		if !isPageSize(l.Pagesize) {
			return invalid("hugepageLimits", "page size %q is not of the form 2MB", l.Pagesize)
		}
		suffix := "limit_in_bytes"
		if v == V2 {
			suffix = "max"
		}
		n := strconv.FormatUint(min(l.Limit, math.MaxInt64), 10)
		w := Write{Controller: "hugetlb", File: "hugetlb." + l.Pagesize + "." + suffix, Value: n, Field: field,
			Missing: "this host has no pages of that size"}
		p.add(w)
		rsvd := w
		rsvd.File = "hugetlb." + l.Pagesize + ".rsvd." + suffix
		p.add(rsvd)
	}
	return nil
}

func isPageSize(s string) bool {
	digits := strings.TrimRight(s, "KMGTPB")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && len(s)-len(digits) == 2 && s[len(s)-1] == 'B' && len(s) < 16
}

func (p *planner) network(n *specs.LinuxNetwork) error {
	if n == nil {
		return nil
	}
	if n.ClassID != nil {
		if _, err := p.need("net_cls", "network.classID"); err != nil {
			return err
		}
		p.number(Write{Controller: "net_cls", File: "net_cls.classid", Field: "network.classID"}, int64(*n.ClassID), "")
	}
	for i, prio := range n.Priorities {
		field := fmt.Sprintf("network.priorities[%d]", i)
		if _, err := p.need("net_prio", field); err != nil {
			return err
		}
		if prio.Name == "" || len(prio.Name) > 15 || strings.ContainsAny(prio.Name, " \t\n\x00/") {
			return invalid(field, "%q is no interface name", prio.Name)
		}
		value := prio.Name + " " + strconv.FormatUint(uint64(prio.Priority), 10)
		p.add(Write{Controller: "net_prio", File: "net_prio.ifpriomap", Value: value, Field: field, Key: prio.Name, Unset: "0"})
	}
	return nil
}

func (p *planner) rdma(devices map[string]specs.LinuxRdma) error {
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		field := "rdma[" + name + "]"
		if _, err := p.need("rdma", field); err != nil {
			return err
		}
		if name == "" || len(name) > 63 || strings.ContainsAny(name, " \t\n\x00/") {
			return invalid("rdma", "%q is no device name", name)
		}
		var b strings.Builder
		b.WriteString(name)
		if n := devices[name].HcaHandles; n != nil {
			fmt.Fprintf(&b, " hca_handle=%d", *n)
		}
		if n := devices[name].HcaObjects; n != nil {
			fmt.Fprintf(&b, " hca_object=%d", *n)
		}
		p.add(Write{Controller: "rdma", File: "rdma.max", Value: b.String(), Field: field, Key: name, Unset: "hca_handle=max hca_object=max"})
	}
	return nil
}

// unified plans raw v2 files, after everything else as the runtime spec wants. A
// key is a file of this very group: a slash would leave it, and the cgroup
// core's own files move processes or delegate controllers.
func (p *planner) unified(files map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		field := "unified[" + name + "]"
		controller, _, ok := strings.Cut(name, ".")
		if !ok || controller == "" || controller == "cgroup" || len(name) > 255 || strings.ContainsAny(name, "/\x00\n") {
			return invalid("unified", "%q is no controller file", name)
		}
		if p.host[controller] != V2 {
			return unsupported(field, "no cgroup v2 "+controller+" controller on this host")
		}
		if len(files[name]) > 4096 || strings.ContainsRune(files[name], 0) {
			return invalid(field, "value is too long or holds a NUL")
		}
		p.add(Write{Controller: controller, File: name, Value: files[name], Field: field, Missing: "this kernel has no such file"})
	}
	return nil
}
