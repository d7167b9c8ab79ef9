package asked

import (
	"testing"

	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/fault"
)

// FuzzRequests: whatever comes over the wire is translated or refused by name; it is never
// our own fault, and never a panic.
func FuzzRequests(f *testing.F) {
	for _, m := range []*cri.CreateContainerRequest{
		{},
		{
			SandboxConfig: &cri.PodSandboxConfig{
				Metadata: &cri.PodSandboxMetadata{Name: "p", Uid: "u", Namespace: "n"}, LogDirectory: "/log", Hostname: "h",
				DnsConfig: &cri.DNSConfig{Servers: []string{"1.1.1.1"}}, PortMappings: []*cri.PortMapping{{ContainerPort: 1, HostPort: 1}},
				Linux: &cri.LinuxPodSandboxConfig{
					CgroupParent: "/a", Sysctls: map[string]string{"net.a": "1"},
					SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{UsernsOptions: &cri.UserNamespace{
						Uids: []*cri.IDMapping{{HostId: 65536, Length: 65536}}, Gids: []*cri.IDMapping{{HostId: 65536, Length: 65536}},
					}}},
				},
			},
			Config: &cri.ContainerConfig{
				Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "i"}, Command: []string{"a"}, LogPath: "l",
				Envs: []*cri.KeyValue{{Key: "a", Value: []byte("b")}}, Mounts: []*cri.Mount{{ContainerPath: "/m", HostPath: "/h", Readonly: true}},
				Devices: []*cri.Device{{HostPath: "/dev/null", ContainerPath: "/dev/x", Permissions: "r"}}, StopSignal: 15,
				Linux: &cri.LinuxContainerConfig{
					Resources:       &cri.LinuxContainerResources{CpuQuota: 1, MemoryLimitInBytes: 1, HugepageLimits: []*cri.HugepageLimit{{PageSize: "2MB"}}, Unified: map[string]string{"memory.high": "1"}},
					SecurityContext: &cri.LinuxContainerSecurityContext{RunAsUser: &cri.Int64Value{Value: 1}, Capabilities: &cri.Capability{AddCapabilities: []string{"ALL"}}, Seccomp: &cri.SecurityProfile{}},
				},
			},
		},
	} {
		wire, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var r cri.CreateContainerRequest
		if proto.Unmarshal(wire, &r) != nil {
			return
		}
		pod, err := Pod(r.GetSandboxConfig(), HandlerNative, machine())
		named(t, err)
		_, err = Container(&r, &pod, machine())
		named(t, err)
		_, err = Sandbox(r.GetConfig().GetLinux().GetResources(), nil, machine())
		named(t, err)
	})
}

func named(t *testing.T, err error) {
	t.Helper()
	if err != nil && fault.KindOf(err) == fault.Internal {
		t.Errorf("our own fault: %v", err)
	}
}
