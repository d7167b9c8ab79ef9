package pod

import (
	"context"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/logfile"
	"carob/internal/spec"
	"carob/internal/status"
)

// The interfaces of this file are what the engine needs of the machine. It
// declares them itself, so that its state machines are tested without root and
// with a fault injected at every call. Terms: a *sandbox* is named by its pod's
// ID; a *process* by the ID of its container, or by the exec's own ID; all IDs are
// chosen by the engine. Every method's error carries a fault.Kind; a method that
// returns an error has left nothing behind unless it says otherwise; stop, remove
// and kill methods are idempotent and succeed on what is gone.

// Sandboxes runs pods' sandboxes.
type Sandboxes interface {
	// Admit completes a request for its handler, or refuses it: NotFound without such a handler.
	Admit(p *spec.Pod) error
	// RunSandbox makes the namespaces and starts what holds them. The sandbox
	// survives this process. Cancelling ctx undoes it.
	RunSandbox(ctx context.Context, s Sandbox) (SandboxState, error)
	// PrepareSandbox does as much of RunSandbox for the same PodID as can be done before
	// Hostname, Sysctls and, where Cgroup is empty, that are known, and makes Dir. Until
	// RunSandbox comes, the sandbox ends with this process, or by StopSandbox. Unsupported:
	// nothing can be done ahead.
	PrepareSandbox(ctx context.Context, s Sandbox) (SandboxState, error)
	// AdoptSandbox finds a sandbox that an earlier daemon started and takes it over:
	// NotFound when it is gone. Processes lists all it still remembers, ended ones
	// included until Forget.
	AdoptSandbox(ctx context.Context, s Sandbox) (SandboxState, error)
	// StopSandbox ends the sandbox, all its processes and its namespaces.
	StopSandbox(ctx context.Context, podID string) error
}

// ErrCommandNotFound and ErrNotExecutable are what Start and Exec wrap when it is
// the command itself that cannot be executed: Docker's exit codes 127 and 126.
var (
	ErrCommandNotFound = fault.New(fault.NotFound, "command not found")
	ErrNotExecutable   = fault.New(fault.Denied, "not executable")
)

// Processes runs containers and execs inside a sandbox.
type Processes interface {
	// Prepare makes what the container's process will find and what depends neither on
	// its root file system nor on its user, so that those two can be had at the same
	// time: p.Rootfs is not looked at, and p.Spec.Process only for Terminal.
	Prepare(ctx context.Context, p Process) (Launch, error)
	// Exec runs p.Spec.Process in the namespaces and cgroup of the running container
	// p.Target.
	Exec(ctx context.Context, p Process) (pid int, err error)
	// Checkpoint writes the running container p.ID down into the empty directory images. Its
	// processes are gone then, unless leave is set. Unsupported says what cannot be written.
	// A group that is frozen stays frozen.
	Checkpoint(ctx context.Context, p Process, images string, leave bool) error
	// Signal sends a signal to a process; NotFound when it has ended.
	Signal(ctx context.Context, podID, processID string, signal int) error
	// KillExec kills an exec and every process it started, wherever they moved.
	KillExec(ctx context.Context, podID, execID string) error
	// Attach adds a client to a process's streams. The files stay the caller's.
	Attach(ctx context.Context, podID, processID string, io Streams) error
	// Resize sets the size of a process's terminal.
	Resize(ctx context.Context, podID, processID string, rows, cols uint16) error
	// ReopenLog goes on with the process's log in the file that is at the path now, creating it.
	ReopenLog(ctx context.Context, podID, processID, path string) error
	// Forget lets the sandbox drop the record of an ended process.
	Forget(ctx context.Context, podID, processID string) error
	// Exits delivers the end of every process of every sandbox, and of sandboxes
	// themselves (ProcessID empty), at least once until forgotten. The channel is
	// never closed; the engine always receives.
	Exits() <-chan ProcessExit
}

// Launch is a container's process about to be started.
type Launch interface {
	// Start builds the container's world as p.Spec says and executes its process.
	// When it returns nil the execve has succeeded. ErrCommandNotFound and
	// ErrNotExecutable are about the command; Unsupported names what the kernel or
	// host cannot do. p is what Prepare was given, now with Rootfs, which stays the
	// caller's, and with the whole Spec.Process. Start is called once at most.
	Start(ctx context.Context, p Process) (pid int, err error)
	// Close lets go of what Prepare made, whether Start was called or not.
	Close()
}

// Groups keeps containers' and pods' cgroups. A group is named by its path
// relative to each hierarchy, as in status.Container.Cgroup.
type Groups interface {
	// CreateGroup makes a cgroup with these limits; it is idempotent. One in a scope of
	// systemd is there while its pod's sandbox is: before and after, neither this nor
	// UpdateGroup does anything.
	CreateGroup(ctx context.Context, path string, limits *specs.LinuxResources) error
	// UpdateGroup changes limits of a live cgroup, all or nothing.
	UpdateGroup(ctx context.Context, path string, limits *specs.LinuxResources) error
	// FreezeGroup stops (true) or continues every process in the group.
	FreezeGroup(ctx context.Context, path string, frozen bool) error
	// KillGroup kills every process in the group and below.
	KillGroup(ctx context.Context, path string) error
	// RemoveGroup removes the group and those below it. Processes in it are an error.
	RemoveGroup(ctx context.Context, path string) error
	// GroupStats reads current use. ID, Name are left to the caller.
	GroupStats(ctx context.Context, path string) (status.Stats, error)
	// GroupProcesses lists the processes in the group and below.
	GroupProcesses(ctx context.Context, path string) ([]status.Process, error)
}

// Roots turns an image's plan of a root file system into a mount.
type Roots interface {
	// MountRoot returns a detached mount as an O_PATH directory the caller owns; when
	// its last reference goes it is unmounted. ids is the mapping of the user
	// namespace that will see it; the zero mapping is the host's.
	MountRoot(ctx context.Context, r image.Rootfs, ids status.IDMapping) (*os.File, error)
	// OpenRoot returns the root directory that the running process pid sees, as an
	// O_PATH directory the caller owns. NotFound when the process has ended.
	OpenRoot(ctx context.Context, pid int) (*os.File, error)
	// OpenFile opens a regular file below root for reading, with every symbolic link
	// resolved inside root (openat2 RESOLVE_IN_ROOT); what is not a regular file is
	// refused. NotFound when there is none. The caller closes it.
	OpenFile(root *os.File, unsafePath string) (*os.File, error)
}

// Observer reads what the kernel shows of a process.
type Observer interface {
	// Observe reads /proc/PID and the cgroup. Differences are left to the caller.
	Observe(ctx context.Context, pid int, cgroup string) (status.Observed, error)
	// Namespaces reads /proc/PID/ns.
	Namespaces(pid int) (map[string]string, error)
	// Handles reports whether a signal would reach a process that is PID 1 of its pid
	// namespace: it is caught, ignored on purpose, or waits blocked. NotFound when the
	// process has ended.
	Handles(pid, signal int) (bool, error)
	// Traffic tells what the interfaces of a process's network namespace have carried; nil of
	// the host's. NotFound when the process has ended.
	Traffic(pid int) (*status.NetworkUse, error)
	// Device reads type, numbers, mode and owner of the host's device node at an
	// absolute path. NotFound when there is none, Invalid when it is something else.
	Device(ctx context.Context, path string) (specs.LinuxDevice, error)
	// HostDevices lists the device nodes below the host's /dev that a container may be
	// given: not terminals, nor what every container has of its own.
	HostDevices(ctx context.Context) ([]specs.LinuxDevice, error)
}

// Images is the image store as the engine uses it: see image.Store.
type Images interface {
	Resolve(ctx context.Context, name string) (image.Image, error)
	NewRootfs(ctx context.Context, containerID, imageID string, size int64) (image.Rootfs, error)
	MountImage(ctx context.Context, containerID, imageID string) (lowerdir string, err error)
	RemoveRootfs(ctx context.Context, containerID string) error
	Sweep(ctx context.Context, keep func(containerID string) bool) error
}

// Network connects sandboxes. What it needs to take a connection back it keeps by
// itself, over a crash of the daemon: Detach gets no more than names.
type Network interface {
	// Prepare does as much of Attach as can be done for a sandbox that is to be attached to
	// the default network, has no other name yet than podID, and whose namespace pid holds.
	// Attach or Detach follows, or the end of this process. Unsupported: nothing can be done ahead.
	Prepare(ctx context.Context, podID string, pid int) error
	// Attach connects a sandbox to networks and returns one connection for each, that of
	// the default route first. For a sandbox that is connected already, it adds a.Joins to
	// what there is. Conflict and Exists are about addresses and host ports,
	// Unsupported names what the host lacks. A failed Attach of a new sandbox is
	// always followed by Detach; one that adds has left nothing behind.
	Attach(ctx context.Context, a Attachment) ([]status.Connection, error)
	// Detach takes a sandbox from one network, "" is all. It is idempotent and works when
	// the namespace is gone.
	Detach(ctx context.Context, podID, network string) error
	// Keep says once, before the first Attach, which sandboxes of earlier daemons go
	// on: whatever belongs to any other is released.
	Keep(ctx context.Context, live []Attachment) error
}

// DefaultNetwork is the network of pods that name none.
const DefaultNetwork = "default"

// Attachment is a sandbox to connect.
type Attachment struct {
	PodID string
	// Name and Namespace are the pod's, as Kubernetes means them.
	Name, Namespace string
	// Pid holds the network namespace, /proc/PID/ns/net, for as long as the pod is ready.
	// The namespace may belong to a user namespace of the pod's own.
	Pid int
	// Joins are the networks asked for; none is the default network.
	Joins []spec.Join
	// Spec is the pod's: host ports, annotations.
	Spec *spec.Pod
	// Connections are what Attach has returned before.
	Connections []status.Connection
}

// Store keeps records over a crash of the daemon, not over a reboot. Keys are
// validated IDs; values are small JSON documents, written whole or not at all.
type Store interface {
	Put(kind, id string, value any) error
	// Load decodes every record of a kind through each, which gets the raw document.
	Load(kind string, each func(id string, raw []byte) error) error
	Delete(kind, id string) error
}

// Sandbox is what a handler must know to run a pod's sandbox.
type Sandbox struct {
	PodID, Hostname, Handler string
	// Solo says that it is for a single container.
	Solo bool
	// Namespaces has no zero modes and no names any more: a kind taken from another
	// container is in Join, and its mode here says nothing.
	Namespaces spec.Namespaces
	// Join maps a namespace kind to the pid whose namespace is taken.
	Join map[string]int
	// IDs is the mapping of the pod's own user namespace; zero with the host's.
	IDs     status.IDMapping
	Sysctls map[string]string
	ShmSize int64
	// Dir is the pod's runtime directory, 0700, where the handler keeps its socket.
	Dir string
	// Cgroup is the pod's group, "" if it has none: a group below it may be made for what
	// holds the sandbox, and goes with it.
	Cgroup string
	// Known are, for AdoptSandbox, the processes the records name: a handler may
	// remember less than whole IDs and gives what is not among them a made-up one.
	Known []KnownProcess
}

// KnownProcess is a process that an earlier daemon started: a container's first one
// or an exec, with the cgroup, log and deadline its Process had.
type KnownProcess struct {
	ID, Cgroup string
	Log        logfile.Log
	// Deadline says that there was one, Paused that its container is paused.
	Deadline, Paused bool
}

// SandboxState is a running sandbox.
type SandboxState struct {
	// Pid holds the sandbox's namespaces; ReaperPid is PID 1 of a shared PID namespace, or 0.
	Pid, ReaperPid int
	Processes      []ProcessState
}

// ProcessState is a process an adopted sandbox knows of. Exit is nil while it runs.
type ProcessState struct {
	ID   string
	Pid  int
	Exit *status.Exit
}

// ProcessExit is the end of a process, or of the whole sandbox.
type ProcessExit struct {
	PodID, ProcessID string
	Exit             status.Exit
}

// Process is a container's first process or an exec.
type Process struct {
	PodID, ID string
	// Target is the container an exec joins, with the pid of its first process; to write a
	// container down, TargetPid is its own.
	Target    string
	TargetPid int
	// Spec is complete: numeric user, absolute cwd, limits, mounts. The mounts'
	// sources are host paths that the handler resolves.
	Spec *specs.Spec
	// Rootfs is the detached root mount of a container.
	Rootfs *os.File
	// Join maps a namespace kind to the pid whose namespace is taken; kinds that are
	// neither here nor listed without a path in Spec.Linux.Namespaces are inherited
	// from the sandbox.
	Join map[string]int
	IDs  status.IDMapping
	// Cgroup is the group the process enters, last.
	Cgroup string
	// Log is where the output goes, in the CRI's format; none for execs.
	Log logfile.Log
	// Stdin keeps a pipe open even with nobody attached; Init asks for a reaping PID 1.
	Stdin, StdinOnce, Init bool
	// Resume is a checkpoint archive of package archive/checkpoint's: Start goes on from it
	// instead of executing a command. What it says of rights is held against Spec.
	Resume string
	// CreateCwd makes a missing working directory: the image's own.
	CreateCwd bool
	// Streams are attached before the process can write.
	Streams Streams
	// Deadline, when set, prepares the process so that KillExec can find all it
	// started.
	Deadline time.Time
}

// Streams are the client's ends of a process's standard streams; nil ones are not
// attached. With a terminal Stdout carries both.
type Streams struct {
	Stdin, Stdout, Stderr *os.File
}
