package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExecTerminal: an exec finds its terminal by name, as tmux, gpg and agetty do.
func TestExecTerminal(t *testing.T) {
	h := start(t)
	for _, userns := range []string{"private", "host"} {
		c := h.container("tty", "--userns", userns)
		if out := h.ok("exec", "-t", c, "sh", "-c", "readlink /proc/self/fd/0"); strings.TrimSpace(out) != "/dev/pts/0" {
			t.Errorf("userns %s: %q", userns, out)
		}
		h.ok("rm", "-f", c)
	}
}

// TestRefusalsOfTheKernel: what only the kernel refuses is told in a person's words too.
func TestRefusalsOfTheKernel(t *testing.T) {
	h := start(t)
	file := filepath.Join(h.dir, "plain")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		names string
	}{
		{[]string{"run", "--rm", "-u", "99999", image, "true"}, "user 99999:0: the pod's user namespace has the IDs 0 to 65535"},
		{[]string{"run", "--rm", "--cpuset-cpus", "4000", image, "true"}, `"4000": not all of it is in 0`},
		{[]string{"run", "--rm", "-v", h.dir + ":/etc/passwd", image, "true"}, "mount /etc/passwd: is one a directory"},
		{[]string{"run", "--rm", "--stop-signal", "0", image, "true"}, `carob: container: signal "0"`},
		{[]string{"run", "--rm", "--name", strings.Repeat("x", 253), image, "true"}, "want 1 to 200"},
	} {
		oneLine(t, h.code(125, c.args...), c.names)
	}
	c := h.container("small", "--memory", "64m")
	h.ok("exec", c, "sh", "-c", "head -c 8000000 /dev/zero > /dev/shm/x")
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil { // v2 takes the memory away instead
		oneLine(t, h.code(1, "update", "--memory", "2m", c), "in use")
	}
	if out := h.ok("run", "--rm", "-v", file+":/f:ro,z", image, "sh", "-c", "echo x > /f || echo read-only"); out != "read-only" {
		t.Errorf("%q", out)
	}
}

// TestPodByName: kubectl's ways to name things work, or are answered with the names.
func TestPodByName(t *testing.T) {
	h := start(t)
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"habit-a", "habit-b"} {
		file := filepath.Join(dir, name+".yaml")
		if err := os.WriteFile(file, []byte(fmt.Sprintf(fooPod, name, "")), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, "-f", file)
	}
	h.ok(append([]string{"apply"}, files...)...)
	if out := h.ok("exec", "habit-a/sidecar", "--", "echo", "hello"); out != "hello" {
		t.Errorf("%q", out)
	}
	oneLine(t, h.code(1, "exec", "habit-a", "--", "true"), "container habit-a: is a pod; its containers are habit-a/app, habit-a/sidecar")
	oneLine(t, h.code(1, "logs", "habit-a/nosuch"), "the pod's are habit-a/app, habit-a/sidecar")
	if out := h.ok("pods", "-o", "name"); !strings.Contains(out, "habit-a") || !strings.Contains(out, "habit-b") {
		t.Errorf("%q", out)
	}
	if out := h.ok("delete", "pod/habit-a"); out != "pod/default/habit-a deleted" {
		t.Errorf("%q", out)
	}
	oneLine(t, h.code(1, "delete", "pod/habit-a"), "pod habit-a: no such pod")
	h.ok(append([]string{"delete"}, files...)...)
	r := h.feed(strings.Repeat("#", 5<<20), "apply", "-f", "-")
	oneLine(t, r, "larger than 2097152 bytes")
}

// TestCgroupsAreReadOnly: a container writes nothing where its limits are, on no layout.
func TestCgroupsAreReadOnly(t *testing.T) {
	h := start(t)
	for _, userns := range []string{"private", "host"} {
		out := h.ok("run", "--rm", "--userns", userns, image, "sh", "-c",
			"for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/x 2>/dev/null && echo made $d/x; touch $d/y 2>/dev/null && echo made $d/y; done; true")
		if out != "" {
			t.Errorf("userns %s: %s", userns, out)
		}
	}
	if r := h.run("run", "--rm", "--privileged", image, "sh", "-c", "touch /sys/fs/cgroup/cgroup.procs"); r.code != 0 {
		t.Errorf("privileged: %+v", r)
	}
}
