package compare

import (
	"slices"
	"strconv"

	"carob/internal/look/facts"
	"carob/internal/look/matrix"
	"carob/internal/look/mounts"
)

// topic is a matter and how it is found on a sheet.
type topic struct {
	name string
	set  bool
	of   func(*facts.Sheet) []string
}

// topics are the matters in the order they are told.
func topics() []topic {
	all := []topic{
		{"root inside", false, rootInside},
		{"runs as", false, runsAs},
		{"id map", false, idMap},
		{"seccomp", false, seccomp},
		{"no new privileges", false, noNewPrivs},
		{"label", false, label},
		{"capabilities", true, func(s *facts.Sheet) []string { return facts.CapNames(s.Process.Caps.Effective) }},
		{"capabilities it could get", true, func(s *facts.Sheet) []string {
			return facts.CapNames(s.Process.Caps.Bounding &^ s.Process.Caps.Effective)
		}},
	}
	for _, r := range []string{"memory", "swap", "memory+swap", "cpu", "pids", "cpus"} {
		all = append(all, topic{r + " limit", false, func(s *facts.Sheet) []string { return limit(s, r) }})
	}
	return append(all,
		topic{"root file system", false, rootFS},
		topic{"mounts", true, mounted},
		topic{"devices", true, func(s *facts.Sheet) []string { return s.Devices }},
	)
}

func rootInside(s *facts.Sheet) []string {
	uid, known := s.RootOutside()
	switch {
	case s.Users == nil:
		return nil
	case !known:
		return []string{"is nobody outside"}
	case uid == 0:
		return []string{"is the host's root"}
	}
	return []string{"is user " + strconv.FormatUint(uint64(uid), 10) + " of the host"}
}

func runsAs(s *facts.Sheet) []string {
	uid, known := s.Inside()
	if !known {
		return nil
	}
	if uid == 0 {
		return []string{"its root"}
	}
	return []string{"its user " + strconv.FormatUint(uint64(uid), 10)}
}

func idMap(s *facts.Sheet) []string {
	if s.HostUsers() || s.Users == nil {
		return nil
	}
	return []string{matrix.Ranges(s.Users)}
}

func seccomp(s *facts.Sheet) []string {
	switch s.Process.Seccomp {
	case 0:
		return []string{"none"}
	case 1:
		return []string{"strict"}
	}
	return []string{"filter"}
}

func noNewPrivs(s *facts.Sheet) []string {
	if s.Process.NoNewPrivs {
		return []string{"yes"}
	}
	return []string{"no"}
}

func label(s *facts.Sheet) []string {
	if s.Label == "" {
		return []string{"none"}
	}
	return []string{s.Label}
}

// limit is of the group of the thing itself: of a pod what holds for each container.
func limit(s *facts.Sheet, resource string) []string {
	b, ok := s.Bound(resource)
	switch {
	case !ok || b.Group == "":
		return nil
	case b.SetBy == "" && b.Limit == "":
		return []string{"none"}
	}
	return []string{b.Limit}
}

func rootFS(s *facts.Sheet) []string {
	m, ok := mounts.Over(s.Mounts, "/")
	if !ok {
		return nil
	}
	words := m.Type
	if p, is := s.IsHostPath(m); is {
		words = "the host's " + p + " (" + m.Type + ")"
	}
	if m.ReadOnly() {
		words += ", read-only"
	}
	return []string{words}
}

// mounted are the mounts over the root, each with what it shows.
func mounted(s *facts.Sheet) []string {
	var out []string
	for _, m := range s.Mounts {
		if m.Point == "/" {
			continue
		}
		words := m.Point + " " + source(s, m)
		if m.ReadOnly() {
			words += ", read-only"
		}
		if !slices.Contains(out, words) {
			out = append(out, words)
		}
	}
	return out
}

// source is what a mount shows, without what is different in every container.
func source(s *facts.Sheet, m mounts.Mount) string {
	switch p, is := s.IsHostPath(m); {
	case is:
		return "from the host's " + p
	case m.Type == "tmpfs" && m.Root == "/null":
		return "hidden"
	case m.Type == "cgroup" || m.Type == "cgroup2" || m.Root == "/":
		return m.Type
	}
	return m.Type + " " + m.Root
}
