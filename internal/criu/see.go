package criu

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"carob/internal/fault"
	"carob/internal/plan/checkpoint"
)

// Wish is what a container that has been made again may be: see plan/checkpoint.
type Wish = checkpoint.Wish

// See reads what the kernel shows of a process's tasks, the first of which is its own.
func See(pid int) (out []checkpoint.Seen, err error) {
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid)) // the pattern is ours
	if err != nil || len(dirs) == 0 {
		return nil, fault.New(fault.NotFound, fmt.Sprintf("process %d: has ended", pid))
	}
	for _, dir := range dirs {
		s, err := see(dir)
		if err != nil {
			return nil, fault.Wrap(fault.NotFound, "task", err)
		}
		out = append(out, s)
	}
	return out, nil
}

func see(dir string) (s checkpoint.Seen, err error) {
	for name, to := range map[string]*string{"status": &s.Status, "cgroup": &s.Cgroup} {
		text, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			return s, err
		}
		*to = string(text)
	}
	if text, err := os.ReadFile(dir + "/attr/current"); err == nil { // a kernel without AppArmor has no profiles
		s.Profile = string(text)
	}
	s.Namespaces = map[string]string{}
	for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts", "user", "cgroup"} {
		if s.Namespaces[kind], err = os.Readlink(dir + "/ns/" + kind); err != nil {
			return s, err
		}
	}
	s.Mounts, err = mountsIn(dir + "/mountinfo")
	return s, err
}

// Devices lists the file systems that are mounted below a directory, as the calling thread
// sees them.
func Devices(dir string) (out []string, err error) {
	all, err := mountsIn("/proc/thread-self/mountinfo")
	for _, m := range all {
		if rel, err := filepath.Rel(dir, m.Point); err == nil && filepath.IsLocal(rel) && rel != "." && !slices.Contains(out, m.Device) {
			out = append(out, m.Device)
		}
	}
	return out, err
}
