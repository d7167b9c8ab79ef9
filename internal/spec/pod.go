package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Pod asks for a sandbox: the environment that its containers share
// (CRI PodSandboxConfig, Kubernetes PodSpec).
type Pod struct {
	// Name is unique among the pods of its Namespace; empty lets the engine choose.
	Name string `json:"name,omitempty"`
	// Namespace is the Kubernetes namespace, "default" when empty. It has nothing
	// to do with the kernel's namespaces.
	Namespace string `json:"namespace,omitempty"`
	// UID and Attempt complete the CRI's identity of a sandbox.
	UID     string `json:"uid,omitempty"`
	Attempt uint32 `json:"attempt,omitempty"`
	// Owner says who asked: "cli", "apply" or OwnerCRI.
	Owner string `json:"owner,omitempty"`
	// Solo marks the pod that `carob run` makes around a single container: it goes
	// when its container goes, has no cgroup level of its own, and `carob pods`
	// lists it only on demand.
	Solo bool `json:"solo,omitempty"`

	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	// Hostname of the pod's UTS namespace; the pod's name when empty.
	Hostname string `json:"hostname,omitempty"`
	// Namespaces says per kind whether the sandbox gets its own, the host's or
	// another container's. See Namespaces for the defaults.
	Namespaces Namespaces `json:"namespaces,omitzero"`
	// Privileged lets containers be privileged; whoever asks for those in the CRI's name
	// checks it.
	Privileged bool `json:"privileged,omitempty"`
	// UserIDs are the host's ids that a user namespace of the pod's own maps from 0 on;
	// zero lets the engine choose a range that nobody else has.
	UserIDs IDRange `json:"userIDs,omitzero"`
	// Sysctls are applied in the sandbox's namespaces; only namespaced ones whose
	// namespace the pod owns are accepted (CVE-2022-0532).
	Sysctls map[string]string `json:"sysctls,omitempty"`
	// CgroupParent is an absolute cgroup path; "/carob" when empty.
	CgroupParent string `json:"cgroupParent,omitempty"`
	// Resources limit the pod as a whole, on the pod's own cgroup.
	Resources *specs.LinuxResources `json:"resources,omitempty"`
	// ShmSize is the size of the shared /dev/shm in bytes; 0 means 64 MiB.
	ShmSize int64 `json:"shmSize,omitempty"`
	// Handler names the runtime that runs the pod; empty is "native".
	Handler string `json:"handler,omitempty"`
	// Networks are those the pod joins when its network namespace is its own; empty is
	// the default network. The first one has the default route.
	Networks []Join `json:"networks,omitempty"`
	// Ports are what containers listen on; those with a HostPort are reachable at the
	// host's addresses.
	Ports []Port `json:"ports,omitempty"`
	// Hosts are extra /etc/hosts lines (hostAliases, --add-host).
	Hosts []HostAlias `json:"hosts,omitempty"`
	// DNS changes the host's resolver configuration when set.
	DNS *DNS `json:"dns,omitempty"`
	// SELinux stands for what containers leave out of theirs: Security.SELinux.
	SELinux string `json:"seLinux,omitempty"`
	// StopTimeout is the pod's grace period in seconds; nil means 10.
	StopTimeout *int `json:"stopTimeout,omitempty"`
}

// OwnerCRI is the owner of the kubelet's pods.
const OwnerCRI = "cri"

// IDRange is Count ids of the host from First on, for users and groups alike.
type IDRange struct {
	First uint32 `json:"first"`
	Count uint32 `json:"count"`
}

// Join asks for one network.
type Join struct {
	Network string `json:"network"`
	// IPs are fixed addresses, one per family at most; chosen by the network when empty.
	IPs []string `json:"ips,omitempty"`
	// MAC is the interface's hardware address; chosen by the network when empty.
	MAC string `json:"mac,omitempty"`
	// Aliases are further names by which the network's members find the pod.
	Aliases []string `json:"aliases,omitempty"`
}

// Network asks for a network of this host.
type Network struct {
	Name string `json:"name"`
	// Subnets are one per family at most; none lets carob choose.
	Subnets []string          `json:"subnets,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
}

// AnyPort as a Port's HostPort lets the network choose a free one.
const AnyPort = -1

// Port is a port a container listens on.
type Port struct {
	Name          string `json:"name,omitempty"`
	ContainerPort int    `json:"containerPort"`
	// HostPort is 0 for a port that is not published, AnyPort for one that the network
	// chooses. HostIP is the host's address it is for: all when empty, 0.0.0.0 and ::
	// are all of a family.
	HostPort int    `json:"hostPort,omitempty"`
	HostIP   string `json:"hostIP,omitempty"`
	// Protocol is "TCP" (also when empty), "UDP" or "SCTP".
	Protocol string `json:"protocol,omitempty"`
}

// HostGateway, in the place of an alias's IP, is the host as the pod reaches it.
const HostGateway = "host-gateway"

// HostAlias is one line of /etc/hosts.
type HostAlias struct {
	IP        string   `json:"ip"`
	Hostnames []string `json:"hostnames"`
}

// DNSPolicy says what becomes of the configuration there is without the pod's own:
// the network's and the host's.
type DNSPolicy string

// The policies of a pod's DNS.
const (
	// DNSOnly takes nothing of it (Kubernetes' None, the CRI).
	DNSOnly DNSPolicy = ""
	// DNSFill takes it where the pod's own says nothing (Docker's flags).
	DNSFill DNSPolicy = "fill"
	// DNSAdd adds the pod's own to it (Kubernetes' dnsConfig).
	DNSAdd DNSPolicy = "add"
)

// DNS is the content of resolv.conf.
type DNS struct {
	Policy      DNSPolicy `json:"policy,omitempty"`
	Nameservers []string  `json:"nameservers,omitempty"`
	Searches    []string  `json:"searches,omitempty"`
	Options     []string  `json:"options,omitempty"`
}
