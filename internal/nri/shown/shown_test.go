package shown

import (
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/testing/protocmp"

	"carob/internal/lifecycle"
	"carob/internal/plan/oci"
	"carob/internal/spec"
	"carob/internal/status"
)

func TestPod(t *testing.T) {
	got := Pod(status.Pod{
		ID: "i", Name: "n", Namespace: "ns", Pid: 7, IPs: []string{"10.0.0.1"}, Cgroup: "/p/i",
		Spec: spec.Pod{UID: "u", Labels: map[string]string{"l": "1"}, Handler: "runc", CgroupParent: "/p"},
	})
	want := &api.PodSandbox{
		Id: "i", Name: "n", Uid: "u", Namespace: "ns", Labels: map[string]string{"l": "1"}, RuntimeHandler: "runc", Pid: 7, Ips: []string{"10.0.0.1"},
		Linux: &api.LinuxPodSandbox{CgroupParent: "/p", CgroupsPath: "/p/i", Namespaces: []*api.LinuxNamespace{
			{Type: "network", Path: "/proc/7/ns/net"}, {Type: "ipc", Path: "/proc/7/ns/ipc"}, {Type: "uts", Path: "/proc/7/ns/uts"}, {Type: "user", Path: "/proc/7/ns/user"},
		}},
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
}

func TestContainer(t *testing.T) {
	score, limit := 5, int64(9)
	c := status.Container{
		ID: "i", PodID: "p", Name: "n", Image: "img", ImageID: "sha256:1", State: lifecycle.ContainerExited, ExitCode: 3, Reason: "Error",
		FinishedAt: time.Unix(1, 2), Spec: spec.Container{Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "1"}},
	}
	c.Adjusted = &spec.Container{Labels: c.Spec.Labels, Annotations: map[string]string{"a": "2"}, CDIDevices: []string{"v/c=d"}}
	got := Container(c, &specs.Spec{
		Process: &specs.Process{Args: []string{"x"}, Env: []string{"A=1"}, OOMScoreAdj: &score, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Hard: 2, Soft: 1}}},
		Mounts: []specs.Mount{
			{Destination: "/dev/shm", Type: "bind", Source: oci.ShmSource},
			{Destination: "/v", Type: "bind", Source: "/s", Options: []string{"rbind", oci.SubPathOption + "a", oci.TopOption, "ro"}},
		},
		Linux: &specs.Linux{CgroupsPath: "/g", Resources: &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}},
	})
	want := &api.Container{
		Id: "i", PodSandboxId: "p", Name: "n", State: api.ContainerState_CONTAINER_STOPPED, ExitCode: 3, StatusReason: "Error", FinishedAt: 1e9 + 2,
		Labels: map[string]string{"l": "1"}, Annotations: map[string]string{"a": "2"}, Args: []string{"x"}, Env: []string{"A=1"},
		Image: &api.Image{Name: "img", ConfigDigest: "sha256:1"}, CDIDevices: []*api.CDIDevice{{Name: "v/c=d"}},
		Rlimits: []*api.POSIXRlimit{{Type: "RLIMIT_CORE", Hard: 2, Soft: 1}},
		Mounts: []*api.Mount{
			{Destination: "/dev/shm", Type: "bind", Source: "shm"}, {Destination: "/v", Type: "bind", Source: "/s", Options: []string{"rbind", "ro"}},
		},
		Linux: &api.LinuxContainer{
			OomScoreAdj: &api.OptionalInt{Value: 5}, CgroupsPath: "/g", SeccompProfile: &api.SecurityProfile{},
			Resources: &api.LinuxResources{Memory: &api.LinuxMemory{Limit: &api.OptionalInt64{Value: 9}}},
		},
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	c.State, c.Pid, c.User = lifecycle.ContainerRunning, 4, &status.User{UID: 1, GID: 2}
	if Refresh(got, c); got.State != api.ContainerState_CONTAINER_RUNNING || got.Pid != 4 || got.User.Gid != 2 {
		t.Errorf("a running one: %v", got)
	}
	if got := Container(c, nil); got.Linux != nil || len(got.Mounts) != 0 {
		t.Errorf("without a specification: %v", got)
	}
}
