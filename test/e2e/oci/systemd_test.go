package oci

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/testenv"
)

// TestSystemdCgroup: with --systemd-cgroup the container is in a scope of systemd's,
// whose daemon-reload leaves the limits alone, and the scope goes with it.
func TestSystemdCgroup(t *testing.T) {
	testenv.Require(t, testenv.Systemd, testenv.Cgroup2)
	b := newBox(t)
	b.global = []string{"--systemd-cgroup"}
	unit := "oci-" + b.id + ".scope"
	b.spec.Linux.CgroupsPath = "carobtest.slice:oci:" + b.id
	b.spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: pointer(int64(64 << 20))}
	t.Cleanup(func() { _ = exec.Command("systemctl", "stop", "carobtest.slice").Run() })
	dir := "/sys/fs/cgroup/carobtest.slice/" + unit
	limit := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(dir + "/container/memory.max"); strings.TrimSpace(string(got)) != want {
			t.Errorf("memory.max %s, %v, want %s", got, err, want)
		}
	}
	for range 2 { // the name can be had again at once
		b.start()
		if got := b.proc("cgroup"); got != "0::/carobtest.slice/"+unit+"/container\n" {
			t.Errorf("the container is in %s", got)
		}
		limit("67108864")
		b.call("update", b.id, "--memory", "96m")
		if out, err := exec.Command("systemctl", "daemon-reload").CombinedOutput(); err != nil {
			t.Fatalf("daemon-reload: %v: %s", err, out)
		}
		limit("100663296")
		if got := b.exec("cat /proc/self/cgroup"); got != "0::/" {
			t.Errorf("an exec is in %s", got)
		}
		if out, err := exec.Command("systemctl", "is-active", unit).Output(); err != nil {
			t.Errorf("%s is %s", unit, out)
		}
		b.call("delete", "--force", b.id)
	}
	b.eventually("the scope ends", func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) })
}

// TestSystemdStop: systemd's word ends a container, and its state is stopped then.
func TestSystemdStop(t *testing.T) {
	testenv.Require(t, testenv.Systemd, testenv.Cgroup2)
	b := newBox(t)
	b.global = []string{"--systemd-cgroup"}
	b.spec.Linux.CgroupsPath = ":oci:" + b.id
	b.start()
	if out, err := exec.Command("systemctl", "kill", "--signal=KILL", "oci-"+b.id+".scope").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b.eventually("stopped", func() bool { return b.state().Status == specs.StateStopped })
}

// TestSystemdTaken: a scope in which a container of another root runs is not taken from it.
func TestSystemdTaken(t *testing.T) {
	testenv.Require(t, testenv.Systemd, testenv.Cgroup2)
	one, other := newBox(t), newBox(t)
	for _, b := range []*box{one, other} {
		b.global = []string{"--systemd-cgroup"}
		b.spec.Linux.CgroupsPath = ":oci:" + one.id
	}
	one.start()
	other.write()
	if out, err := other.try("create", other.id); err == nil || !strings.Contains(out, "not empty") {
		t.Errorf("%v: %s", err, out)
	}
	if s := one.state().Status; s != specs.StateRunning {
		t.Errorf("the first container is %s", s)
	}
}

// TestSystemdRefused: what cannot be is said before anything is made.
func TestSystemdRefused(t *testing.T) {
	b := newBox(t)
	for path, want := range map[string]string{
		"/a/b":             "slice:prefix:name",
		"a.slice:b:c/d":    "linux.cgroupsPath",
		"a.slice::..":      "linux.cgroupsPath",
		"a.slice::a.slice": "linux.cgroupsPath",
	} {
		b.global, b.spec.Linux.CgroupsPath = []string{"--systemd-cgroup"}, path
		b.write()
		if out, err := b.try("create", b.id); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v: %s", path, err, out)
		}
	}
	b.global, b.spec.Linux.CgroupsPath = nil, "a.slice:b:c"
	b.write()
	if out, err := b.try("create", b.id); err == nil || !strings.Contains(out, "--systemd-cgroup") {
		t.Errorf("systemd's form by plain files: %v: %s", err, out)
	}
	b.spec.Linux.CgroupsPath = "/carob-oci-test/" + b.id
	if left, _ := filepath.Glob("/sys/fs/cgroup/*/*.slice/b-c.scope"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
