// Package risk judges what an escape from a container would need: rights, namespaces
// that are the host's, mounts, devices, missing limits; each with how to close it, in
// order of severity. It is pure: it decides on what package facts has read, and what is
// not known it does not call safe.
//
// The rules are the ways out that are known (capabilities(7), user_namespaces(7),
// engines' advisories); that none applies does not prove that there is none.
package risk

import (
	"cmp"
	"slices"
	"strconv"

	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/ink"
)

// Severity says how much an escape needs beside what was found.
type Severity int

// The severities.
const (
	// Low makes an attack easier or lets a container starve others.
	Low Severity = iota
	// Medium is a wall that is missing where others stand.
	Medium
	// High needs one more thing: a further right, or a program that can be fooled.
	High
	// Critical needs nothing else: who is in the container can be root on the host.
	Critical
)

// String is the severity in one word.
func (s Severity) String() string {
	return [...]string{"low", "medium", "high", "critical"}[s]
}

// MarshalText is String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that makes an escape easier.
type Finding struct {
	Severity Severity `json:"severity"`
	// Title says what is, Why what it allows, Close what to do about it.
	Title string `json:"title"`
	Why   string `json:"why"`
	Close string `json:"close"`
	// Evidence is the file that says so.
	Evidence string `json:"evidence"`
}

// Report is what there is to say of one thing.
type Report struct {
	Name   string `json:"name"`
	Engine string `json:"engine,omitempty"`
	PID    int    `json:"pid"`
	// Needs is what an escape would need, in one sentence.
	Needs    string    `json:"needs"`
	Findings []Finding `json:"findings"`
	// Holds are the walls that stand.
	Holds []string `json:"holds"`
	// Unknown is what could not be found out.
	Unknown []string `json:"unknown,omitempty"`
	// Rights are the facts the judgement starts from.
	Rights Rights `json:"rights"`
}

// Rights are a process's rights, for who wants to judge alone.
type Rights struct {
	UID          uint32     `json:"uid"`
	Users        []look.Map `json:"users,omitempty"`
	Capabilities []string   `json:"capabilities"`
	Bounding     []string   `json:"bounding"`
	Seccomp      string     `json:"seccomp"`
	Filters      int        `json:"seccompFilters"`
	NoNewPrivs   bool       `json:"noNewPrivs"`
	Label        string     `json:"label,omitempty"`
	Devices      []string   `json:"devices,omitempty"`
	// Refused are the system calls that the seccomp filters refuse, if they were read,
	// and Partly those that they refuse with some arguments.
	Refused []string `json:"refusedCalls,omitempty"`
	Partly  []string `json:"partlyRefusedCalls,omitempty"`
}

// judge collects findings about one sheet.
type judge struct {
	*facts.Sheet
	// ruled is true when the host's user namespace rules: what it may do, it may do to
	// the host.
	ruled bool
	r     *Report
}

// Judge judges one container or process.
func Judge(s *facts.Sheet) Report {
	p := &s.Process
	r := Report{Name: s.Thing.Name, PID: p.PID, Findings: []Finding{}, Holds: []string{}, Rights: Rights{
		UID: s.UID, Users: s.Users, Capabilities: facts.CapNames(p.Caps.Effective), Bounding: facts.CapNames(p.Caps.Bounding),
		Seccomp: seccompMode(p.Seccomp), Filters: p.Filters, NoNewPrivs: p.NoNewPrivs, Label: s.Label, Devices: s.Devices, Refused: s.Refused, Partly: s.Partly,
	}}
	if s.Thing.Container != nil {
		r.Engine = s.Thing.Container.Engine
	}
	j := judge{Sheet: s, ruled: s.HostUsers(), r: &r}
	for _, rule := range []func(){
		j.user, j.capabilities, j.seccomp, j.newPrivileges, j.label, j.namespaces, j.devices, j.limits, func() { twins(&j) },
	} {
		rule()
	}
	switch {
	case s.Shares(look.Mnt):
		j.add(Critical, text{"is in the host's mount namespace", "every file of the host is its file, as far as its user may", "run it in a container"}, "ns/mnt")
	case s.Mounts != nil:
		j.mounts()
	}
	r.Unknown = append(r.Unknown, s.Unread...)
	if !s.Listed {
		r.Unknown = append(r.Unknown, "which devices it may open: on cgroup v2 a program in the kernel decides, which cannot be read")
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	r.Needs = needs(&j)
	if !p.NS.Known() || s.Mounts == nil {
		r.Needs = "Not all could be seen. As far as it could: " + r.Needs
	}
	return r
}

// text is what a finding says.
type text struct{ title, why, close string }

// add adds a finding that a file of the process is the evidence of.
func (j *judge) add(sev Severity, t text, file string) {
	j.r.Findings = append(j.r.Findings, Finding{sev, t.title, t.why, t.close, j.File(file)})
}

// pick is one severity where the host's user namespace rules, another where the thing
// has its own.
func (j *judge) pick(ruled, own Severity) Severity {
	if j.ruled {
		return ruled
	}
	return own
}

func (j *judge) holds(what string) { j.r.Holds = append(j.r.Holds, what) }

// needs is the sum of it.
func needs(j *judge) string {
	worst := Low
	var titles []string
	for _, f := range j.r.Findings {
		worst = max(worst, f.Severity)
		if f.Severity == Critical {
			titles = append(titles, f.Title)
		}
	}
	kernel := "a bug in the kernel"
	if j.Process.Seccomp == 2 {
		kernel += " that the seccomp filter leaves within reach"
	}
	switch {
	case worst == Critical:
		if n := len(titles); n > 4 {
			titles = append(titles[:3:3], "has "+strconv.Itoa(n-3)+" more ways out")
		}
		return "An escape needs nothing more: it " + ink.List(titles) + "."
	case worst == High:
		return "An escape needs one more thing beside what is listed as high, or " + kernel + "."
	case j.ruled && j.UID == 0:
		return "An escape needs " + kernel + "; it would then be root on the host."
	case j.ruled:
		return "An escape needs " + kernel + "; it would then be user " + strconv.FormatUint(uint64(j.UID), 10) + " on the host."
	}
	return "An escape needs " + kernel + ", and would then be a user of the host without any rights (" +
		strconv.FormatUint(uint64(j.UID), 10) + ")."
}
