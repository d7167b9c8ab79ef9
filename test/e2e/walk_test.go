package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The walks of "Containers vs. Pods": what a container is, what a pod is, and a
// pod made of containers by hand.

// TestContainerWalk is the first: one container with limits, looked at from the
// host.
func TestContainerWalk(t *testing.T) {
	h := start(t)
	foo := h.container("foo", "--rm", "--memory=512MB", "--cpus=0.5")
	pid := h.pid(foo)
	for _, kind := range []string{"mnt", "uts", "ipc", "pid", "net", "cgroup", "user"} {
		if h.ns(pid, kind) == h.ns(os.Getpid(), kind) {
			t.Errorf("%s namespace is the host's", kind)
		}
	}
	for _, c := range []struct{ controller, v1, v2, want1, want2 string }{
		{"memory", "memory.limit_in_bytes", "memory.max", "536870912", "536870912"},
		{"cpu", "cpu.cfs_quota_us", "cpu.max", "50000", "50000 100000"},
	} {
		if got := h.cgroupFile(pid, c.controller, c.v1, c.v2); got != c.want1 && got != c.want2 {
			t.Errorf("%s: %q, want %q", c.v1, got, c.want1)
		}
	}
	id := h.ok("inspect", "--format", "{{.Id}}", foo)
	if group := readTrim(h, fmt.Sprintf("/proc/%d/cgroup", pid)); !strings.Contains(group, id) {
		t.Errorf("the cgroup does not carry the container's ID %s:\n%s", id, group)
	}
	h.ok("stop", "-t", "0", foo)
	h.eventually("--rm removes "+foo, func() bool { return h.run("inspect", foo).code != 0 })
}

const fooPod = `apiVersion: v1
kind: Pod
metadata:
  name: %s
spec:%s
  containers:
  - name: app
    image: carob.local/toolbox
    command: ["httpd", "-p", "80"]
    ports:
    - containerPort: 80
    resources:
      limits: {memory: "256Mi"}
  - name: sidecar
    image: carob.local/toolbox
    command: ["sleep", "3650d"]
    resources:
      limits: {memory: "128Mi"}
`

// pod applies the article's pod with more lines in its spec and returns the pids
// of its two containers.
func (h *host) pod(kind, more string) (name string, app, sidecar int) {
	h.Helper()
	name = h.name(kind)
	h.apply(fmt.Sprintf(fooPod, name, more), name)
	return name, h.pid(name + "/app"), h.pid(name + "/sidecar")
}

// TestPodWalk is the second: two containers that share net, ipc and uts, and have
// mnt and pid of their own, under one cgroup with a limit each.
func TestPodWalk(t *testing.T) {
	h := start(t)
	name, app, sidecar := h.pod("foo", "")
	for kind, shared := range map[string]bool{
		"net": true, "ipc": true, "uts": true, "user": true, "mnt": false, "pid": false, "cgroup": false,
	} {
		if got := h.ns(app, kind) == h.ns(sidecar, kind); got != shared {
			t.Errorf("%s shared: %v, want %v", kind, got, shared)
		}
		if h.ns(app, kind) == h.ns(os.Getpid(), kind) {
			t.Errorf("%s namespace is the host's", kind)
		}
	}
	for pid, want := range map[int]string{app: "268435456", sidecar: "134217728"} {
		if got := h.cgroupFile(pid, "memory", "memory.limit_in_bytes", "memory.max"); got != want {
			t.Errorf("memory limit %s, want %s", got, want)
		}
	}
	if a, b := parentGroup(h, app), parentGroup(h, sidecar); a != b || a == "/" || a == "." {
		t.Errorf("cgroup parents %q and %q, want one", a, b)
	}
	h.eventually("the app answers on localhost", func() bool {
		return strings.Contains(h.run("exec", name+"/sidecar", "curl", "-s", "http://localhost/get").out, `"url"`)
	})
	for _, c := range []string{"app", "sidecar"} {
		if got := h.ok("exec", name+"/"+c, "hostname"); got != name {
			t.Errorf("hostname of %s is %q, want %q", c, got, name)
		}
	}
	if out := h.ok("exec", name+"/sidecar", "ps"); strings.Contains(out, "httpd") {
		t.Errorf("the sidecar sees the app's processes:\n%s", out)
	}
	h.ok("delete", "pod", name)
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", app)); err == nil {
		t.Error("the app runs after its pod was deleted")
	}
}

// parentGroup returns the cgroup above a process's memory cgroup.
func parentGroup(h *host, pid int) string {
	h.Helper()
	group := ""
	for l := range strings.Lines(readTrim(h, fmt.Sprintf("/proc/%d/cgroup", pid))) {
		f := strings.SplitN(strings.TrimSpace(l), ":", 3)
		if f[1] == "memory" || (group == "" && f[0] == "0") {
			group = f[2]
		}
	}
	return group[:strings.LastIndexByte(group, '/')]
}

// TestIPCIsShared sends through each kind of IPC from one container of a pod to the
// other, and checks that the host and a stranger see none of it.
func TestIPCIsShared(t *testing.T) {
	h := start(t)
	name, _, _ := h.pod("ipc", "")
	app, sidecar := name+"/app", name+"/sidecar"
	stranger := h.container("stranger")
	for _, c := range []struct {
		name        string
		write, read []string
	}{
		{"SysV shared memory", []string{"shm", "write", "4242", "hello"}, []string{"shm", "read", "4242"}},
		{"POSIX message queue", []string{"mq", "send", "/queue", "hello"}, []string{"mq", "recv", "-n", "/queue"}},
		{"/dev/shm", []string{"sh", "-c", "echo hello >/dev/shm/file"}, []string{"cat", "/dev/shm/file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.ok(append([]string{"exec", app}, c.write...)...)
			if r := h.run(append([]string{"exec", stranger}, c.read...)...); r.code == 0 {
				t.Errorf("a stranger reads %q", r.out)
			}
			if got := h.ok(append([]string{"exec", sidecar}, c.read...)...); got != "hello" {
				t.Errorf("the sidecar reads %q", got)
			}
		})
	}
}

// TestPodByHand is the third: a sandbox container and two that join its
// namespaces, all under one cgroup parent; uts too, which Docker cannot.
func TestPodByHand(t *testing.T) {
	h := start(t)
	parent := "/pod-foo" + strings.TrimPrefix(h.parent, "/carob")
	t.Cleanup(func() { removeCgroups(parent) })
	sandbox := h.container("sandbox", "--rm", "--cgroup-parent", parent, "--ipc", "shareable")
	join := "container:" + sandbox
	pids := []int{h.pid(sandbox)}
	for _, n := range []string{"app", "sidecar"} {
		c := h.container(n, "--rm", "--cgroup-parent", parent, "--network", join, "--ipc", join, "--uts", join)
		pids = append(pids, h.pid(c))
	}
	for _, pid := range pids[1:] {
		for kind, shared := range map[string]bool{"net": true, "ipc": true, "uts": true, "mnt": false, "pid": false} {
			if got := h.ns(pid, kind) == h.ns(pids[0], kind); got != shared {
				t.Errorf("%s shared with the sandbox: %v, want %v", kind, got, shared)
			}
		}
		if got := parentGroup(h, pid); got != parent {
			t.Errorf("cgroup parent %q, want %q", got, parent)
		}
	}
	if n := len(cgroups(parent)); n < 3 {
		t.Errorf("%d cgroups below %s, want the three containers'", n, parent)
	}
}

// TestNamespaceFlags is the manifest's four: each takes away one boundary and no
// other.
func TestNamespaceFlags(t *testing.T) {
	h := start(t)
	for _, c := range []struct {
		flag, kind string
		shared     bool // between the two containers
		host       bool
	}{
		{"shareProcessNamespace", "pid", true, false},
		{"hostNetwork", "net", true, true},
		{"hostPID", "pid", true, true},
		{"hostIPC", "ipc", true, true},
	} {
		t.Run(c.flag, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			more := "\n  " + c.flag + ": true"
			name := h.name("ns")
			h.apply(strings.ReplaceAll(fmt.Sprintf(fooPod, name, more), `"80"`, `"8089"`), name)
			app, sidecar := h.pid(name+"/app"), h.pid(name+"/sidecar")
			if got := h.ns(app, c.kind) == h.ns(sidecar, c.kind); got != c.shared {
				t.Errorf("%s shared: %v", c.kind, got)
			}
			if got := h.ns(app, c.kind) == h.ns(os.Getpid(), c.kind); got != c.host {
				t.Errorf("%s is the host's: %v", c.kind, got)
			}
			if h.ns(app, "mnt") == h.ns(sidecar, "mnt") || h.ns(app, "mnt") == h.ns(os.Getpid(), "mnt") {
				t.Error("mnt is not the container's own")
			}
			if c.flag == "shareProcessNamespace" {
				if out := h.ok("exec", name+"/sidecar", "ps"); !strings.Contains(out, "httpd") {
					t.Errorf("the sidecar does not see the app:\n%s", out)
				}
			}
		})
	}
}

// TestJoinByName joins each kind of another container's namespaces on its own.
func TestJoinByName(t *testing.T) {
	h := start(t)
	target := h.container("target", "--ipc", "shareable")
	for flag, kind := range map[string]string{"--network": "net", "--ipc": "ipc", "--uts": "uts", "--pid": "pid"} {
		t.Run(kind, func(t *testing.T) {
			h := &host{T: t, machine: h.machine}
			c := h.container("joiner", flag, "container:"+target)
			for _, k := range []string{"net", "ipc", "uts", "pid"} {
				if got := h.ns(h.pid(c), k) == h.ns(h.pid(target), k); got != (k == kind) {
					t.Errorf("%s shared: %v", k, got)
				}
			}
		})
	}
}
