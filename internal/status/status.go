// Package status holds what is: pods and containers as list, inspect, stats and
// events report them. Values are immutable snapshots; whoever receives one may
// keep it and must not change what it points to. What was asked for is package
// spec. The package is pure.
package status

import (
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/lifecycle"
	"carob/internal/spec"
)

// Pod is one pod as it is now.
type Pod struct {
	ID        string             `json:"id"`
	Name      string             `json:"name"`
	Namespace string             `json:"namespace"`
	State     lifecycle.PodState `json:"state"`
	// Step names what a running operation is doing right now ("network: attach"),
	// and since when; both are zero when nothing runs.
	Step      string    `json:"step,omitempty"`
	StepSince time.Time `json:"stepSince,omitzero"`
	CreatedAt time.Time `json:"createdAt"`
	// Pid is the pod supervisor's, 0 when there is none.
	Pid int `json:"pid,omitempty"`
	// Cgroup is the pod's cgroup path relative to each hierarchy.
	Cgroup string `json:"cgroup"`
	// Namespaces are the sandbox's, kind → "kind:[inode]", as the kernel shows them.
	Namespaces map[string]string `json:"namespaces,omitempty"`
	// UserMapping is the pod's user namespace mapping; zero for the host's.
	UserMapping IDMapping `json:"userMapping,omitzero"`
	// Level is the part of SELinux labels that the pod's containers have and others have
	// not, "s0:c1,c2"; "" where SELinux or its labels for containers are missing.
	Level string `json:"seLinuxLevel,omitempty"`
	// Connections are the pod's networks, that of the default route first; IPs are all
	// the addresses they gave it. A pod in another's network has that one's.
	Connections []Connection `json:"connections,omitempty"`
	IPs         []string     `json:"ips,omitempty"`
	// Spec is what was asked.
	Spec       spec.Pod `json:"spec"`
	Containers []string `json:"containers,omitempty"`
}

// Connection is a pod's part in one network.
type Connection struct {
	Network string `json:"network"`
	// Interface is the name inside the pod.
	Interface string `json:"interface"`
	MAC       string `json:"mac,omitempty"`
	// IPs are the pod's addresses, without prefix length.
	IPs []string `json:"ips,omitempty"`
	// Gateways are the host's addresses in the network, one per family.
	Gateways []string `json:"gateways,omitempty"`
	// Aliases are further names of the pod in this network.
	Aliases []string `json:"aliases,omitempty"`
	// Ports are those of the host that lead here, with their numbers.
	Ports []spec.Port `json:"ports,omitempty"`
	// DNS is what the network says about names; nil says nothing.
	DNS *spec.DNS `json:"dns,omitempty"`
	// Names says that the servers of DNS know the network's members by name and forward
	// everything else, to the servers the pod asked for if it did: the pod asks only them.
	Names bool `json:"names,omitempty"`
}

// Network is a network of this host.
type Network struct {
	Name string `json:"name"`
	// Driver is "" for the built-in network, "cni" for plugins.
	Driver string `json:"driver,omitempty"`
	// Subnets are one per family, Gateways the host's address in each.
	Subnets   []string          `json:"subnets"`
	Gateways  []string          `json:"gateways"`
	Labels    map[string]string `json:"labels,omitempty"`
	CreatedAt time.Time         `json:"createdAt"`
	Members   []Member          `json:"members,omitempty"`
}

// Volume is a directory that containers mount.
type Volume struct {
	Name string `json:"name"`
	// Mountpoint is its directory on the host.
	Mountpoint string    `json:"mountpoint"`
	CreatedAt  time.Time `json:"createdAt"`
	// Anonymous ones go with the container Owner, an ID; one without is what a removal has left.
	Anonymous bool   `json:"anonymous,omitempty"`
	Owner     string `json:"owner,omitempty"`
	// Removing says that its removal has begun: what is still there cannot be used.
	Removing bool `json:"removing,omitempty"`
	// Containers are those that use it, running or not, by name.
	Containers []string `json:"containers,omitempty"`
}

// Member is a pod in a network.
type Member struct {
	PodID   string   `json:"podID"`
	Pod     string   `json:"pod"`
	Aliases []string `json:"aliases,omitempty"`
	IPs     []string `json:"ips"`
	// Interface is the pod's end of the link, Link the host's.
	Interface string `json:"interface"`
	Link      string `json:"link"`
}

// IPs returns the addresses of all connections.
func IPs(all []Connection) (ips []string) {
	for _, c := range all {
		ips = append(ips, c.IPs...)
	}
	return ips
}

// Connect notes the pod's connections and their addresses.
func (p *Pod) Connect(all []Connection) { p.Connections, p.IPs = all, IPs(all) }

// IDMapping maps Size ids starting at 0 in the pod to HostID on the host, for
// users and groups alike.
type IDMapping struct {
	HostID uint32 `json:"hostID"`
	Size   uint32 `json:"size"`
}

// Container is one container as it is now.
type Container struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	PodID   string `json:"podID"`
	PodName string `json:"podName"`
	// Owner is the pod's: see spec.Pod.
	Owner   string                   `json:"owner,omitempty"`
	Image   string                   `json:"image"`
	ImageID string                   `json:"imageID"`
	State   lifecycle.ContainerState `json:"state"`
	Paused  bool                     `json:"paused,omitempty"`
	Step    string                   `json:"step,omitempty"`
	// StepSince is when the running operation reached Step.
	StepSince time.Time `json:"stepSince,omitzero"`
	Pid       int       `json:"pid,omitempty"`
	// Command is the argument vector that runs, image defaults included.
	Command    []string  `json:"command,omitempty"`
	CreatedAt  time.Time `json:"createdAt"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// ExitCode is 128+N for a process killed by signal N.
	ExitCode int `json:"exitCode"`
	// Reason is "", "Completed", "Error", "OOMKilled", "StartError" or "Lost" (the
	// exit code could not be learned).
	Reason       string `json:"reason,omitempty"`
	Message      string `json:"message,omitempty"`
	OOMKilled    bool   `json:"oomKilled,omitempty"`
	RestartCount int    `json:"restartCount,omitempty"`
	LogPath      string `json:"logPath,omitempty"`
	Cgroup       string `json:"cgroup,omitempty"`
	// User is who the present or last process was started as.
	User *User `json:"user,omitempty"`
	// Spec is what was asked. Adjusted, unless it is nil, is what the container is made from in
	// its place: Spec with CDI devices, and with what NRI plugins have changed.
	Spec     spec.Container  `json:"spec"`
	Adjusted *spec.Container `json:"adjusted,omitempty"`
}

// Wish is what the container is made from.
func (c *Container) Wish() *spec.Container {
	if c.Adjusted != nil {
		return c.Adjusted
	}
	return &c.Spec
}

// Runs tells whether the container's process runs, or is paused.
func (c Container) Runs() bool { return c.State == lifecycle.ContainerRunning }

// User is who a process is started as, inside its user namespace.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
}

// Exit is how a process ended.
type Exit struct {
	Code      int       `json:"code"`
	Signal    int       `json:"signal,omitempty"`
	OOMKilled bool      `json:"oomKilled,omitempty"`
	At        time.Time `json:"at"`
}

// Reason is the word of Container.Reason.
func (x Exit) Reason() string {
	switch {
	case x.OOMKilled:
		return "OOMKilled"
	case x.Code == 0:
		return "Completed"
	}
	return "Error"
}

// Observed is what the kernel shows of a running container, read on request from
// /proc and the cgroup file system, never from carob's own records.
type Observed struct {
	// Namespaces is kind → "kind:[inode]" of the container's first process.
	Namespaces map[string]string `json:"namespaces,omitempty"`
	// Resources are the limits read back from the container's cgroup.
	Resources *specs.LinuxResources `json:"resources,omitempty"`
	// Cgroups is controller → directory of that cgroup.
	Cgroups      map[string]string `json:"cgroups,omitempty"`
	Capabilities map[string]string `json:"capabilities,omitempty"`
	NoNewPrivs   bool              `json:"noNewPrivs"`
	SeccompMode  int               `json:"seccompMode"`
	UID          uint32            `json:"uid"`
	UIDMap       string            `json:"uidMap,omitempty"`
	OOMScoreAdj  int               `json:"oomScoreAdj"`
	// Differences say, one line each, where the kernel's answer is not what was
	// asked: "resources.memory.limit: asked 268435456, kernel shows 268431360".
	Differences []string `json:"differences,omitempty"`
}

// Stats is a container's use of resources at one instant.
type Stats struct {
	ID   string    `json:"id"`
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	// CPU time since the start, in nanoseconds.
	CPUTotal     uint64 `json:"cpuTotal"`
	CPUThrottled uint64 `json:"cpuThrottled"`
	// Memory in bytes; MemoryLimit is 0 when unlimited.
	MemoryUsage      uint64 `json:"memoryUsage"`
	MemoryWorkingSet uint64 `json:"memoryWorkingSet"`
	MemoryLimit      uint64 `json:"memoryLimit"`
	SwapUsage        uint64 `json:"swapUsage"`
	OOMKills         uint64 `json:"oomKills"`
	// Pids counts threads, too; PidsLimit is 0 when unlimited.
	Pids      uint64 `json:"pids"`
	PidsLimit uint64 `json:"pidsLimit"`
	IORead    uint64 `json:"ioRead"`
	IOWrite   uint64 `json:"ioWrite"`
	// Network is what the interfaces of its network namespace have carried, which it may
	// share; nil for the host's.
	Network *NetworkUse `json:"network,omitempty"`
	// Details are what only the CRI shows.
	Details Details `json:"-"`
}

// NetworkUse is traffic in bytes, without loopback's.
type NetworkUse struct {
	Received uint64 `json:"received"`
	Sent     uint64 `json:"sent"`
}

// Details are further numbers of a group; those that the kernel does not have are
// zero or nil.
type Details struct {
	// CPU time in nanoseconds; periods of the CPU limit are counts.
	CPUUser, CPUSystem             uint64
	CPUPeriods, CPUThrottled       uint64
	MemoryRSS, MemoryCache         uint64 // bytes
	SwapLimit                      uint64 // bytes, 0 is none
	PageFaults, MajorFaults        uint64
	IOReads, IOWrites              uint64 // operations
	CPUStall, MemoryStall, IOStall *Stall
}

// Census counts what the processes of a group have.
type Census struct{ Processes, Threads, Descriptors, Sockets uint64 }

// Add adds another group's.
func (c *Census) Add(o Census) {
	c.Processes += o.Processes
	c.Threads += o.Threads
	c.Descriptors += o.Descriptors
	c.Sockets += o.Sockets
}

// Extremes are what a group's memory has come to, in bytes; Failures counts how often the
// limit was met.
type Extremes struct{ Peak, Kernel, Mapped, Failures uint64 }

// Stall is pressure stall information: how long some, or all, tasks waited.
type Stall struct{ Some, Full Pressure }

// Pressure is per cent of the last 10, 60 and 300 seconds, and microseconds in total.
type Pressure struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64
}

// Process is one process of a container, as `carob top` shows it.
type Process struct {
	Pid     int    `json:"pid"`
	PPid    int    `json:"ppid"`
	UID     uint32 `json:"uid"`
	State   string `json:"state"`
	RSS     uint64 `json:"rss"`
	CPU     uint64 `json:"cpu"`
	Started int64  `json:"started"`
	Command string `json:"command"`
	// Comm is the name of its program, cut by the kernel to 15 bytes.
	Comm string `json:"comm"`
	// PGID and SID are its process group and session, TTY its terminal, "" if it has none;
	// Foreground is whether its group has that.
	PGID       int    `json:"pgid"`
	SID        int    `json:"sid"`
	TTY        string `json:"tty,omitempty"`
	Foreground bool   `json:"foreground,omitempty"`
	Nice       int    `json:"nice"`
	Threads    int    `json:"threads"`
	VSZ        uint64 `json:"vsz"` // bytes
}

// Event is one change of state. Events of one pod are in order; Seq is unique and
// rising over one life of the daemon.
type Event struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	// Type is "pod" or "container"; Action is create, start, exit, oom, stop, kill,
	// pause, unpause, update, remove, exec, step.
	Type        string            `json:"type"`
	Action      string            `json:"action"`
	PodID       string            `json:"podID"`
	PodName     string            `json:"podName,omitempty"`
	ContainerID string            `json:"containerID,omitempty"`
	Name        string            `json:"name,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
}

// ContainerInspection is all that is known of a container: what was asked, what it
// was made from, and what the kernel shows.
type ContainerInspection struct {
	Container
	// Observed is zero unless the container runs.
	Observed Observed `json:"observed,omitzero"`
	// OCI is what the process was made from, or would be.
	OCI *specs.Spec `json:"oci,omitempty"`
}

// PodInspection is all that is known of a pod.
type PodInspection struct {
	Pod
	// Observed is what the kernel shows of the pod's supervisor and cgroup.
	Observed Observed `json:"observed,omitzero"`
}
