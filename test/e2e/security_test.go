package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDefaults looks from the host at what the kernel enforces on a container
// that asked for nothing.
func TestDefaults(t *testing.T) {
	h := start(t)
	c := h.container("c")
	pid := h.pid(c)
	for field, want := range map[string]string{
		"CapEff": "00000000a80425fb", // Docker's default set
		"CapBnd": "00000000a80425fb",
		"CapInh": "0000000000000000", // CVE-2022-24769
		"CapAmb": "0000000000000000",
		// The kernel counts the filter as mode 2.
		"Seccomp": "2",
	} {
		if got := h.status(pid, field); got != want {
			t.Errorf("%s is %s, want %s", field, got, want)
		}
	}
	m := strings.Fields(readTrim(h, fmt.Sprintf("/proc/%d/uid_map", pid)))
	if len(m) != 3 || m[0] != "0" || m[1] == "0" {
		t.Errorf("uid_map %v: root in the container must not be root on the host", m)
	}
	if group := h.ok("exec", c, "cat", "/proc/self/cgroup"); strings.Contains(group, "carob") {
		t.Errorf("the container sees the host's cgroup paths:\n%s", group)
	}
}

// TestFromInside tries from inside what must not be possible.
func TestFromInside(t *testing.T) {
	h := start(t)
	c := h.container("c")
	for _, x := range []struct{ name, script string }{
		{"kernel memory is masked", "[ -z \"$(cat /proc/kcore 2>/dev/null | head -c 1)\" ]"},
		{"keys are masked", "[ -z \"$(cat /proc/keys 2>/dev/null)\" ]"},
		{"firmware is masked", "[ -z \"$(ls /sys/firmware 2>/dev/null)\" ]"},
		{"sysctls are read-only", "! (echo 1 >/proc/sys/kernel/panic) 2>/dev/null"},
		{"sysrq is read-only", "! (echo h >/proc/sysrq-trigger) 2>/dev/null"},
		{"sysfs is read-only", "mkdir /sys/fs/cgroup/escape 2>/dev/null; ! [ -e /sys/fs/cgroup/escape ]"},
		{"no mounts", "mkdir -p /tmp/m; mount -t tmpfs none /tmp/m 2>&1 | grep -q 'not permitted'"},
		{"no device nodes", "mknod /tmp/sda b 8 0 2>&1 | grep -q 'not permitted'"},
		{"no descriptors of carob", "! ls -l /proc/1/fd | grep -E 'carob|socket:|supervisor'"},
		{"one process to be seen", "[ $(ls /proc | grep -c '^[0-9]*$') -le 8 ]"},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			h.code(0, "exec", c, "sh", "-c", x.script)
		})
	}
}

// TestOptOuts gives up one protection at a time.
func TestOptOuts(t *testing.T) {
	h := start(t)
	for _, x := range []struct {
		name, flag, value string
		field, want       string
	}{
		{"seccomp", "--security-opt", "seccomp=unconfined", "Seccomp", "0"},
		{"no new privileges", "--security-opt", "no-new-privileges", "NoNewPrivs", "1"},
		{"no capabilities", "--cap-drop", "ALL", "CapEff", "0000000000000000"},
		{"one capability more", "--cap-add", "NET_ADMIN", "CapEff", "00000000a80435fb"},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			pid := h.pid(h.container("c", x.flag, x.value))
			if got := h.status(pid, x.field); got != x.want {
				t.Errorf("%s is %s, want %s", x.field, got, x.want)
			}
		})
	}
	t.Run("user namespace", func(t *testing.T) {
		h := &host{T: t, machine: h.machine}
		pid := h.pid(h.container("c", "--userns", "host"))
		if h.ns(pid, "user") != h.ns(os.Getpid(), "user") {
			t.Error("--userns host: not the host's user namespace")
		}
	})
	t.Run("privileged", func(t *testing.T) {
		h := &host{T: t, machine: h.machine}
		pid := h.pid(h.container("c", "--privileged"))
		if got, mine := h.status(pid, "CapBnd"), h.status(os.Getpid(), "CapBnd"); got != mine {
			t.Errorf("CapBnd is %s, the host's is %s", got, mine)
		}
	})
}

// TestRangesDoNotOverlap gives each pod users of its own.
func TestRangesDoNotOverlap(t *testing.T) {
	h := start(t)
	first := map[string]string{}
	for i := range 4 {
		c := h.container(fmt.Sprintf("c%d", i))
		m := strings.Fields(readTrim(h, fmt.Sprintf("/proc/%d/uid_map", h.pid(c))))
		if other, taken := first[m[1]]; taken {
			t.Errorf("%s and %s both start at %s", c, other, m[1])
		}
		first[m[1]] = c
	}
}

// TestSocketsArePrivate checks the modes of what root alone may touch
// (CVE-2021-41103, CVE-2024-25621).
func TestSocketsArePrivate(t *testing.T) {
	h := start(t)
	h.ok("ps")
	for name, want := range map[string]os.FileMode{"run/api.sock": 0o600} {
		info, err := os.Stat(h.dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}

// TestMaskedProc: on a host whose /proc has mounts over it, as in a container that is a
// node, a pod still gets a user namespace and a /proc of its own.
func TestMaskedProc(t *testing.T) {
	h := startOwn(t)
	pid := background(h, "unshare", "--mount", "sh", "-c", "mount --bind /proc/version /proc/uptime && exec sleep 1000")
	h.eventually("the mask is there", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
		return err == nil && strings.Contains(string(b), " /proc/uptime ")
	})
	h.within = []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", pid)}
	if got := h.ok("run", "--rm", image, "cat", "/proc/self/uid_map", "/proc/1/comm"); strings.Contains(got, "4294967295") || !strings.Contains(got, "cat") {
		t.Errorf("inside: %q", got)
	}
}
