package shown

import (
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
)

// reasonStart is the reason of a container whose process could not be started.
const reasonStart = "StartError"

// ContainerState is the CRI's word. A container that could not be started has ended,
// for the kubelet: it makes a new one.
func ContainerState(c status.Container) cri.ContainerState {
	switch {
	case c.State == lifecycle.ContainerRunning:
		return cri.ContainerState_CONTAINER_RUNNING
	case c.State == lifecycle.ContainerExited, c.Reason == reasonStart:
		return cri.ContainerState_CONTAINER_EXITED
	case c.State == lifecycle.ContainerCreated:
		return cri.ContainerState_CONTAINER_CREATED
	}
	return cri.ContainerState_CONTAINER_UNKNOWN
}

// Container is a container in a list.
func Container(c status.Container) *cri.Container {
	return &cri.Container{
		Id: c.ID, PodSandboxId: c.PodID, Metadata: containerMetadata(c), State: ContainerState(c), CreatedAt: c.CreatedAt.UnixNano(),
		Image: &cri.ImageSpec{Image: c.Image, UserSpecifiedImage: c.Image}, ImageRef: c.ImageID, ImageId: c.ImageID,
		Labels: c.Spec.Labels, Annotations: c.Spec.Annotations,
	}
}

func containerMetadata(c status.Container) *cri.ContainerMetadata {
	return &cri.ContainerMetadata{Name: c.Name, Attempt: c.Spec.Attempt}
}

// ContainerStatus is a container alone.
func ContainerStatus(c status.Container) *cri.ContainerStatus {
	out := &cri.ContainerStatus{
		Id: c.ID, Metadata: containerMetadata(c), State: ContainerState(c),
		CreatedAt: c.CreatedAt.UnixNano(), StartedAt: nano(c.StartedAt), FinishedAt: nano(c.FinishedAt),
		ExitCode: int32(c.ExitCode), Image: &cri.ImageSpec{Image: c.Image, UserSpecifiedImage: c.Image}, ImageRef: c.ImageID, ImageId: c.ImageID,
		Reason: c.Reason, Message: c.Message, Labels: c.Spec.Labels, Annotations: c.Spec.Annotations,
		LogPath: c.LogPath, Resources: &cri.ContainerResources{Linux: resources(c.Spec)}, StopSignal: stopSignal(c.Spec.StopSignal),
	}
	for _, m := range c.Spec.Mounts {
		out.Mounts = append(out.Mounts, mount(m))
	}
	if u := c.User; u != nil {
		who := &cri.LinuxContainerUser{Uid: int64(u.UID), Gid: int64(u.GID)}
		for _, g := range u.Groups {
			who.SupplementalGroups = append(who.SupplementalGroups, int64(g))
		}
		out.User = &cri.ContainerUser{Linux: who}
	}
	if out.State == cri.ContainerState_CONTAINER_EXITED && out.FinishedAt == 0 {
		out.FinishedAt = out.CreatedAt // it never ran
	}
	return out
}

func mount(m spec.Mount) *cri.Mount {
	out := &cri.Mount{ContainerPath: m.Target, HostPath: m.Source, Readonly: m.ReadOnly, MountOptions: m.Options}
	switch m.Propagation {
	case "rslave":
		out.Propagation = cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
	case "rshared":
		out.Propagation = cri.MountPropagation_PROPAGATION_BIDIRECTIONAL
	}
	if m.Type == spec.Image {
		out.HostPath, out.Image, out.ImageSubPath = "", &cri.ImageSpec{Image: m.Source, ImageRef: m.Source}, m.SubPath
		return out
	}
	out.RecursiveReadOnly = m.ReadOnly && !m.ReadOnlyTop
	return out
}

// resources are the limits that were asked for last.
func resources(c spec.Container) *cri.LinuxContainerResources {
	out := &cri.LinuxContainerResources{}
	if c.OOMScoreAdj != nil {
		out.OomScoreAdj = int64(*c.OOMScoreAdj)
	}
	r := c.Resources
	if r == nil {
		return out
	}
	if r.CPU != nil {
		out.CpuPeriod, out.CpuQuota, out.CpuShares = int64(value(r.CPU.Period)), value(r.CPU.Quota), int64(value(r.CPU.Shares))
		out.CpusetCpus, out.CpusetMems = r.CPU.Cpus, r.CPU.Mems
	}
	if r.Memory != nil {
		out.MemoryLimitInBytes, out.MemorySwapLimitInBytes = value(r.Memory.Limit), value(r.Memory.Swap)
	}
	out.HugepageLimits, out.Unified = hugepages(r.HugepageLimits), maps.Clone(r.Unified)
	return out
}

func hugepages(in []specs.LinuxHugepageLimit) []*cri.HugepageLimit {
	var out []*cri.HugepageLimit
	for _, l := range in {
		out = append(out, &cri.HugepageLimit{PageSize: l.Pagesize, Limit: l.Limit})
	}
	return out
}

// stopSignal is the signal that was asked for; RUNTIME_DEFAULT is the image's, or
// SIGTERM.
func stopSignal(name string) cri.Signal {
	if name == "" {
		return cri.Signal_SIGNAL_RUNTIME_DEFAULT
	}
	return cri.Signal(cri.Signal_value["SIGNAL_"+strings.NewReplacer("+", "PLUS", "-", "MINUS").Replace(name)])
}

// Chosen tells whether labels has all of a selector's.
func Chosen(labels, selector map[string]string) bool {
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		if have, ok := labels[key]; !ok || have != selector[key] {
			return false
		}
	}
	return true
}

func value[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}
