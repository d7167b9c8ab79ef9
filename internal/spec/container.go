package spec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Container asks for one container in a pod (CRI ContainerConfig, Kubernetes
// Container, `docker run`).
type Container struct {
	// Name is unique in its pod, and for a solo pod on the host; empty lets the
	// engine choose.
	Name    string `json:"name,omitempty"`
	Attempt uint32 `json:"attempt,omitempty"`
	// Image is a reference or image ID that is present on the host.
	Image string `json:"image"`
	// ImageName is what the image is called in answers; Image when empty.
	ImageName string `json:"imageName,omitempty"`

	// Command replaces the image's Entrypoint, Args its Cmd. As in Kubernetes and
	// Docker, a Command without Args also drops the image's Cmd.
	Command []string `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
	// WorkingDir is absolute; the image's when empty. One that was asked for must
	// exist, the image's own is created.
	WorkingDir string `json:"workingDir,omitempty"`
	// Env are "KEY=value" words that override the image's.
	Env []string `json:"env,omitempty"`
	// User is "uid", "uid:gid", "name" or "name:group"; the image's when empty.
	User string `json:"user,omitempty"`
	// Groups are supplementary groups, by name or number.
	Groups []string `json:"groups,omitempty"`
	// GroupsPolicy says which groups the image's /etc/group adds.
	GroupsPolicy GroupsPolicy `json:"groupsPolicy,omitempty"`

	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`

	// Stdin keeps standard input open for clients that attach; StdinOnce closes it
	// when the first of them leaves. TTY gives the container a terminal.
	Stdin     bool `json:"stdin,omitempty"`
	StdinOnce bool `json:"stdinOnce,omitempty"`
	TTY       bool `json:"tty,omitempty"`

	// Checkpoint is the path of a checkpoint archive on the host that the first start goes on
	// from, instead of executing the command.
	Checkpoint string `json:"checkpoint,omitempty"`

	// Namespaces says per kind whether the container uses the sandbox's.
	Namespaces Namespaces `json:"namespaces,omitzero"`
	// Hostname is set when the container has a UTS namespace of its own.
	Hostname string `json:"hostname,omitempty"`
	// CgroupParent overrides the pod's cgroup as parent; absolute path.
	CgroupParent string `json:"cgroupParent,omitempty"`

	Mounts  []Mount  `json:"mounts,omitempty"`
	Devices []Device `json:"devices,omitempty"`
	// CDIDevices are devices that CDI specifications of the host describe, by their
	// qualified names: vendor.com/class=name.
	CDIDevices []string `json:"cdiDevices,omitempty"`
	// Hooks are programs of the host that an OCI runtime runs at points of the container's
	// life. carob's own handler runs none.
	Hooks     *specs.Hooks          `json:"hooks,omitempty"`
	Resources *specs.LinuxResources `json:"resources,omitempty"`
	Rlimits   []specs.POSIXRlimit   `json:"rlimits,omitempty"`
	// StorageSize is the most that the container may write besides its volumes, in bytes;
	// 0 is no limit. The image store's file system must have project quotas.
	StorageSize int64 `json:"storageSize,omitempty"`
	// OOMScoreAdj is clamped to what the host allows.
	OOMScoreAdj *int `json:"oomScoreAdj,omitempty"`
	// Scheduler, IOPriority and MemoryPolicy are the first process's, and of all that it starts:
	// sched_setattr(2), ioprio_set(2), set_mempolicy(2).
	Scheduler    *specs.Scheduler         `json:"scheduler,omitempty"`
	IOPriority   *specs.LinuxIOPriority   `json:"ioPriority,omitempty"`
	MemoryPolicy *specs.LinuxMemoryPolicy `json:"memoryPolicy,omitempty"`

	Security Security `json:"security,omitzero"`

	// Init runs the command under a small reaping, signal-forwarding PID 1.
	Init bool `json:"init,omitempty"`
	// StopSignal is a name or number; the image's or SIGTERM when empty.
	StopSignal string `json:"stopSignal,omitempty"`
	// StopTimeout in seconds is how long a stop waits before SIGKILL; nil means 10.
	StopTimeout *int    `json:"stopTimeout,omitempty"`
	Restart     Restart `json:"restart,omitzero"`
	// AutoRemove removes the container when it has exited.
	AutoRemove bool `json:"autoRemove,omitempty"`
	// LogPath is where the CRI-format log goes; chosen by the engine when empty, and kept as
	// Log says.
	LogPath string `json:"logPath,omitempty"`
	Log     Log    `json:"log,omitzero"`
}

// Security is what a container may do.
type Security struct {
	Privileged bool `json:"privileged,omitempty"`
	// CapAdd and CapDrop change Docker's default capability set; "ALL" is allowed.
	CapAdd  []string `json:"capAdd,omitempty"`
	CapDrop []string `json:"capDrop,omitempty"`
	// CapAmbient are added, and kept by users other than root and over execve.
	CapAmbient []string `json:"capAmbient,omitempty"`
	// NoNewPrivileges sets no_new_privs.
	NoNewPrivileges bool `json:"noNewPrivileges,omitempty"`
	// ReadOnlyRootfs makes the root file system read-only.
	ReadOnlyRootfs bool `json:"readOnlyRootfs,omitempty"`
	// Seccomp is "" or "default" for the default profile, "unconfined", or a profile
	// in JSON, as OCI or Docker write it.
	Seccomp string `json:"seccomp,omitempty"`
	// AppArmor is a profile's name, "unconfined", "default" for carob's own profile, or ""
	// for that profile where it is loaded and the container is not privileged.
	// SELinux is "user:role:type:level" with what is left empty as the pod has it, or
	// "disable". A host without that module refuses labels.
	AppArmor string `json:"appArmor,omitempty"`
	SELinux  string `json:"seLinux,omitempty"`
	// Unmasked leaves /proc and /sys as the kernel shows them (Docker's
	// systempaths=unconfined, Kubernetes' procMount: Unmasked).
	Unmasked bool `json:"unmasked,omitempty"`
	// Paths replaces the masked and read-only paths below /proc and /sys; nil leaves
	// the default.
	Paths *KernelPaths `json:"paths,omitempty"`
	// NonRoot refuses to start as uid 0 (Kubernetes' runAsNonRoot). It is decided on
	// the resolved uid.
	NonRoot bool `json:"nonRoot,omitempty"`
}

// KernelPaths are what a container may not see, or not change, of the kernel's files.
type KernelPaths struct {
	Masked   []string `json:"masked,omitempty"`
	ReadOnly []string `json:"readOnly,omitempty"`
}

// GroupsPolicy says which supplementary groups a container's user gets besides those
// that were asked for (Kubernetes' supplementalGroupsPolicy).
type GroupsPolicy string

// The policies.
const (
	// GroupsDocker adds the user's groups of the image, unless a group was named with
	// the user.
	GroupsDocker GroupsPolicy = ""
	// GroupsMerge adds them in any case, and the primary group with them.
	GroupsMerge GroupsPolicy = "merge"
	// GroupsStrict adds none but the primary.
	GroupsStrict GroupsPolicy = "strict"
)

// MountType is what a Mount brings in.
type MountType string

// The mount types.
const (
	// Bind mounts a path of the host.
	Bind MountType = "bind"
	// Volume mounts a named volume kept by carob; an empty Source is an anonymous
	// one that goes with the container.
	Volume MountType = "volume"
	// Tmpfs mounts a fresh memory file system.
	Tmpfs MountType = "tmpfs"
	// Image mounts the files of an image, read-only. Source is a reference or image ID
	// that is present on the host; the image stays there as long as the container.
	Image MountType = "image"
)

// Mount is one mount of a container besides its root file system and the kernel's
// file systems.
type Mount struct {
	Type   MountType `json:"type"`
	Source string    `json:"source,omitempty"`
	Target string    `json:"target"`
	// SubPath is a path inside Source, resolved without leaving it.
	SubPath  string `json:"subPath,omitempty"`
	ReadOnly bool   `json:"readOnly,omitempty"`
	// ReadOnlyTop leaves the mounts below Source as writable as they are on the host:
	// the CRI's readonly without recursive_read_only.
	ReadOnlyTop bool `json:"readOnlyTop,omitempty"`
	// Create makes a missing bind source: "" refuses, "dir" or "file" creates.
	Create string `json:"create,omitempty"`
	// Propagation is "", "private", "rprivate", "slave", "rslave", "shared" or
	// "rshared"; "" is rprivate.
	Propagation string `json:"propagation,omitempty"`
	// NonRecursive leaves out mounts below Source.
	NonRecursive bool `json:"nonRecursive,omitempty"`
	// Size in bytes and Mode are for Tmpfs; 0 is the kernel's default and 1777.
	Size int64  `json:"size,omitempty"`
	Mode uint32 `json:"mode,omitempty"`
	// Options are further mount flags: nosuid, nodev, noexec, noatime, …
	Options []string `json:"options,omitempty"`
	// Relabel gives the files of a Bind the container's SELinux label for files; every Volume
	// gets the shared one.
	Relabel Relabel `json:"relabel,omitempty"`
}

// Relabel is who may use files that are given a container's label.
type Relabel string

// The ways to relabel.
const (
	// RelabelShared is for all containers (Docker's z).
	RelabelShared Relabel = "shared"
	// RelabelPrivate is for those of the pod alone (Docker's Z).
	RelabelPrivate Relabel = "private"
)

// NoAccess as a Device's Access makes the node and allows nothing with it.
const NoAccess = "none"

// Device gives a container one device node of the host.
type Device struct {
	Source string `json:"source"`
	Target string `json:"target,omitempty"`
	// Access is any of "rwm", all three when empty; or NoAccess.
	Access string `json:"access,omitempty"`
	// Node describes the node in the place of the one at Source; its path says nothing.
	Node *specs.LinuxDevice `json:"node,omitempty"`
}

// RestartPolicy says when an exited container is started again.
type RestartPolicy string

// The restart policies, with Docker's names.
const (
	RestartNever         RestartPolicy = ""
	RestartOnFailure     RestartPolicy = "on-failure"
	RestartAlways        RestartPolicy = "always"
	RestartUnlessStopped RestartPolicy = "unless-stopped"
)

// Restart is a policy with its limit.
type Restart struct {
	Policy RestartPolicy `json:"policy,omitempty"`
	// MaxRetries bounds on-failure; 0 is no bound.
	MaxRetries int `json:"maxRetries,omitempty"`
}

// Exec asks for one more process in a running container: a new container, as the
// OCI sees it, that reuses every namespace of the first.
type Exec struct {
	Command    []string `json:"command"`
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"`
	User       string   `json:"user,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
	Stdin      bool     `json:"stdin,omitempty"`
	TTY        bool     `json:"tty,omitempty"`
	// Timeout in nanoseconds bounds the process and the draining of its output
	// together; when it is over everything the exec started is killed. 0 is none.
	Timeout int64 `json:"timeout,omitempty"`
}
