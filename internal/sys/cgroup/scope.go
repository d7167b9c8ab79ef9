package cgroup

import (
	"fmt"
	"strconv"

	"carob/internal/fault"
	plan "carob/internal/plan/cgroup"
)

// scopeOf returns the path of the scope that a group is in, "" if it is in none.
func scopeOf(rel string) string {
	u, ok := plan.Scope(rel)
	if !ok {
		return ""
	}
	path, _ := u.Path() // Scope has found it there
	return path
}

// InScope reports whether a group is in a pod's scope, which is systemd's to make.
func InScope(rel string) bool { return scopeOf(rel) != "" }

// Scopeless reports whether a group would be in a scope of systemd's that is not there:
// a scope comes with the first process of its pod and goes with the last, and what
// was below it goes with it.
func Scopeless(l *Layout, rel string) bool {
	scope := scopeOf(rel)
	return scope != "" && !exists(l.trees[l.trackTree].dir+scope)
}

// Take moves a process into a group, by pid, and then passes controllers down to the
// group, as its parents could not while one of them held the process (see busy).
// Moving by pid costs milliseconds; it is for a process that somebody else has
// put into a parent.
func Take(g *Group, pid int) error {
	if err := writeFile(g.track()+"/cgroup.procs", strconv.Itoa(pid)); err != nil {
		return fault.Wrap(kind(err), "cgroup "+g.Name()+": move "+strconv.Itoa(pid), err)
	}
	for _, t := range g.l.trees {
		if !t.v2 {
			continue
		}
		if err := t.delegate(g.rel); err != nil {
			return fmt.Errorf("cgroup %s: %w", g.Name(), err)
		}
	}
	return nil
}
