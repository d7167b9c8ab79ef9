package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"carob/internal/testenv"
)

// systemctl runs systemctl and wants it to succeed.
func (h *host) systemctl(args ...string) string {
	h.Helper()
	out, err := exec.Command("systemctl", args...).CombinedOutput()
	if err != nil {
		h.Fatalf("systemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// service runs the machine's daemon as a transient service, with more flags, and returns
// the unit's name.
func (h *host) service(flags ...string) string {
	h.Helper()
	if err := os.MkdirAll(filepath.Join(h.dir, "run"), 0o711); err != nil { // for the log
		h.Fatal(err)
	}
	unit := filepath.Base(h.dir) + ".service"
	c := exec.Command("systemd-run", append([]string{"--quiet", "--unit", unit, "--property=TimeoutStopSec=20",
		"--property=StandardError=append:" + filepath.Join(h.dir, "run", "daemon.log"),
		"--setenv=CAROB_RUN=" + filepath.Join(h.dir, "run"), "--setenv=CAROB_ROOT=" + filepath.Join(h.dir, "lib"),
		filepath.Join(h.dir, "bin", "carob"), "serve"}, flags...)...)
	if out, err := c.CombinedOutput(); err != nil {
		h.Fatalf("systemd-run: %v\n%s", err, out)
	}
	h.Cleanup(func() { // each fails when it has nothing to do
		_ = exec.Command("systemctl", "stop", unit).Run()
		_ = exec.Command("systemctl", "reset-failed", unit).Run()
	})
	h.eventually("the service answers", func() bool { return h.daemon() > 0 })
	return unit
}

// TestServiceStops ends a daemon that is a systemd service with all that systemd thinks
// is its: the containers go on, keep their limits, and the next daemon has them.
func TestServiceStops(t *testing.T) {
	testenv.Require(t, testenv.Systemd)
	h := startOwn(t)
	unit := h.service()
	c := h.container("c", "--memory", "96m")
	pid := h.pid(c)
	began := time.Now()
	h.systemctl("stop", unit)
	if took := time.Since(began); took > testenv.Patience(2*time.Second) {
		t.Errorf("stop took %v: systemd waited for processes that are not the service's", took)
	}
	if h.daemon() != 0 {
		t.Fatal("the daemon still serves")
	}
	if failed := h.systemctl("list-units", "--failed", "--plain", "--no-legend", unit); failed != "" {
		t.Errorf("the daemon that was asked to end has failed: %s\n%s", failed, h.logEnd())
	}
	for _, p := range append(h.supervisors(), pid) {
		if err := syscall.Kill(p, 0); err != nil {
			t.Fatalf("process %d went with the service", p)
		}
		if group := readTrim(h, fmt.Sprintf("/proc/%d/cgroup", p)); strings.Contains(group, unit) {
			t.Errorf("process %d is in the service's cgroup:\n%s", p, group)
		}
	}
	if n := len(h.supervisors()); n != 1 {
		t.Errorf("%d supervisors, want 1", n)
	}
	h.ok("exec", c, "true") // starts the next daemon, as a child of nobody
	if got := h.pid(c); got != pid {
		t.Errorf("the container's process is %d now, it was %d", got, pid)
	}
	if got := h.cgroupFile(pid, "memory", "memory.limit_in_bytes", "memory.max"); got != "100663296" {
		t.Errorf("memory limit is %s", got)
	}
}

// TestReloadKeepsLimits lets systemd go over the whole tree again, as every package
// upgrade does: what carob made below the root is not systemd's to change.
func TestReloadKeepsLimits(t *testing.T) {
	testenv.Require(t, testenv.Systemd)
	h := start(t)
	c := h.container("c", "--memory", "96m", "--cpus", "0.25", "--pids-limit", "77", "--cpuset-cpus", "0")
	pid := h.pid(c)
	limits := func() string {
		return strings.Join([]string{
			h.cgroupFile(pid, "memory", "memory.limit_in_bytes", "memory.max"),
			h.cgroupFile(pid, "cpu", "cpu.cfs_quota_us", "cpu.max"),
			h.cgroupFile(pid, "pids", "pids.max", "pids.max"),
			h.cgroupFile(pid, "cpuset", "cpuset.cpus", "cpuset.cpus"),
		}, ", ")
	}
	const want = "100663296, 25000 100000, 77, 0"
	if got := limits(); got != want && got != strings.Replace(want, " 100000", "", 1) {
		t.Fatalf("limits are %s, want %s", got, want)
	}
	before := limits()
	h.systemctl("daemon-reload")
	h.systemctl("set-property", "--runtime", "system.slice", "CPUWeight=200") // rewrites subtree_control from the root down
	t.Cleanup(func() { h.systemctl("set-property", "--runtime", "system.slice", "CPUWeight=") })
	if got := limits(); got != before {
		t.Errorf("limits are %s, they were %s", got, before)
	}
	d := h.container("d", "--cpus", "0.25", "--cpuset-cpus", "0")
	if got := h.cgroupFile(h.pid(d), "cpu", "cpu.cfs_quota_us", "cpu.max"); !strings.HasPrefix(got, "25000") {
		t.Errorf("a container made afterwards has cpu limit %s", got)
	}
}

// TestSocketActivation leaves it to systemd to start the daemon when somebody asks: the
// first time, and again after it was stopped with a container running.
func TestSocketActivation(t *testing.T) {
	testenv.Require(t, testenv.Systemd)
	h := startOwn(t)
	unit := filepath.Base(h.dir)
	if err := os.MkdirAll(filepath.Join(h.dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("systemd-run", "--quiet", "--unit", unit, "--socket-property=SocketMode=0600",
		"--socket-property=ListenStream="+filepath.Join(h.dir, "run", "api.sock"),
		"--property=StandardError=append:"+filepath.Join(h.dir, "run", "daemon.log"),
		"--setenv=CAROB_RUN="+filepath.Join(h.dir, "run"), "--setenv=CAROB_ROOT="+filepath.Join(h.dir, "lib"),
		filepath.Join(h.dir, "bin", "carob"), "serve")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("systemd-run: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", unit+".socket", unit+".service").Run() }) // the service may not run
	serving := func() string {
		t.Helper()
		return h.systemctl("show", "--property=MainPID", "--value", unit+".service")
	}
	if pid := serving(); pid != "0" {
		t.Fatalf("a daemon before anybody asked: %s", pid)
	}
	name := h.container("c")
	first := serving()
	if got := h.ok("info", "--format", "{{.Pid}}"); got != first {
		t.Errorf("process %s answers, systemd's is %s", got, first)
	}
	pid := h.pid(name)
	h.systemctl("stop", unit+".service")
	if got := h.pid(name); got != pid {
		t.Errorf("the container's process is %d, it was %d", got, pid)
	}
	if got := serving(); got == first || got == "0" {
		t.Errorf("systemd's daemon is %s, the one before it was %s", got, first)
	}
}

// install gives systemd one of the example units, for this machine's daemon, under a name
// of the test's own, which it returns.
func (h *host) install(example string) string {
	h.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "systemd", example))
	if err != nil {
		h.Fatal(err)
	}
	prefix := filepath.Base(h.dir) + "-"
	own := strings.NewReplacer("carob.service", prefix+"carob.service", "/usr/local/bin/carob", filepath.Join(h.dir, "bin", "carob"),
		"[Service]\n", "[Service]\nEnvironment=CAROB_RUN="+filepath.Join(h.dir, "run")+" CAROB_ROOT="+filepath.Join(h.dir, "lib")+"\n").Replace(string(text))
	path := filepath.Join("/run/systemd/system", prefix+example)
	if err := os.WriteFile(path, []byte(own), 0o644); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { // each fails when it has nothing to do
		_ = exec.Command("systemctl", "stop", prefix+example).Run()
		_ = exec.Command("systemctl", "reset-failed", prefix+example).Run()
		_ = os.Remove(path)
		_ = exec.Command("systemctl", "daemon-reload").Run()
	})
	h.systemctl("daemon-reload")
	return prefix + example
}

// TestUnits: the daemon answers when its unit is up, containers go on while it is started
// again, and end, with their pods, with the unit for the end of the machine.
func TestUnits(t *testing.T) {
	testenv.Require(t, testenv.Systemd)
	h := startOwn(t)
	daemon, pods := h.install("carob.service"), h.install("carob-pods.service")
	h.systemctl("start", daemon, pods)
	if h.daemon() == 0 {
		t.Fatal("the unit is up, and nobody answers")
	}
	pid := h.pid(h.container("c"))
	h.ok("run", "-d", "--name", "deaf", image, "sh", "-c", "trap '' TERM; while true; do sleep 1000; done")
	h.systemctl("reload", daemon)
	before := h.daemon()
	h.systemctl("restart", daemon)
	if after := h.daemon(); after == 0 || after == before {
		t.Errorf("the daemon was %d and is %d", before, after)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the container went with the daemon: %v", err)
	}
	h.systemctl("stop", pods)
	if left := h.supervisors(); len(left) > 0 {
		t.Errorf("supervisors %v are left for systemd to wait for", left)
	}
	if failed := h.systemctl("list-units", "--failed", "--plain", "--no-legend", pods); failed != "" {
		t.Error(failed)
	}
}
