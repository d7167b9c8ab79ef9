package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"carob/internal/testenv"
)

// slice returns the name of a slice that is the test's alone, and stops it at the end.
func (h *host) slice() string {
	name := strings.ReplaceAll(filepath.Base(h.dir), "-", "_") + ".slice"
	h.Cleanup(func() { _ = exec.Command("systemctl", "stop", name).Run() }) // what nobody started is not loaded
	return name
}

// scope returns the scope that a process is in, and its cgroup within that.
func (h *host) scope(pid int) (unit, group string) {
	h.Helper()
	line := readTrim(h, fmt.Sprintf("/proc/%d/cgroup", pid))
	before, group, ok := strings.Cut(line, ".scope/")
	if !ok || !strings.HasPrefix(path.Base(before), "carob-") {
		h.Fatalf("process %d is in no scope of a pod: %s", pid, line)
	}
	return path.Base(before) + ".scope", "/" + group
}

// property returns a property of a unit as systemd shows it.
func (h *host) property(unit, name string) string {
	h.Helper()
	return h.systemctl("show", "--property", name, "--value", unit)
}

// unloaded waits until systemd has forgotten a unit and its cgroup is away.
func (h *host) unloaded(unit, slice string) {
	h.Helper()
	h.eventually(unit+" is away", func() bool {
		_, err := os.Stat("/sys/fs/cgroup/" + slice + "/" + unit)
		return os.IsNotExist(err) && h.systemctl("list-units", "--all", "--plain", "--no-legend", unit) == ""
	})
}

// limits reads what --memory, --cpus and --pids-limit have become.
func (h *host) limits(pid int) string {
	h.Helper()
	return strings.Join([]string{
		h.cgroupFile(pid, "memory", "memory.limit_in_bytes", "memory.max"),
		h.cgroupFile(pid, "cpu", "cpu.cfs_quota_us", "cpu.max"),
		h.cgroupFile(pid, "pids", "pids.max", "pids.max"),
	}, ", ")
}

// TestScope runs a container in a slice: systemd makes one scope for its pod, gives it
// away whole and stays out of it, and it goes with the container.
func TestScope(t *testing.T) {
	testenv.Require(t, testenv.Systemd, testenv.Cgroup2)
	h := startOwn(t)
	service, slice := h.service(), h.slice()
	if got := h.ok("info", "--format", "{{.CgroupDriver}}"); got != "systemd" {
		t.Errorf("the driver is %s", got)
	}
	c := h.container("c", "--cgroup-parent", slice, "--memory", "96m", "--cpus", "0.25", "--pids-limit", "77")
	pid := h.pid(c)
	unit, group := h.scope(pid)
	for name, want := range map[string]string{"Slice": slice, "Delegate": "yes", "TasksMax": "infinity", "ActiveState": "active", "DefaultDependencies": "no"} {
		if got := h.property(unit, name); got != want {
			t.Errorf("%s of %s is %s, want %s", name, unit, got, want)
		}
	}
	for _, p := range h.supervisors() {
		if u, g := h.scope(p); u != unit || path.Dir(g) != path.Dir(group) {
			t.Errorf("the supervisor is in %s, %s", u, g)
		}
	}
	const want = "100663296, 25000 100000, 77"
	same := func(after string) {
		t.Helper()
		if got := h.limits(pid); got != want {
			t.Errorf("after %s the limits are %s, want %s", after, got, want)
		}
		if u, g := h.scope(pid); u != unit || g != group {
			t.Errorf("after %s the container is in %s, %s", after, u, g)
		}
	}
	same("the start")
	h.systemctl("daemon-reload")
	same("a reload")
	h.systemctl("set-property", "--runtime", slice, "CPUWeight=200", "MemoryMax=512M")
	h.systemctl("set-property", "--runtime", unit, "IOWeight=50")
	same("new properties of slice and scope")
	h.systemctl("daemon-reexec")
	same("systemd's own restart")
	h.ok("update", "--pids-limit", "78", c)
	if got := h.cgroupFile(pid, "pids", "pids.max", "pids.max"); got != "78" {
		t.Errorf("updated to %s", got)
	}
	h.systemctl("stop", service)
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatal("the container ended with the daemon's unit")
	}
	h.ok("exec", c, "true") // the next daemon has it
	if n := len(h.supervisors()); n != 1 || h.pid(c) != pid {
		t.Errorf("%d supervisors, process %d, it was %d", n, h.pid(c), pid)
	}
	h.ok("rm", "-f", c)
	h.unloaded(unit, slice)
}

// TestScopeComesBack: a solo pod's scope ends with its container and another comes with
// the next start, with all limits, what was changed in between among them.
func TestScopeComesBack(t *testing.T) {
	testenv.Require(t, testenv.Systemd, testenv.Cgroup2)
	h := startOwn(t)
	slice := h.slice()
	c := h.name("c")
	h.ok("create", "--name", c, "--cgroup-parent", slice, "--memory", "96m", "--cpus", "0.25", image, "sleep", "1000000")
	t.Cleanup(func() { h.run("rm", "-f", c) })
	h.ok("update", "--pids-limit", "77", c)
	var unit string
	for range 2 {
		h.ok("start", c)
		pid := h.pid(c)
		if got := h.limits(pid); got != "100663296, 25000 100000, 77" {
			t.Errorf("limits are %s", got)
		}
		unit, _ = h.scope(pid)
		h.ok("kill", c)
		h.ok("wait", c)
	}
	h.unloaded(unit, slice)
	h.ok("start", c)
	h.systemctl("stop", unit) // an operator's hand
	h.eventually("the container has ended", func() bool { return h.ok("inspect", "--format", "{{.State.Status}}", c) == "exited" })
	h.ok("start", c)
	h.ok("exec", c, "true")
	h.ok("rm", "-f", c)
	h.unloaded(unit, slice)
}

// TestSystemdDriver has the daemon put pods that name no parent into machine.slice. The
// sandbox that is made ahead for the second is in no scope before.
func TestSystemdDriver(t *testing.T) {
	testenv.Require(t, testenv.Systemd, testenv.Cgroup2)
	h := startOwn(t)
	h.service("--cgroup-driver", "systemd")
	h.apply(strings.ReplaceAll(duo, "POD", "scoped"), "scoped")
	app, side := h.pid("scoped/app"), h.pid("scoped/sidecar")
	unit, group := h.scope(app)
	if other, _ := h.scope(side); other != unit {
		t.Errorf("the containers are in %s and %s", unit, other)
	}
	if got := h.property(unit, "Slice"); got != "machine.slice" {
		t.Errorf("the slice is %s", got)
	}
	if got := h.cgroupFile(app, "memory", "memory.limit_in_bytes", "memory.max"); got != "33554432" {
		t.Errorf("memory limit of %s is %s", group, got)
	}
	h.eventually("a sandbox is made ahead", func() bool { return len(h.idle()) == 1 })
	made := h.idle()[0]
	if group := readTrim(h, fmt.Sprintf("/proc/%d/cgroup", made)); strings.Contains(group, ".scope") {
		t.Errorf("what is made ahead is in a scope: %s", group)
	}
	h.apply(strings.ReplaceAll(duo, "POD", "next"), "next")
	next := h.pid("next/app")
	other, _ := h.scope(next)
	if other == unit {
		t.Errorf("both pods are in %s", unit)
	}
	h.ok("exec", "next/app", "true")
	t.Logf("the sandbox was made ahead: %v", slices.Contains(h.supervisors(), made)) // it can have been too late
	if got := h.cgroupFile(next, "memory", "memory.limit_in_bytes", "memory.max"); got != "33554432" {
		t.Errorf("memory limit of the second pod's is %s", got)
	}
	for pod, unit := range map[string]string{"scoped": unit, "next": other} {
		h.ok("delete", "pod", pod)
		h.unloaded(unit, "machine.slice")
	}
}

const duo = `apiVersion: v1
kind: Pod
metadata:
  name: POD
spec:
  containers:
  - name: app
    image: ` + image + `
    command: ["sleep", "1000000"]
    resources:
      limits:
        memory: 32Mi
  - name: sidecar
    image: ` + image + `
    command: ["sleep", "1000000"]
`

// TestSliceRefused: what this daemon or any cannot make of a slice is an error that says so, and
// leaves nothing.
func TestSliceRefused(t *testing.T) {
	h := startOwn(t)
	serve := h.cmd("serve", "--cgroup-driver", "cgroupfs")
	if err := os.MkdirAll(filepath.Join(h.dir, "run"), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = serve.Process.Signal(syscall.SIGTERM); _ = serve.Wait() })
	h.eventually("the daemon answers", func() bool { return h.daemon() > 0 })
	for parent, want := range map[string]string{
		"a.slice":                  "this daemon's cgroup driver is cgroupfs",
		"a--b.slice":               "is no name of a slice",
		"a.slice\nMemoryMax.slice": "is no name of a slice",
		"a/b":                      "absolute cgroup path",
	} {
		if r := h.run("run", "--rm", "--cgroup-parent", parent, image, "true"); r.code != 125 || !strings.Contains(r.err, want) {
			t.Errorf("%q: exit %d, %s", parent, r.code, r.err)
		}
	}
	other := filepath.Join(h.dir, "other")
	if r := h.run("serve", "--run", other, "--root", other+"/lib", "--socket", other+"/api.sock", "--cgroup-driver", "dbus"); r.code != 1 || !strings.Contains(r.err, `cgroup driver "dbus": unknown`) {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}
