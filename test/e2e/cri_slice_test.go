package e2e

import (
	"os"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// podSlice makes the slice of a pod as the kubelet does, transient and with the pod's limits
// as properties, in slices for all pods and for those of its class. It returns the slice
// and the path that the kubelet gives the runtime.
func (k *kubelet) podSlice() (name, parent string) {
	k.Helper()
	all := k.slice()
	class := strings.TrimSuffix(all, ".slice") + "-burstable.slice"
	name = strings.TrimSuffix(class, ".slice") + "-pod0123_4567.slice"
	if out, err := exec.Command("busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
		"org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "replace",
		"4", "DefaultDependencies", "b", "false", "MemoryMax", "t", "268435456", "CPUWeight", "t", "39",
		"CPUQuotaPerSecUSec", "t", "800000", "0").CombinedOutput(); err != nil {
		k.Fatalf("busctl: %v\n%s", err, out)
	}
	k.Cleanup(func() { // each fails when it has nothing to do
		_ = exec.Command("systemctl", "stop", name).Run()
		_ = exec.Command("systemctl", "revert", name).Run() // a change of properties leaves files
	})
	return name, path.Join("/", all, class, name)
}

// TestCRISlices is a kubelet with the systemd driver, beside the daemon as a unit: a pod's slice and
// the limits within it are as each of them asked, through a reload of systemd and a restart
// of the daemon, and can be changed afterwards.
func TestCRISlices(t *testing.T) {
	testenv.Require(t, testenv.Systemd, testenv.Cgroup2)
	h := startOwn(t)
	unit := h.install("carob.service")
	h.systemctl("start", unit)
	k := h.kubelet()
	slice, parent := k.podSlice()
	pod, id := k.running(func(s *cri.PodSandboxConfig) {
		s.Linux.CgroupParent = parent
		s.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 80000, CpuShares: 1024, MemoryLimitInBytes: 256 << 20}
	}, func(c *cri.ContainerConfig) {
		c.Linux.Resources = &cri.LinuxContainerResources{
			CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 64 << 20,
			Unified: map[string]string{"memory.oom.group": "1"},
		}
	})
	pid := k.processOf(id)
	scope, group := k.scope(pid)
	if got := k.property(scope, "Slice"); got != slice {
		t.Errorf("%s is in %s", scope, got)
	}
	dir := "/sys/fs/cgroup" + path.Join(parent, scope, group)
	files := func(dir string, names ...string) string {
		t.Helper()
		for i, name := range names {
			names[i] = readTrim(h, path.Join(dir, name))
		}
		return strings.Join(names, ", ")
	}
	same := func(after, podsMemory, memory string) {
		t.Helper()
		if now := k.processOf(id); now != pid {
			t.Errorf("after %s the process is %d, it was %d", after, now, pid)
		}
		if got, want := files(dir, "memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "cpu.weight"), memory+", 0, 1, 50000 100000, 59"; got != want { // plan/cgroup.Weight of 512 shares
			t.Errorf("after %s the container's limits are %s, want %s", after, got, want)
		}
		if got := files("/sys/fs/cgroup"+parent, "memory.max", "cpu.max", "cpu.weight"); got != podsMemory+", 80000 100000, 39" {
			t.Errorf("after %s the slice's limits are %s", after, got)
		}
		if got := k.property(slice, "MemoryMax"); got != podsMemory {
			t.Errorf("after %s systemd says that the slice may have %s", after, got)
		}
		if got := k.exec(id, "cat /proc/self/cgroup"); !strings.HasPrefix(got, "0::/") || strings.Contains(got, "..") {
			t.Errorf("after %s an exec is in %s, seen from the container's own", after, got)
		}
	}
	same("the start", "268435456", "67108864")
	k.systemctl("daemon-reload")
	same("a reload", "268435456", "67108864")

	before := h.daemon()
	k.systemctl("restart", unit)
	if now := h.daemon(); now == 0 || now == before {
		t.Fatalf("the daemon was %d and is %d", before, now)
	}
	same("a restart of the daemon", "268435456", "67108864")

	k.systemctl("set-property", "--runtime", slice, "MemoryMax=512M") // the kubelet's resize of a pod: its own group first
	if _, err := k.UpdatePodSandboxResources(k.ctx, &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: pod, Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 512 << 20}}); err != nil {
		t.Error(err)
	}
	if _, err := k.UpdateContainerResources(k.ctx, &cri.UpdateContainerResourcesRequest{ContainerId: id, Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: 128 << 20, MemorySwapLimitInBytes: 128 << 20}}); err != nil {
		t.Error(err)
	}
	same("a resize", "536870912", "134217728")
	k.systemctl("daemon-reload")
	same("a reload after the resize", "536870912", "134217728")

	if _, err := k.StopPodSandbox(k.ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod}); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the container runs after its pod was stopped")
	}
	k.unloaded(scope, strings.TrimPrefix(parent, "/"))
	k.systemctl("stop", slice) // when the runtime has taken its groups away, the slice can go
	if _, err := os.Stat("/sys/fs/cgroup" + parent); !os.IsNotExist(err) {
		t.Errorf("the slice's group after its stop: %v", err)
	}
}
