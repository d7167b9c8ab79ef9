package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestCRIResources: limits reach the cgroup, change as a whole, and are reported.
func TestCRIResources(t *testing.T) {
	k := start(t).kubelet()
	pod, id := k.running(nil, func(c *cri.ContainerConfig) {
		c.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20, OomScoreAdj: 500}
	})
	show := func() string {
		return k.ok("inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}}", id)
	}
	if got := show(); got != "67108864 50000" {
		t.Errorf("asked for 67108864 50000, inspect says %s", got)
	}
	if _, err := k.UpdateContainerResources(k.ctx, &cri.UpdateContainerResourcesRequest{ContainerId: id, Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: 128 << 20, CpuQuota: 80000}}); err != nil {
		t.Fatal(err)
	}
	if got := show(); got != "134217728 80000" {
		t.Errorf("after the update inspect says %s", got)
	}
	_, err := k.UpdateContainerResources(k.ctx, &cri.UpdateContainerResourcesRequest{ContainerId: id, Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: 256 << 20, CpusetCpus: "9999"}})
	if err == nil {
		t.Error("a CPU that is not there was accepted")
	}
	if got := show(); got != "134217728 80000" {
		t.Errorf("after an update that failed inspect says %s", got)
	}
	if r := k.status(id).GetResources().GetLinux(); r.GetMemoryLimitInBytes() != 128<<20 || r.GetCpuShares() != 512 || r.GetOomScoreAdj() != 500 {
		t.Errorf("status says %v", r)
	}
	if _, err := k.UpdatePodSandboxResources(k.ctx, &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: pod, Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: 512 << 20}, Overhead: &cri.LinuxContainerResources{MemoryLimitInBytes: 1 << 20}}); err != nil {
		t.Fatal(err)
	}
	if got := k.cgroupFile(k.processOf(id), "memory", "../memory.limit_in_bytes", "../memory.max"); got != "537919488" {
		t.Errorf("the pod's cgroup says %s, want 513 MiB", got)
	}
}

// TestCRIResize: a kubelet tells the runtime of a pod's new limits before it raises its
// own group of the pod, in which the sandbox's is. Nothing is refused, and what it says
// last holds.
func TestCRIResize(t *testing.T) {
	k := start(t).kubelet()
	parent := k.parent + "/kubelet-of-" + k.name("pod")
	pod, id := k.running(func(s *cri.PodSandboxConfig) { s.Linux.CgroupParent = parent }, nil)
	quota := "/sys/fs/cgroup/cpu" + parent + "/cpu.cfs_quota_us"
	form := "%d"
	if _, err := os.Stat(quota); err != nil {
		quota, form = "/sys/fs/cgroup"+parent+"/cpu.max", "%d 100000"
	}
	kubelets := func(n int) {
		t.Helper()
		if err := os.WriteFile(quota, fmt.Appendf(nil, form, n), 0); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(n int64) {
		t.Helper()
		r := &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: n, CpuShares: 100}
		if _, err := k.UpdatePodSandboxResources(k.ctx, &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: pod, Resources: r}); err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
	kubelets(20000)
	ask(20000)
	ask(30000)
	kubelets(30000)
	ask(30000)
	ask(10000)
	kubelets(10000)
	if got := k.cgroupFile(k.processOf(id), "cpu", "../cpu.cfs_quota_us", "../cpu.max"); got != fmt.Sprintf(form, 10000) {
		t.Errorf("the pod's cgroup says %s", got)
	}
}

// TestCRIOOM: the kubelet's word for a container that was killed for want of memory.
func TestCRIOOM(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	r := k.ask(k.runPod(s), s, "dd if=/dev/zero of=/dev/null bs=200M count=1")
	r.Config.Command = []string{"dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"}
	r.Config.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20}
	id := k.create(r)
	k.start(id)
	k.eventually("it has ended", func() bool { return k.status(id).GetState() == cri.ContainerState_CONTAINER_EXITED })
	if st := k.status(id); st.GetReason() != "OOMKilled" || st.GetExitCode() != 137 {
		t.Errorf("%v", st)
	}
}

// TestCRIStats: numbers of containers and pods, in lists and in pieces.
func TestCRIStats(t *testing.T) {
	k := start(t).kubelet()
	pod, id := k.running(nil, nil)
	k.exec(id, "dd if=/dev/zero of=/file bs=1048576 count=2 2>/dev/null; sync")
	one, err := k.ContainerStats(k.ctx, &cri.ContainerStatsRequest{ContainerId: id})
	if err != nil {
		t.Fatal(err)
	}
	s := one.GetStats()
	if s.GetAttributes().GetId() != id || s.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 || s.GetMemory().GetWorkingSetBytes().GetValue() == 0 || s.GetWritableLayer().GetUsedBytes().GetValue() < 2<<20 {
		t.Errorf("%v", s)
	}
	l, err := k.ListContainerStats(k.ctx, &cri.ListContainerStatsRequest{Filter: &cri.ContainerStatsFilter{PodSandboxId: pod}})
	if err != nil || len(l.GetStats()) != 1 {
		t.Errorf("%v, %v", l, err)
	}
	p, err := k.PodSandboxStats(k.ctx, &cri.PodSandboxStatsRequest{PodSandboxId: pod})
	if err != nil {
		t.Fatal(err)
	}
	if u := p.GetStats().GetLinux(); len(u.GetContainers()) != 1 || u.GetProcess().GetProcessCount().GetValue() == 0 || u.GetMemory().GetUsageBytes().GetValue() == 0 {
		t.Errorf("%v", u)
	}
	pods, err := k.ListPodSandboxStats(k.ctx, &cri.ListPodSandboxStatsRequest{Filter: &cri.PodSandboxStatsFilter{Id: pod}})
	if err != nil || len(pods.GetStats()) != 1 {
		t.Errorf("%v, %v", pods, err)
	}
	stream, err := k.StreamContainerStats(k.ctx, &cri.StreamContainerStatsRequest{Filter: &cri.ContainerStatsFilter{Id: id}})
	if err != nil {
		t.Fatal(err)
	}
	if some, err := stream.Recv(); err != nil || len(some.GetContainerStats()) != 1 {
		t.Errorf("%v, %v", some, err)
	}
	if n := p.GetStats().GetLinux().GetNetwork(); n.GetDefaultInterface().GetName() != "eth0" {
		t.Errorf("network %v", n)
	}
	if _, err := k.StopPodSandbox(k.ctx, &cri.StopPodSandboxRequest{PodSandboxId: pod}); err != nil {
		t.Fatal(err)
	}
	p, err = k.PodSandboxStats(k.ctx, &cri.PodSandboxStatsRequest{PodSandboxId: pod})
	if err != nil || p.GetStats().GetLinux().GetNetwork() != nil {
		t.Errorf("of a pod that has ended: %v, %v", p.GetStats().GetLinux().GetNetwork(), err)
	}
}

// TestCRIMetrics: each metric, of pods and of containers, has a description with as many
// labels.
func TestCRIMetrics(t *testing.T) {
	k := start(t).kubelet()
	pod, id := k.running(nil, nil)
	d, err := k.ListMetricDescriptors(k.ctx, &cri.ListMetricDescriptorsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]int{}
	for _, one := range d.GetDescriptors() {
		labels[one.GetName()] = len(one.GetLabelKeys())
	}
	m, err := k.ListPodSandboxMetrics(k.ctx, &cri.ListPodSandboxMetricsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(m.GetPodMetrics(), func(p *cri.PodSandboxMetrics) bool { return p.GetPodSandboxId() == pod })
	if i < 0 || len(m.GetPodMetrics()[i].GetContainerMetrics()) != 1 || m.GetPodMetrics()[i].GetContainerMetrics()[0].GetContainerId() != id {
		t.Fatalf("%v", m)
	}
	both := []string{"container_memory_usage_bytes", "container_processes", "container_threads", "container_file_descriptors", "container_start_time_seconds"}
	for _, tt := range []struct {
		metrics []*cri.Metric
		some    []string
	}{
		{m.GetPodMetrics()[i].GetContainerMetrics()[0].GetMetrics(), append(both, "container_fs_inodes_total")},
		{m.GetPodMetrics()[i].GetMetrics(), append(both, "container_network_transmit_bytes_total")},
	} {
		got := map[string]uint64{}
		for _, one := range tt.metrics {
			if labels[one.GetName()] != len(one.GetLabelValues()) {
				t.Errorf("%s: %d labels, described with %d", one.GetName(), len(one.GetLabelValues()), labels[one.GetName()])
			}
			got[one.GetName()] = one.GetValue().GetValue()
		}
		for _, name := range tt.some {
			if got[name] == 0 {
				t.Errorf("%s is 0", name)
			}
		}
	}
}

// TestCRIUncountable: a container that nests directories deeper than a path can be long
// hides neither itself nor the others from the kubelet.
func TestCRIUncountable(t *testing.T) {
	k := start(t).kubelet()
	_, id := k.running(nil, nil)
	long := strings.Repeat("/"+strings.Repeat("d", 200), 15)
	k.exec(id, "mkdir -p /top"+long+" /low"+long+"; dd if=/dev/zero of=/low"+long+"/f bs=1048576 count=2 2>/dev/null; mv /low /top"+long+"/; sync")
	l, err := k.ListContainerStats(k.ctx, &cri.ListContainerStatsRequest{})
	if err != nil || len(l.GetStats()) != 1 {
		t.Fatalf("%v, %v", l, err)
	}
	if n := l.GetStats()[0].GetWritableLayer().GetUsedBytes().GetValue(); n < 2<<20 {
		t.Errorf("it has written 2 MB, and %d bytes are seen", n)
	}
}

// TestCRILinks: a pod has its own interfaces' numbers; one in the host's network has none,
// for the host's are not its own, and there is one for every other pod.
func TestCRILinks(t *testing.T) {
	k := start(t).kubelet()
	for mode, want := range map[cri.NamespaceMode]bool{cri.NamespaceMode_POD: true, cri.NamespaceMode_NODE: false} {
		pod := k.runPod(k.sandbox(func(c *cri.PodSandboxConfig) {
			c.Metadata.Name += strings.ToLower(mode.String())
			c.Hostname = ""
			c.Linux.SecurityContext.NamespaceOptions.Network = mode
		}))
		p, err := k.PodSandboxStats(k.ctx, &cri.PodSandboxStatsRequest{PodSandboxId: pod})
		if err != nil || p.GetStats().GetLinux().GetNetwork() != nil != want {
			t.Errorf("%v: %v, %v", mode, p.GetStats().GetLinux().GetNetwork(), err)
		}
		m, err := k.ListPodSandboxMetrics(k.ctx, &cri.ListPodSandboxMetricsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range m.GetPodMetrics() {
			has := slices.ContainsFunc(one.GetMetrics(), func(m *cri.Metric) bool { return m.GetName() == "container_network_receive_bytes_total" })
			if one.GetPodSandboxId() == pod && has != want {
				t.Errorf("%v: %v", mode, one.GetMetrics())
			}
		}
	}
}

// TestCRIEvents: each change once and in order, with the pod's state not before it.
func TestCRIEvents(t *testing.T) {
	k := start(t).kubelet()
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	stream, err := k.GetContainerEvents(ctx, &cri.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil { // from here on nothing is missed
		t.Fatal(err)
	}
	pod, id := k.running(nil, nil)
	if _, err := k.RemovePodSandbox(k.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: pod}); err != nil {
		t.Fatal(err)
	}
	name := map[string]string{pod: "pod", id: "container"}
	var got []string
	for len(got) < 8 {
		e, err := stream.Recv()
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		if e.GetPodSandboxStatus().GetId() != pod {
			continue
		}
		kind := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(e.GetContainerEventType().String(), "CONTAINER_"), "_EVENT"))
		got = append(got, name[e.GetContainerId()]+" "+kind)
		if e.GetPodSandboxStatus().GetMetadata().GetUid() != k.name("uid") {
			t.Errorf("%s, but whose: %v", got[len(got)-1], e.GetPodSandboxStatus())
		}
		if kind == "started" && e.GetContainerId() == id {
			if c := e.GetContainersStatuses(); len(c) != 1 || c[0].GetState() == cri.ContainerState_CONTAINER_CREATED {
				t.Errorf("started, but %v", c)
			}
		}
	}
	want := []string{
		"pod created", "pod started", "container created", "container started", "container stopped", "pod stopped", "container deleted", "pod deleted",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestCRIImages: what is here, by every name, and what is not.
func TestCRIImages(t *testing.T) {
	k := start(t).kubelet()
	l, err := k.images.ListImages(k.ctx, &cri.ListImagesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(l.GetImages(), func(i *cri.Image) bool { return slices.Contains(i.GetRepoTags(), image+":latest") })
	if i < 0 {
		t.Fatalf("%v", l)
	}
	for _, name := range []string{image, image + ":latest", l.GetImages()[i].GetId()} {
		s, err := k.images.ImageStatus(k.ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: name}})
		if err != nil || s.GetImage().GetId() != l.GetImages()[i].GetId() {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	s, err := k.images.ImageStatus(k.ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: "example.com/none:1"}})
	if err != nil || s.GetImage() != nil {
		t.Errorf("what is not here: %v, %v", s, err)
	}
	if _, err := k.images.RemoveImage(k.ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: "example.com/none:1"}}); err != nil {
		t.Error(err)
	}
	f, err := k.images.ImageFsInfo(k.ctx, &cri.ImageFsInfoRequest{})
	if err != nil || f.GetImageFilesystems()[0].GetUsedBytes().GetValue() == 0 {
		t.Errorf("%v, %v", f, err)
	}
	// A kubelet pulls :latest always, also what no registry has.
	p, err := k.images.PullImage(k.ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image + ":latest"}})
	if err != nil || p.GetImageRef() != l.GetImages()[i].GetId() {
		t.Errorf("pull of %s: %v, %v", image, p, err)
	}
	_, err = k.images.PullImage(k.ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "carob.local/none:1"}})
	wantCode(t, err, codes.NotFound, "an image that was not made here")
	_, err = k.images.PullImage(k.ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "127.0.0.1:1/none:1"}})
	if wantCode(t, err, codes.Unknown, "a registry that does not answer"); !strings.Contains(err.Error(), "desc = RegistryUnavailable: ") {
		t.Errorf("without the name that a kubelet looks for: %v", err)
	}
}

// TestCRIImageVolume: the files of an image, read-only, or of a directory in it.
func TestCRIImageVolume(t *testing.T) {
	k := start(t).kubelet()
	s := k.sandbox(nil)
	pod := k.runPod(s)
	r := k.ask(pod, s, "exec sleep 1000000")
	r.Config.Mounts = []*cri.Mount{
		{ContainerPath: "/image", Image: &cri.ImageSpec{Image: image}, Readonly: true},
		{ContainerPath: "/etc-of-image", Image: &cri.ImageSpec{Image: image}, Readonly: true, ImageSubPath: "etc"},
	}
	id := k.create(r)
	k.start(id)
	if out := k.exec(id, "cat /etc-of-image/passwd; ls /image; touch /image/x 2>&1 || true"); !strings.Contains(out, "root:") || !strings.Contains(out, "bin") || !strings.Contains(strings.ToLower(out), "read-only") {
		t.Errorf("%s", out)
	}
	for _, m := range k.status(id).GetMounts() {
		if m.GetImage().GetImageRef() != k.status(id).GetImageId() {
			t.Errorf("%v", m)
		}
	}
	r.Config.Metadata.Name = "none"
	r.Config.Mounts[0].ImageSubPath = "no/such"
	_, err := k.CreateContainer(k.ctx, r)
	wantCode(t, err, codes.NotFound, "a path that the image does not have")
}
