package shown

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/image"
	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/sys/procfs"
)

func TestContainerState(t *testing.T) {
	for _, tt := range []struct {
		state  lifecycle.ContainerState
		reason string
		want   cri.ContainerState
	}{
		{lifecycle.ContainerCreated, "", cri.ContainerState_CONTAINER_CREATED},
		{lifecycle.ContainerCreated, "StartError", cri.ContainerState_CONTAINER_EXITED},
		{lifecycle.ContainerRunning, "", cri.ContainerState_CONTAINER_RUNNING},
		{lifecycle.ContainerExited, "Error", cri.ContainerState_CONTAINER_EXITED},
		{lifecycle.ContainerAbsent, "", cri.ContainerState_CONTAINER_UNKNOWN},
	} {
		if got := ContainerState(status.Container{State: tt.state, Reason: tt.reason}); got != tt.want {
			t.Errorf("%q %q is %v, want %v", tt.state, tt.reason, got, tt.want)
		}
	}
	c := ContainerStatus(status.Container{State: lifecycle.ContainerCreated, Reason: "StartError", CreatedAt: time.Unix(7, 0)})
	if c.FinishedAt != c.CreatedAt {
		t.Errorf("one that never ran ended at %d", c.FinishedAt)
	}
}

// TestStopSignal: a name that was asked for is reported as it was.
func TestStopSignal(t *testing.T) {
	for name, want := range map[string]cri.Signal{
		"": cri.Signal_SIGNAL_RUNTIME_DEFAULT, "SIGTERM": cri.Signal_SIGNAL_SIGTERM, "SIGRTMIN+3": cri.Signal_SIGNAL_SIGRTMINPLUS3,
		"SIGRTMAX-1": cri.Signal_SIGNAL_SIGRTMAXMINUS1,
	} {
		if got := stopSignal(name); got != want {
			t.Errorf("%q is %v, want %v", name, got, want)
		}
	}
}

func TestResources(t *testing.T) {
	limit, quota, period := int64(64<<20), int64(5000), uint64(10000)
	score := -3
	got := resources(spec.Container{OOMScoreAdj: &score, Resources: &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &limit}, CPU: &specs.LinuxCPU{Quota: &quota, Period: &period, Cpus: "0"},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4}}, Unified: map[string]string{"memory.high": "max"},
	}})
	if got.MemoryLimitInBytes != limit || got.CpuQuota != quota || got.CpuPeriod != 10000 || got.CpusetCpus != "0" || got.OomScoreAdj != -3 ||
		got.HugepageLimits[0].GetLimit() != 4 || got.Unified["memory.high"] != "max" {
		t.Errorf("%v", got)
	}
}

func TestImage(t *testing.T) {
	for user, want := range map[string]struct {
		uid  int64
		name string
	}{"": {0, ""}, "1002": {1002, ""}, "1003:users": {1003, ""}, "www-data:www": {0, "www-data"}} {
		got := Image(image.Image{ID: "sha256:1", Names: []string{"toolbox", "a.example/b:1"}, Config: v1.ImageConfig{User: user}})
		if got.GetUid().GetValue() != want.uid || got.GetUsername() != want.name {
			t.Errorf("%q: uid %v, name %q", user, got.GetUid(), got.GetUsername())
		}
		if d := cmp.Diff([]string{"a.example/b:1", "docker.io/library/toolbox:latest"}, got.GetRepoTags()); d != "" {
			t.Error(d)
		}
	}
}

// TestMemory: what is available is what a limit leaves.
func TestMemory(t *testing.T) {
	for name, tt := range map[string]struct {
		limit, used, want uint64
	}{
		"limit":             {100, 30, 70},
		"above the limit":   {100, 130, 0},
		"no limit":          {0, 30, 0},
		"cgroup v1 without": {9223372036854771712, 30, 0},
	} {
		m := memoryUse(status.Stats{MemoryLimit: tt.limit, MemoryWorkingSet: tt.used})
		if got := m.GetAvailableBytes().GetValue(); got != tt.want {
			t.Errorf("%s: %d available, want %d", name, got, tt.want)
		}
	}
}

// TestNetworkUse: a default interface or nothing, for the kubelet takes it for granted.
func TestNetworkUse(t *testing.T) {
	if u := networkUse(1, nil); u != nil {
		t.Errorf("without interfaces: %v", u)
	}
	u := networkUse(1, []procfs.Link{{Name: "net1"}, {Name: "eth0"}})
	if len(u.GetInterfaces()) != 2 || u.GetDefaultInterface().GetName() != "eth0" {
		t.Errorf("%v", u)
	}
}

// TestMetrics: names are unique, and every value has the labels of its description.
func TestMetrics(t *testing.T) {
	labels := map[string]int{}
	for _, d := range NewFamilies().Descriptors() {
		if labels[d.GetName()] != 0 || d.GetHelp() == "" {
			t.Errorf("%s: described twice, or without a text", d.GetName())
		}
		labels[d.GetName()] = len(d.GetLabelKeys())
	}
	stall := &status.Stall{Some: status.Pressure{Total: 3_000_000}}
	g := GroupUse{Stats: status.Stats{CPUTotal: 2_500_000_000, Details: status.Details{CPUStall: stall, MemoryStall: stall, IOStall: stall}}}
	p := NewFamilies().SandboxMetrics(&PodUse{GroupUse: g, Links: []procfs.Link{{Name: "eth0"}}, Containers: []*ContainerUse{{GroupUse: g}}})
	seen := map[string]uint64{}
	for _, m := range slices.Concat(p.GetMetrics(), p.GetContainerMetrics()[0].GetMetrics()) {
		if len(m.GetLabelValues()) != labels[m.GetName()] {
			t.Errorf("%s: %q, described with %d labels", m.GetName(), m.GetLabelValues(), labels[m.GetName()])
		}
		seen[m.GetName()] = m.GetValue().GetValue()
	}
	for name := range labels {
		if _, ok := seen[name]; !ok {
			t.Errorf("%s has no value", name)
		}
	}
	if seen["container_cpu_usage_seconds_total"] != 2 || seen["container_pressure_cpu_waiting_seconds_total"] != 3 {
		t.Errorf("cpu %d s, waiting %d s", seen["container_cpu_usage_seconds_total"], seen["container_pressure_cpu_waiting_seconds_total"])
	}
}

// TestPodMetrics: a pod's values say whose they are by cAdvisor's labels: no container, no
// image, the pod's group. What a container wrote and nobody could count is in no value.
func TestPodMetrics(t *testing.T) {
	u := &PodUse{
		Pod:   status.Pod{ID: "p", Name: "web", Namespace: "shop", Cgroup: "/pods/p"},
		Links: []procfs.Link{{Name: "eth0"}}, Containers: []*ContainerUse{{Container: status.Container{ID: "c", Name: "app"}, Uncounted: true}},
	}
	labels := map[string][]string{}
	for _, f := range NewFamilies().pod(u) {
		labels[f.Name] = f.Values
	}
	for name, want := range map[string][]string{
		"container_memory_working_set_bytes":    {"", "/pods/p", "", "", "shop", "web"},
		"container_cpu_usage_seconds_total":     {"", "/pods/p", "", "", "shop", "web", "total"},
		"container_network_receive_bytes_total": {"", "/pods/p", "", "p", "shop", "web", "eth0"},
		"container_fs_usage_bytes":              nil,
		"container_spec_cpu_shares":             nil,
	} {
		if !slices.Equal(labels[name], want) {
			t.Errorf("%s: %q, want %q", name, labels[name], want)
		}
	}
	for _, f := range NewFamilies().of(u, u.Containers[0]) {
		if f.Name == "container_fs_usage_bytes" {
			t.Errorf("nobody counted, and it is %v", f.Value)
		}
	}
}

func TestImageRef(t *testing.T) {
	digests := []string{"example.com/other@sha256:1", "docker.io/library/nginx@sha256:1"}
	for name, want := range map[string]string{
		"nginx":               digests[1],
		"nginx:1":             digests[1],
		"example.com/other":   digests[0],
		"example.com/othe":    "sha256:id",
		"example.com/third":   "sha256:id",
		"sha256:id":           "sha256:id",
		"NO name of an image": "sha256:id",
	} {
		if got := ImageRef(status.Container{Image: name, ImageID: "sha256:id"}, digests); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
