// Package shown says in NRI's words what pods and containers are. It is pure.
package shown

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/nri/pkg/api"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/lifecycle"
	"carob/internal/plan/oci"
	"carob/internal/spec"
	"carob/internal/status"
)

// Pod is a pod.
func Pod(p status.Pod) *api.PodSandbox {
	out := &api.PodSandbox{
		Id: p.ID, Name: p.Name, Uid: p.Spec.UID, Namespace: p.Namespace, Labels: p.Spec.Labels, Annotations: p.Spec.Annotations,
		RuntimeHandler: p.Spec.Handler, Pid: uint32(p.Pid), Ips: p.IPs,
		Linux: &api.LinuxPodSandbox{
			CgroupParent: p.Spec.CgroupParent, CgroupsPath: p.Cgroup, PodResources: resources(p.Spec.Resources),
		},
	}
	if p.Pid > 0 {
		for _, n := range [...]struct{ kind, file string }{{"network", "net"}, {"ipc", "ipc"}, {"uts", "uts"}, {"user", "user"}} {
			out.Linux.Namespaces = append(out.Linux.Namespaces, &api.LinuxNamespace{Type: n.kind, Path: fmt.Sprintf("/proc/%d/ns/%s", p.Pid, n.file)})
		}
	}
	return out
}

// resources keeps nothing nothing.
func resources(r *specs.LinuxResources) *api.LinuxResources {
	if r == nil {
		return nil
	}
	return api.FromOCILinuxResources(r, nil)
}

// Container is a container and, unless it is nil, what it is made from.
func Container(c status.Container, world *specs.Spec) *api.Container {
	wish := c.Wish()
	out := &api.Container{
		Id: c.ID, PodSandboxId: c.PodID, Name: c.Name, Labels: wish.Labels, Annotations: wish.Annotations, Args: c.Command,
		Image: &api.Image{Name: c.Image, ConfigDigest: c.ImageID},
	}
	for _, name := range wish.CDIDevices {
		out.CDIDevices = append(out.CDIDevices, &api.CDIDevice{Name: name})
	}
	if world != nil {
		process(out, world.Process)
		out.Mounts = mounts(world.Mounts)
		out.Hooks = api.FromOCIHooks(world.Hooks)
		linux(out, world.Linux)
		out.Linux.SeccompProfile = seccomp(wish.Security)
	}
	Refresh(out, c)
	return out
}

// Refresh brings up to date what changes in a container's life.
func Refresh(out *api.Container, c status.Container) {
	out.State = state(c)
	out.Pid = uint32(c.Pid)
	out.CreatedAt, out.StartedAt, out.FinishedAt = nanoseconds(c.CreatedAt), nanoseconds(c.StartedAt), nanoseconds(c.FinishedAt)
	out.ExitCode, out.StatusReason, out.StatusMessage = int32(c.ExitCode), c.Reason, c.Message
	if c.User != nil {
		out.User = &api.User{Uid: c.User.UID, Gid: c.User.GID, AdditionalGids: c.User.Groups}
	}
}

// End brings up to date a container that has ended, by what its event says.
func End(out *api.Container, exit status.Event) {
	code, _ := strconv.Atoi(exit.Attributes["code"]) // the engine's own
	out.State, out.Pid = api.ContainerState_CONTAINER_STOPPED, 0
	out.FinishedAt, out.ExitCode, out.StatusReason = nanoseconds(exit.Time), int32(code), exit.Attributes["reason"]
}

func nanoseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func state(c status.Container) api.ContainerState {
	switch {
	case c.Paused:
		return api.ContainerState_CONTAINER_PAUSED
	case c.State == lifecycle.ContainerRunning:
		return api.ContainerState_CONTAINER_RUNNING
	case c.State == lifecycle.ContainerExited:
		return api.ContainerState_CONTAINER_STOPPED
	case c.State == lifecycle.ContainerCreated:
		return api.ContainerState_CONTAINER_CREATED
	}
	return api.ContainerState_CONTAINER_UNKNOWN
}

func process(out *api.Container, p *specs.Process) {
	if p == nil {
		return
	}
	out.Args, out.Env = p.Args, p.Env
	for _, l := range p.Rlimits {
		out.Rlimits = append(out.Rlimits, &api.POSIXRlimit{Type: l.Type, Hard: l.Hard, Soft: l.Soft})
	}
	out.Linux = &api.LinuxContainer{
		OomScoreAdj: api.Int(p.OOMScoreAdj), IoPriority: api.FromOCILinuxIOPriority(p.IOPriority), Scheduler: api.FromOCILinuxScheduler(p.Scheduler),
	}
}

func linux(out *api.Container, l *specs.Linux) {
	if out.Linux == nil {
		out.Linux = &api.LinuxContainer{}
	}
	if l == nil {
		return
	}
	out.Linux.Namespaces = api.FromOCILinuxNamespaces(l.Namespaces)
	out.Linux.Devices = api.FromOCILinuxDevices(l.Devices)
	out.Linux.Resources = resources(l.Resources)
	out.Linux.CgroupsPath = l.CgroupsPath
}

// mounts leaves out what carob says to itself.
func mounts(all []specs.Mount) []*api.Mount {
	out := api.FromOCIMounts(all)
	for _, m := range out {
		if m.Source == oci.ShmSource {
			m.Source = "shm"
		}
		m.Options = slices.DeleteFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "carob:") })
	}
	return out
}

func seccomp(s spec.Security) *api.SecurityProfile {
	switch {
	case s.Seccomp == "unconfined" || s.Privileged && s.Seccomp == "":
		return &api.SecurityProfile{ProfileType: api.SecurityProfile_UNCONFINED}
	case s.Seccomp == "" || s.Seccomp == "default":
		return &api.SecurityProfile{ProfileType: api.SecurityProfile_RUNTIME_DEFAULT}
	}
	return &api.SecurityProfile{ProfileType: api.SecurityProfile_LOCALHOST}
}
