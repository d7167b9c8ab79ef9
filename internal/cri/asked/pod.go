package asked

import (
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/spec"
)

// Pod translates RunPodSandbox.
func Pod(c *cri.PodSandboxConfig, handler string, h Host) (spec.Pod, error) {
	m := c.GetMetadata()
	if m.GetName() == "" || m.GetNamespace() == "" || m.GetUid() == "" {
		return spec.Pod{}, invalid("config.metadata", "name, namespace and uid are required")
	}
	if c.GetWindows() != nil {
		return spec.Pod{}, unsupported("config.windows", "this is Linux")
	}
	security := c.GetLinux().GetSecurityContext()
	namespaces, ids, err := podNamespaces(security.GetNamespaceOptions())
	if err != nil {
		return spec.Pod{}, err
	}
	if handler == HandlerNative {
		handler = ""
	}
	ports, err := ports(c.GetPortMappings())
	if err != nil {
		return spec.Pod{}, err
	}
	p := spec.Pod{
		Name: m.GetName(), Namespace: m.GetNamespace(), UID: m.GetUid(), Attempt: m.GetAttempt(), Owner: spec.OwnerCRI,
		Labels: c.GetLabels(), Annotations: c.GetAnnotations(),
		Hostname: c.GetHostname(), Namespaces: namespaces, UserIDs: ids, Privileged: security.GetPrivileged(),
		Sysctls: c.GetLinux().GetSysctls(), CgroupParent: c.GetLinux().GetCgroupParent(),
		Handler: handler, Ports: ports, DNS: dns(c.GetDnsConfig()), SELinux: selinux(security.GetSelinuxOptions(), h),
	}
	if namespaces.UTS == spec.Host {
		p.Hostname = h.Hostname
	}
	return p, nil
}

func dns(c *cri.DNSConfig) *spec.DNS {
	if c == nil {
		return nil
	}
	return &spec.DNS{Nameservers: c.GetServers(), Searches: c.GetSearches(), Options: c.GetOptions()}
}

func ports(in []*cri.PortMapping) ([]spec.Port, error) {
	const highest = 65535
	out := make([]spec.Port, 0, len(in))
	for _, p := range in {
		if p.GetContainerPort() < 0 || p.GetContainerPort() > highest || p.GetHostPort() < 0 || p.GetHostPort() > highest {
			return nil, invalid("config.port_mappings", "ports %d, %d are not from 0 to %d", p.GetContainerPort(), p.GetHostPort(), highest)
		}
		protocol, known := cri.Protocol_name[int32(p.GetProtocol())]
		if !known {
			return nil, invalid("config.port_mappings", "protocol %d is unknown", p.GetProtocol())
		}
		out = append(out, spec.Port{ContainerPort: int(p.GetContainerPort()), HostPort: int(p.GetHostPort()), HostIP: p.GetHostIp(), Protocol: protocol})
	}
	return out, nil
}
