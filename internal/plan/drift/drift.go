// Package drift says where what the kernel shows of a pod or container is not what
// was asked for.
package drift

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/spec"
	"carob/internal/status"
)

// Expectation is what an observation of a container is held against.
type Expectation struct {
	// World is what the process was made from.
	World *specs.Spec
	// Modes are the container's effective ones, SandboxModes its pod's.
	Modes, SandboxModes spec.Namespaces
	// Sandbox and Host are kind → "kind:[inode]".
	Sandbox, Host map[string]string
	Mapping       status.IDMapping
	// Page is the kernel's page size in bytes.
	Page int
}

// Of says, one line each, where the kernel's answer is not what was asked. What the
// observer could not read is no difference.
func Of(want Expectation, o status.Observed) []string {
	var d []string
	for _, kind := range spec.Kinds() {
		d = append(d, namespaceDifference(want, kind, o.Namespaces[kind])...)
	}
	d = append(d, Resources(resourcesOf(want.World), o.Resources, want.Page)...)
	if p := want.World.Process; p != nil {
		d = append(d, processDifferences(p, o)...)
	}
	d = append(d, seccompDifference(want.World, o)...)
	if m := want.Mapping; m.Size > 0 && o.UIDMap != "" {
		asked := fmt.Sprintf("0 %d %d", m.HostID, m.Size)
		if got := strings.Join(strings.Fields(o.UIDMap), " "); got != asked {
			d = append(d, differs("uidMap", asked, got))
		}
	}
	return d
}

func resourcesOf(world *specs.Spec) *specs.LinuxResources {
	if world.Linux == nil {
		return nil
	}
	return world.Linux.Resources
}

func differs(what, asked, got string) string {
	return fmt.Sprintf("%s: asked %s, kernel shows %s", what, asked, got)
}

func namespaceDifference(want Expectation, kind, got string) []string {
	if got == "" {
		return nil
	}
	mode := want.Modes.Mode(kind)
	if mode == spec.OfPod && want.SandboxModes.Mode(kind) == spec.Host {
		mode = spec.Host
	}
	asked, shown := namespaceClash(mode, kind, got, want)
	if asked == "" {
		return nil
	}
	return []string{differs("namespaces."+kind, asked, shown)}
}

// namespaceClash returns what was asked and what is shown instead, or nothing.
func namespaceClash(mode spec.Mode, kind, got string, want Expectation) (asked, shown string) {
	host, sandbox := want.Host[kind], want.Sandbox[kind]
	switch mode {
	case spec.Own, spec.None:
		if got == host {
			return string(mode), "the host's " + got
		}
		if got == sandbox && kind != "user" {
			return string(mode), "the pod's " + got
		}
	case spec.OfPod:
		return podClash(kind, got, host, sandbox)
	case spec.Host:
		if host != "" && got != host {
			return string(mode) + " " + host, got
		}
	}
	return "", ""
}

// podClash is namespaceClash for what is the sandbox's. The supervisor itself may
// live outside the pid namespace that its containers share.
func podClash(kind, got, host, sandbox string) (asked, shown string) {
	switch {
	case kind == "pid" && got == host:
		return string(spec.OfPod), "the host's " + got
	case kind != "pid" && sandbox != "" && got != sandbox:
		return string(spec.OfPod) + " " + sandbox, got
	}
	return "", ""
}

// OfPod is Of for a sandbox: modes are its effective ones, host is kind →
// "kind:[inode]".
func OfPod(modes spec.Namespaces, host map[string]string, o status.Observed) []string {
	var d []string
	for _, kind := range []string{"net", "ipc", "uts", "user"} {
		got := o.Namespaces[kind]
		switch m := modes.Mode(kind); {
		case got == "" || host[kind] == "":
		case (m == spec.Own || m == spec.None) && got == host[kind]:
			d = append(d, differs("namespaces."+kind, string(m), "the host's "+got))
		case m == spec.Host && got != host[kind]:
			d = append(d, differs("namespaces."+kind, string(m), got))
		}
	}
	return d
}

// number compares one limit; the kernel rounds memory down to pages.
func number[T int64 | uint64](what string, asked, got *T, granule T) []string {
	if asked == nil || got == nil || *asked == *got {
		return nil
	}
	a, g := *asked, *got
	unlimited := func(v T) bool { return int64(v) <= 0 || int64(v) >= 1<<62 }
	if unlimited(a) && unlimited(g) || granule > 1 && a/granule == g/granule {
		return nil
	}
	return []string{differs("resources."+what, fmt.Sprint(a), fmt.Sprint(g))}
}

// Resources compares limits; page is the kernel's page size in bytes.
func Resources(asked, got *specs.LinuxResources, page int) []string {
	if asked == nil || got == nil {
		return nil
	}
	var d []string
	if a, g := asked.Memory, got.Memory; a != nil && g != nil {
		d = append(d, number("memory.limit", a.Limit, g.Limit, int64(page))...)
		d = append(d, number("memory.swap", a.Swap, g.Swap, int64(page))...)
		d = append(d, number("memory.reservation", a.Reservation, g.Reservation, int64(page))...)
	}
	if a, g := asked.CPU, got.CPU; a != nil && g != nil {
		d = append(d, number("cpu.shares", a.Shares, g.Shares, 1)...)
		d = append(d, quotaDifference(a, g)...)
		d = append(d, setDifference("cpu.cpus", a.Cpus, g.Cpus)...)
		d = append(d, setDifference("cpu.mems", a.Mems, g.Mems)...)
	}
	if a, g := asked.Pids, got.Pids; a != nil && g != nil {
		d = append(d, number("pids.limit", a.Limit, g.Limit, 1)...)
	}
	return d
}

// quotaDifference compares what share of a CPU is allowed: quota and period mean
// something only together.
func quotaDifference(a, g *specs.LinuxCPU) []string {
	if a.Quota == nil || g.Quota == nil || *a.Quota <= 0 && *g.Quota <= 0 {
		return nil
	}
	const defaultPeriod = 100000
	period := func(p *uint64) int64 {
		if p == nil || *p == 0 {
			return defaultPeriod
		}
		return int64(*p)
	}
	pa, pg := period(a.Period), period(g.Period)
	if *a.Quota > 0 && *g.Quota > 0 && *a.Quota*pg == *g.Quota*pa {
		return nil
	}
	return []string{differs("resources.cpu.quota", fmt.Sprintf("%d/%d", *a.Quota, pa), fmt.Sprintf("%d/%d", *g.Quota, pg))}
}

// setDifference compares lists like "0-2,4" by what they mean.
func setDifference(what, asked, got string) []string {
	if asked == "" || got == "" || slices.Equal(cpuList(asked), cpuList(got)) {
		return nil
	}
	return []string{differs("resources."+what, asked, got)}
}

// cpuList expands a list of the kernel's (cpuset(7) "List format"); what it cannot
// read it leaves out.
func cpuList(s string) []int {
	var out []int
	for _, part := range strings.Split(strings.TrimSpace(s), ",") {
		lo, hi, isRange := strings.Cut(part, "-")
		if !isRange {
			hi = lo
		}
		first, err1 := strconv.Atoi(lo)
		last, err2 := strconv.Atoi(hi)
		if err1 != nil || err2 != nil || last-first > 1<<16 {
			continue
		}
		for n := first; n <= last; n++ {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func processDifferences(p *specs.Process, o status.Observed) []string {
	var d []string
	if p.NoNewPrivileges && !o.NoNewPrivs {
		d = append(d, differs("noNewPrivileges", "true", "false"))
	}
	if p.Capabilities != nil {
		for _, set := range []struct {
			name  string
			asked []string
		}{{"bounding", p.Capabilities.Bounding}, {"effective", p.Capabilities.Effective}, {"permitted", p.Capabilities.Permitted}} {
			if got, ok := o.Capabilities[set.name]; ok {
				d = append(d, capabilityDifference("capabilities."+set.name, set.asked, got)...)
			}
		}
	}
	if p.OOMScoreAdj != nil && *p.OOMScoreAdj != o.OOMScoreAdj {
		d = append(d, differs("oomScoreAdj", strconv.Itoa(*p.OOMScoreAdj), strconv.Itoa(o.OOMScoreAdj)))
	}
	return d
}

// capabilityDifference takes the observation as words with any separators, "all",
// or empty.
func capabilityDifference(what string, asked []string, got string) []string {
	words := func(in []string) []string {
		var out []string
		for _, w := range in {
			w = strings.TrimPrefix(strings.ToUpper(w), "CAP_")
			if w != "" {
				out = append(out, w)
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	a := words(asked)
	g := words(strings.FieldsFunc(got, func(r rune) bool { return r == ',' || r == ' ' || r == '+' }))
	if slices.Equal(a, g) || slices.Equal(g, []string{"ALL"}) && len(a) >= 40 {
		return nil
	}
	var only []string
	for _, w := range a {
		if !slices.Contains(g, w) {
			only = append(only, "-"+w)
		}
	}
	for _, w := range g {
		if !slices.Contains(a, w) {
			only = append(only, "+"+w)
		}
	}
	return []string{fmt.Sprintf("%s: kernel shows %s", what, strings.Join(only, " "))}
}

func seccompDifference(world *specs.Spec, o status.Observed) []string {
	const filter = 2 // SECCOMP_MODE_FILTER, proc_pid_status(5)
	asked := 0
	if world.Linux != nil && world.Linux.Seccomp != nil {
		asked = filter
	}
	if cmp.Compare(asked, o.SeccompMode) <= 0 { // a daemon that is confined itself passes its filter on
		return nil
	}
	return []string{differs("seccomp", "a filter", "mode "+strconv.Itoa(o.SeccompMode))}
}
