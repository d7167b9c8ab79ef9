package ocirt

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/sys/initstage"
	"carob/internal/sys/task"
)

// grantable leaves out of a process's capabilities what this kernel does not know, or
// what this program has not itself, with a warning: the specification says that a
// runtime should not fail for those (config.md, "capabilities"). In a new user
// namespace everything can be granted.
func (r *Runtime) grantable(p *specs.Process, newUsers bool) {
	if p.Capabilities == nil {
		return
	}
	held, last := task.Bounding()
	if newUsers {
		held = ^uint64(0)
	}
	known := initstage.Capabilities()
	var missing []string
	for _, set := range []*[]string{
		&p.Capabilities.Bounding, &p.Capabilities.Effective, &p.Capabilities.Permitted, &p.Capabilities.Inheritable, &p.Capabilities.Ambient,
	} {
		*set = slices.DeleteFunc(slices.Clone(*set), func(name string) bool {
			n := slices.Index(known, strings.TrimPrefix(name, "CAP_"))
			if n >= 0 && n <= last && held&(1<<n) != 0 {
				return false
			}
			missing = append(missing, name)
			return true
		})
	}
	p.Capabilities.Ambient = slices.DeleteFunc(p.Capabilities.Ambient, func(name string) bool {
		raised := slices.Contains(p.Capabilities.Permitted, name) && slices.Contains(p.Capabilities.Inheritable, name)
		if !raised && r.Warn != nil {
			r.Warn("can't raise ambient capability " + name + ": it is not both permitted and inheritable")
		}
		return !raised
	})
	slices.Sort(missing)
	if missing = slices.Compact(missing); len(missing) > 0 && r.Warn != nil {
		r.Warn("ignoring unknown or unavailable capabilities: " + strings.Join(missing, " "))
	}
}
