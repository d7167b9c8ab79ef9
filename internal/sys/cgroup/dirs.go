package cgroup

import "path"

// Dirs returns the group's directory in every tree, under the name that the tree
// has below /sys/fs/cgroup; on a pure v2 host that is one directory, named "".
func (g *Group) Dirs() map[string]string {
	dirs := make(map[string]string, len(g.l.trees))
	for i, t := range g.l.trees {
		name := path.Base(t.dir)
		if g.l.mode == ModeV2 {
			name = ""
		}
		dirs[name] = g.dir(i)
	}
	return dirs
}
