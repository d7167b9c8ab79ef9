package recorded

import (
	"fmt"
	"path/filepath"
	"strings"
)

// WriteHost writes processes and what else a host with cgroup v2 has: its name, memory,
// and the groups that the processes are in. Limits come from a table, a line each:
//
//	PATH memory=LIMIT/USED cpu=QUOTA/PERIOD pids=LIMIT/USED
func WriteHost(root string, all []Process, limits string) error {
	if err := Write(root, all); err != nil {
		return err
	}
	files := map[string]string{
		"proc/1/mountinfo":                 "24 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n",
		"proc/meminfo":                     "MemTotal:       16310816 kB\n",
		"proc/sys/kernel/hostname":         "node-1\n",
		"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
		"sys/fs/cgroup/cgroup.procs":       "",
	}
	for _, p := range all {
		path := p.Cgroup
		if path == "/" {
			path = ""
		}
		files["sys/fs/cgroup"+path+"/cgroup.procs"] += fmt.Sprintln(p.PID)
	}
	for line := range strings.Lines(limits) {
		if f := strings.Fields(line); len(f) > 0 {
			if err := group(files, "sys/fs/cgroup"+f[0], f[1:]); err != nil {
				return fmt.Errorf("recorded: %w", err)
			}
		}
	}
	for name, text := range files {
		if err := put(filepath.Join(root, name), text); err != nil {
			return err
		}
	}
	return nil
}

// group adds the files of one cgroup.
func group(files map[string]string, dir string, words []string) error {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		limit, used, _ := strings.Cut(value, "/")
		switch name {
		case "memory":
			files[dir+"/memory.max"], files[dir+"/memory.current"] = limit+"\n", used+"\n"
			files[dir+"/memory.stat"] = "inactive_file 0\n"
		case "cpu":
			files[dir+"/cpu.max"], files[dir+"/cpu.stat"] = limit+" "+used+"\n", "usage_usec 1000000\n"
		case "pids":
			files[dir+"/pids.max"], files[dir+"/pids.current"] = limit+"\n", used+"\n"
		default:
			return fmt.Errorf("%s: what is %q?", dir, word)
		}
	}
	return nil
}
