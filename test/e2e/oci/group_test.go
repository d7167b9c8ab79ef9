package oci

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// below makes a cgroup below the container's, in the hierarchy of a v1 controller; "" is v2's.
func (b *box) below(controller, name string) {
	b.Helper()
	b.must(os.Mkdir(filepath.Join("/sys/fs/cgroup", controller, b.spec.Linux.CgroupsPath, name), 0o755))
}

// groups is the line of /proc/PID/cgroup of each controller, of a process that an exec starts.
func (b *box) groups(flags ...string) map[string]string {
	b.Helper()
	args := append(append([]string{"exec"}, flags...), b.id, "/bin/cat", "/proc/self/cgroup")
	found := map[string]string{}
	for line := range strings.Lines(b.call(args...)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for controller := range strings.SplitSeq(f[1], ",") {
			found[controller] = f[2]
		}
	}
	return found
}

// TestExecGroup: exec --cgroup takes a group for each v1 controller, as runc's does, and
// lets nobody out of the container's.
func TestExecGroup(t *testing.T) {
	b := newBox(t)
	b.start()
	for want, flags := range map[string][]string{
		"bad sub cgroup path":          {"--cgroup", "../x"},
		"no such file":                 {"--cgroup", "nosuch"},
		"unknown controller":           {"--cgroup", "whaaat:/"},
		"controller \"cpu\" specified": {"--cgroup", "cpu:/", "--cgroup", "cpu:/"},
		"missing <controller>: prefix": {"--cgroup", "a", "--cgroup", "b"},
		"empty <controller> prefix":    {"--cgroup", ":a"},
	} {
		if out, err := b.try(append(append([]string{"exec"}, flags...), b.id, "/bin/true")...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %v: %s", flags, err, out)
		}
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		execGroupV2(b)
		return
	}
	b.below("memory", "sub")
	b.below("pids", "other")
	for _, c := range []struct {
		flags             []string
		memory, pids, cpu string
	}{
		{nil, "/", "/", "/"},
		{[]string{"--cgroup", "/"}, "/", "/", "/"},
		{[]string{"--cgroup", "memory:sub"}, "/sub", "/", "/"},
		{[]string{"--cgroup", "memory:/sub", "--cgroup", "pids,cpu:/"}, "/sub", "/", "/"},
		{[]string{"--cgroup", "memory:sub", "--cgroup", "pids:other"}, "/sub", "/other", "/"},
	} {
		got := b.groups(c.flags...)
		if got["memory"] != c.memory || got["pids"] != c.pids || got["cpu"] != c.cpu {
			t.Errorf("%v: %v", c.flags, got)
		}
	}
}

// execGroupV2: one group; and that of the first process where the container's own has
// become a parent, as systemd makes it in a container.
func execGroupV2(b *box) {
	b.Helper()
	b.below("", "sub")
	if got := b.groups("--cgroup", "sub")[""]; got != "/sub" {
		b.Errorf("in %q, want /sub", got)
	}
	own := filepath.Join("/sys/fs/cgroup", b.spec.Linux.CgroupsPath)
	b.must(os.WriteFile(filepath.Join(own, "sub/cgroup.procs"), []byte(strconv.Itoa(b.state().Pid)), 0))
	if got := b.groups()[""]; got != "/" {
		b.Errorf("in %q, want the container's group as long as it takes processes", got)
	}
	b.must(os.WriteFile(filepath.Join(own, "cgroup.subtree_control"), []byte("+memory"), 0))
	if got := b.groups()[""]; got != "/sub" {
		b.Errorf("in %q, want the first process's group, /sub", got)
	}
}
