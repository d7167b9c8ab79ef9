package asked

import (
	"math"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/fault"
	"carob/internal/plan/oci"
	"carob/internal/spec"
)

func sandbox() *cri.PodSandboxConfig {
	return &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "p", Namespace: "n", Uid: "u"},
		Linux:    &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{}}},
	}
}

func TestPodRefusals(t *testing.T) {
	options := func(f func(*cri.NamespaceOption)) func(*cri.PodSandboxConfig) {
		return func(c *cri.PodSandboxConfig) { f(c.Linux.SecurityContext.NamespaceOptions) }
	}
	users := func(u *cri.UserNamespace) func(*cri.PodSandboxConfig) {
		return options(func(o *cri.NamespaceOption) { o.UsernsOptions = u })
	}
	one := []*cri.IDMapping{{HostId: 1000, Length: 10}}
	for name, tt := range map[string]struct {
		bend func(*cri.PodSandboxConfig)
		want string
	}{
		"no name":            {func(c *cri.PodSandboxConfig) { c.Metadata.Name = "" }, "config.metadata"},
		"no uid":             {func(c *cri.PodSandboxConfig) { c.Metadata.Uid = "" }, "config.metadata"},
		"windows":            {func(c *cri.PodSandboxConfig) { c.Windows = &cri.WindowsPodSandboxConfig{} }, "config.windows"},
		"port":               {func(c *cri.PodSandboxConfig) { c.PortMappings = []*cri.PortMapping{{HostPort: 70000}} }, "config.port_mappings"},
		"protocol":           {func(c *cri.PodSandboxConfig) { c.PortMappings = []*cri.PortMapping{{Protocol: 9}} }, "protocol 9"},
		"target":             {options(func(o *cri.NamespaceOption) { o.Pid = cri.NamespaceMode_TARGET }), "namespace_options.pid"},
		"user of container":  {users(&cri.UserNamespace{Mode: cri.NamespaceMode_CONTAINER}), "userns_options"},
		"user of target":     {users(&cri.UserNamespace{Mode: cri.NamespaceMode_TARGET}), "userns_options"},
		"mapped host":        {users(&cri.UserNamespace{Mode: cri.NamespaceMode_NODE, Uids: one}), "no mappings"},
		"no mapping":         {users(&cri.UserNamespace{Mode: cri.NamespaceMode_POD}), "userns_options.uids"},
		"several mappings":   {users(&cri.UserNamespace{Uids: append(one, one...), Gids: one}), "2 mappings"},
		"0 not mapped":       {users(&cri.UserNamespace{Uids: []*cri.IDMapping{{ContainerId: 1, HostId: 5, Length: 5}}, Gids: one}), "begin with 0"},
		"host's root":        {users(&cri.UserNamespace{Uids: []*cri.IDMapping{{Length: 5}}, Gids: one}), "must not be 0"},
		"beyond all ids":     {users(&cri.UserNamespace{Uids: []*cri.IDMapping{{HostId: 1<<32 - 5, Length: 9}}, Gids: one}), "above the highest"},
		"different mappings": {users(&cri.UserNamespace{Uids: one, Gids: []*cri.IDMapping{{HostId: 1, Length: 10}}}), "mapped differently"},
	} {
		t.Run(name, func(t *testing.T) {
			c := sandbox()
			tt.bend(c)
			p, err := Pod(c, "", machine())
			refused(t, p, err, tt.want)
		})
	}
	for handler, want := range map[string]string{"": "", HandlerNative: "", "runsc": "runsc", "native2": "native2"} { // the engine knows which there are
		if p, err := Pod(sandbox(), handler, machine()); err != nil || p.Handler != want {
			t.Errorf("handler %q: %q, %v", handler, p.Handler, err)
		}
	}
}

func refused(t *testing.T, got any, err error, want string) {
	t.Helper()
	if k := fault.KindOf(err); err == nil || k != fault.Invalid && k != fault.Unsupported && k != fault.Conflict || !strings.Contains(err.Error(), want) {
		t.Errorf("got %+v, %v; want a refusal that says %q", got, err, want)
	}
}

func TestContainerRefusals(t *testing.T) {
	security := func(f func(*cri.LinuxContainerSecurityContext)) func(*cri.CreateContainerRequest) {
		return func(r *cri.CreateContainerRequest) { f(r.Config.Linux.SecurityContext) }
	}
	mount := func(m *cri.Mount) func(*cri.CreateContainerRequest) {
		return func(r *cri.CreateContainerRequest) { r.Config.Mounts = []*cri.Mount{m} }
	}
	config := func(f func(*cri.ContainerConfig)) func(*cri.CreateContainerRequest) {
		return func(r *cri.CreateContainerRequest) { f(r.Config) }
	}
	img := &cri.ImageSpec{Image: "i"}
	const both = cri.MountPropagation_PROPAGATION_BIDIRECTIONAL
	for name, tt := range map[string]struct {
		bend func(*cri.CreateContainerRequest)
		want string
	}{
		"no name":            {config(func(c *cri.ContainerConfig) { c.Metadata.Name = "" }), "config.metadata"},
		"no image":           {config(func(c *cri.ContainerConfig) { c.Image = nil }), "config.image"},
		"env":                {config(func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "a=b"}} }), "config.envs"},
		"env not in UTF-8":   {config(func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "a", Value: []byte{0xff}}} }), "config.envs"},
		"device":             {config(func(c *cri.ContainerConfig) { c.Devices = []*cri.Device{{HostPath: "x"}} }), "config.devices"},
		"signal":             {config(func(c *cri.ContainerConfig) { c.StopSignal = 99 }), "config.stop_signal"},
		"log above":          {config(func(c *cri.ContainerConfig) { c.LogPath = "a/../../etc/passwd" }), "config.log_path"},
		"log elsewhere":      {config(func(c *cri.ContainerConfig) { c.LogPath = "/etc/passwd" }), "config.log_path"},
		"log nowhere":        {func(r *cri.CreateContainerRequest) { r.SandboxConfig = nil }, "log_directory"},
		"privileged":         {security(func(s *cri.LinuxContainerSecurityContext) { s.Privileged = true }), "security_context.privileged"},
		"group without user": {security(func(s *cri.LinuxContainerSecurityContext) { s.RunAsGroup = &cri.Int64Value{Value: 1} }), "run_as_group"},
		"negative user":      {security(func(s *cri.LinuxContainerSecurityContext) { s.RunAsUser = &cri.Int64Value{Value: -1} }), "run_as_user"},
		"user above 2^31":    {security(func(s *cri.LinuxContainerSecurityContext) { s.RunAsUser = &cri.Int64Value{Value: 1 << 32} }), "run_as_user"},
		"two users":          {security(func(s *cri.LinuxContainerSecurityContext) { s.RunAsUser, s.RunAsUsername = &cri.Int64Value{}, "a" }), "exclude each other"},
		"group above 2^31":   {security(func(s *cri.LinuxContainerSecurityContext) { s.SupplementalGroups = []int64{1 << 31} }), "supplemental_groups"},
		"other user ns": {security(func(s *cri.LinuxContainerSecurityContext) {
			s.NamespaceOptions = &cri.NamespaceOption{UsernsOptions: &cri.UserNamespace{Uids: []*cri.IDMapping{{HostId: 1, Length: 1}}, Gids: []*cri.IDMapping{{HostId: 1, Length: 1}}}}
		}), "userns_options"},
		"no target": {security(func(s *cri.LinuxContainerSecurityContext) {
			s.NamespaceOptions = &cri.NamespaceOption{Pid: cri.NamespaceMode_TARGET}
		}), "namespace_options.pid"},
		"profile not there": {security(func(s *cri.LinuxContainerSecurityContext) { s.Seccomp = &cri.SecurityProfile{ProfileType: 7} }), "security_context.seccomp"},
		"apparmor": {security(func(s *cri.LinuxContainerSecurityContext) {
			s.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost}
		}), "security_context.apparmor"},
		"apparmor profile": {security(func(s *cri.LinuxContainerSecurityContext) {
			s.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "absent"}
		}), "security_context.apparmor: profile \"absent\""},
		"writable image":      {mount(&cri.Mount{ContainerPath: "/a", Image: img}), "read-only"},
		"image and path":      {mount(&cri.Mount{ContainerPath: "/a", Image: img, Readonly: true, HostPath: "/b"}), "host_path"},
		"shared image":        {mount(&cri.Mount{ContainerPath: "/a", Image: img, Readonly: true, Propagation: both}), "propagation"},
		"nameless image":      {mount(&cri.Mount{ContainerPath: "/a", Image: &cri.ImageSpec{}, Readonly: true}), "no image named"},
		"sub path of nothing": {mount(&cri.Mount{ContainerPath: "/a", HostPath: "/b", ImageSubPath: "c"}), "image_sub_path"},
		"rro but writable":    {mount(&cri.Mount{ContainerPath: "/a", HostPath: "/b", RecursiveReadOnly: true}), "recursive_read_only"},
		"rro but shared":      {mount(&cri.Mount{ContainerPath: "/a", HostPath: "/b", Readonly: true, RecursiveReadOnly: true, Propagation: both}), "recursive_read_only"},
		"propagation":         {mount(&cri.Mount{ContainerPath: "/a", HostPath: "/b", Propagation: 9}), "propagation"},
		"other ids":           {mount(&cri.Mount{ContainerPath: "/a", HostPath: "/b", UidMappings: []*cri.IDMapping{{HostId: 1, Length: 1}}}), "uidMappings"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &cri.CreateContainerRequest{
				Config: &cri.ContainerConfig{
					Metadata: &cri.ContainerMetadata{Name: "c"}, Image: img, LogPath: "c.log",
					Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{}},
				},
				SandboxConfig: &cri.PodSandboxConfig{LogDirectory: "/log"},
			}
			if _, err := Container(r, &spec.Pod{}, machine()); err != nil {
				t.Fatalf("refused as it is: %v", err)
			}
			tt.bend(r)
			c, err := Container(r, &spec.Pod{}, machine())
			refused(t, c, err, tt.want)
		})
	}
}

// TestStopSignals: the engine knows every signal of the CRI, and by the kernel's number.
func TestStopSignals(t *testing.T) {
	for n, name := range cri.Signal_name {
		if n == 0 {
			continue
		}
		s, err := StopSignal(cri.Signal(n))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := oci.Signal(s); err != nil {
			t.Errorf("%s is %q: %v", name, s, err)
		}
	}
	if s, err := StopSignal(cri.Signal_SIGNAL_SIGRTMAXMINUS14); s != "SIGRTMAX-14" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
}

func TestSandboxResources(t *testing.T) {
	r := &cri.LinuxContainerResources{CpuQuota: 1000, MemoryLimitInBytes: 1 << 20}
	got, err := Sandbox(r, &cri.LinuxContainerResources{CpuQuota: 500, CpuShares: 2, MemoryLimitInBytes: 1 << 10}, machine())
	if err != nil || *got.CPU.Quota != 1500 || got.CPU.Shares != nil || *got.Memory.Limit != 1<<20+1<<10 {
		t.Errorf("%+v, %v", got, err)
	}
	if r.CpuQuota != 1000 {
		t.Error("the request was changed")
	}
	got, err = Sandbox(r, &cri.LinuxContainerResources{CpuQuota: -1}, machine())
	if err != nil || *got.CPU.Quota != 1000 {
		t.Errorf("overhead without a quota: %+v, %v", got, err)
	}
	if _, err := Sandbox(r, &cri.LinuxContainerResources{MemoryLimitInBytes: math.MaxInt64}, machine()); !fault.Is(err, fault.Invalid) {
		t.Errorf("overflow: %v", err)
	}
	if _, err := Sandbox(nil, nil, machine()); !fault.Is(err, fault.Invalid) {
		t.Errorf("nothing: %v", err)
	}
}

// TestSwap: no swap unless asked for, and nothing to limit where swap is not accounted.
func TestSwap(t *testing.T) {
	plain := machine()
	blind := machine()
	blind.Facts.SwapAccounting = false
	for name, tt := range map[string]struct {
		limit, swap int64
		h           Host
		want        int64 // 0: none said
	}{
		"none asked":             {10, 0, plain, 10},
		"asked":                  {10, 20, plain, 20},
		"not accounted":          {10, 0, blind, 0},
		"the kubelet's":          {10, 10, blind, 0},
		"asked, not accounted":   {10, 20, blind, 20}, // refused later, by name
		"no limit, no statement": {0, 0, plain, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, err := Resources(&cri.LinuxContainerResources{MemoryLimitInBytes: tt.limit, MemorySwapLimitInBytes: tt.swap}, tt.h)
			if err != nil {
				t.Fatal(err)
			}
			var swap int64
			if got.Memory != nil && got.Memory.Swap != nil {
				swap = *got.Memory.Swap
			}
			if swap != tt.want {
				t.Errorf("swap %d, want %d", swap, tt.want)
			}
		})
	}
}
