package api

import (
	"encoding/json"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/archive"
	"carob/internal/spec"
	"carob/internal/status"
)

// Method names a call by its types: what it takes, what its events carry, and what
// it gives back. Both sides use these constants, so that the compiler holds them
// together.
type Method[P, E, R any] string

// Looks reports whether the method changes nothing: whoever lost the daemon before the
// answer came may ask the next one.
func (m Method[P, E, R]) Looks() bool {
	switch string(m) {
	case string(Containers), string(Container), string(InspectContainer), string(Pods), string(InspectPod), string(Top),
		string(Version), string(Info), string(Stat), string(Images), string(InspectImage), string(DiskUsage), string(Changes),
		string(ManifestImages), string(ImageMounts), string(Networks), string(InspectNetwork),
		string(Volumes), string(InspectVolume):
		return true
	}
	return false
}

// None is "nothing" where a method takes, reports or returns nothing.
type None struct{}

// The methods on containers.
const (
	// Run creates, starts and waits in one call. Its events are the container when
	// it has been created and again when it runs; its result comes at once when
	// Detach is set. A container that cannot be started is removed again.
	Run Method[RunParams, status.Container, Ended] = "run"
	// Create makes a container and leaves it.
	Create Method[RunParams, None, status.Container] = "create"
	// Start starts a created or exited container; with Wait it reports the container
	// when it runs and returns its end.
	Start Method[StartParams, status.Container, Ended] = "start"
	// Attach adds the files to the streams of a running container and returns its
	// end. The event says that they are attached.
	Attach Method[StartParams, status.Container, Ended] = "attach"
	// Exec runs a process; its event is the process's ID. The result comes at once
	// when Detach is set.
	Exec       Method[ExecParams, ExecStarted, Ended] = "exec"
	SignalExec Method[SignalParams, None, None]       = "signal-exec"
	WaitExec   Method[Ref, None, Ended]               = "wait-exec"
	Stop       Method[StopParams, None, None]         = "stop"
	Kill       Method[SignalParams, None, None]       = "kill"
	Remove     Method[RemoveParams, None, None]       = "remove"
	Pause      Method[Ref, None, None]                = "pause"
	Unpause    Method[Ref, None, None]                = "unpause"
	Update     Method[UpdateParams, None, None]       = "update"
	Resize     Method[ResizeParams, None, None]       = "resize"
	// Wait returns when the container's end, as Condition says, has come.
	Wait Method[WaitParams, None, Ended] = "wait"
)

// The methods that look.
const (
	Containers       Method[status.Filter, None, []status.Container] = "containers"
	Container        Method[Ref, None, status.Container]             = "container"
	InspectContainer Method[Ref, None, status.ContainerInspection]   = "inspect-container"
	Pods             Method[status.Filter, None, []status.Pod]       = "pods"
	InspectPod       Method[Ref, None, status.PodInspection]         = "inspect-pod"
	Top              Method[Ref, None, []status.Process]             = "top"
	// Stats reports once, and again every Interval until the call is cancelled.
	Stats Method[StatsParams, []status.Stats, None] = "stats"
	// Events reports what happens until the call is cancelled, beginning with
	// the event From.
	Events Method[EventsParams, status.Event, None] = "events"
	// Logs writes a container's log to stdout and stderr among the files.
	Logs    Method[LogsParams, None, None] = "logs"
	Version Method[None, None, About]      = "version"
	Info    Method[None, None, Host]       = "info"
)

// Reload has the daemon read its configuration again. A file that is wrong is refused and
// changes nothing.
const Reload Method[None, None, Reloaded] = "reload"

// Reloaded names settings by their keys in the configuration file.
type Reloaded struct {
	// Changed are in force, Restart when the daemon is started again.
	Changed []string `json:"changed,omitempty"`
	Restart []string `json:"restart,omitempty"`
}

// The methods on pods, files and images.
const (
	PodCreate Method[spec.Pod, None, status.Pod] = "pod-create"
	PodStop   Method[StopParams, None, None]     = "pod-stop"
	// PodRemove removes a pod; with Force it is stopped first.
	PodRemove Method[RemoveParams, None, None] = "pod-remove"
	// PodDial connects to a TCP port of the pod's loopback, from within its network
	// namespace. The connected socket comes with the result: bytes do not pass the
	// daemon, and the connection outlives it.
	PodDial Method[DialParams, None, None] = "pod-dial"
	// Apply makes the pods of a manifest, Delete removes them; events say what they do.
	Apply  Method[ApplyParams, Progress, []Applied]  = "apply"
	Delete Method[DeleteParams, Progress, []Applied] = "delete"

	// Stat says what a path in a container is.
	Stat Method[PathParams, None, archive.Info] = "stat"
	// CopyOut writes what is at the path to Files.Data as a tar stream.
	CopyOut Method[PathParams, None, None] = "copy-out"
	// CopyIn unpacks Files.Data in the directory at the path and says what it left
	// out.
	CopyIn Method[PathParams, None, archive.Skipped] = "copy-in"

	NetworkCreate  Method[spec.Network, None, status.Network] = "network-create"
	Networks       Method[None, None, []status.Network]       = "networks"
	InspectNetwork Method[Ref, None, status.Network]          = "inspect-network"
	NetworkRemove  Method[Ref, None, None]                    = "network-remove"
	// Connect brings a pod, or a container's pod, into a network, Disconnect takes it
	// out.
	Connect    Method[ConnectParams, None, None] = "network-connect"
	Disconnect Method[ConnectParams, None, None] = "network-disconnect"

	Images       Method[None, None, []Image]       = "images"
	InspectImage Method[Ref, None, ImageDetails]   = "inspect-image"
	ImageImport  Method[ImportParams, None, Image] = "image-import"
	ImageLoad    Method[None, None, []Image]       = "image-load"
	ImageTag     Method[TagParams, None, None]     = "image-tag"
	// ImageRemove takes a name off an image, or with an ID the image away: see
	// image.Store.Discard.
	ImageRemove Method[RemoveParams, None, []string] = "image-remove"
	// ImagePrune removes images that no container uses.
	ImagePrune Method[PruneParams, None, Pruned] = "image-prune"
	// Commit makes an image of a container.
	Commit Method[CommitParams, None, Image] = "commit"
	// Changes lists what a container has changed of its image.
	Changes Method[Ref, None, []status.Change] = "changes"
	// Export writes a container's root file system to Files.Data as a tar stream,
	// without what is mounted in it.
	Export Method[Ref, None, None] = "export"
	// Checkpoint writes a container down, for its next start or, with Export, to Files.Data.
	Checkpoint Method[CheckpointParams, None, None] = "checkpoint"
	// DiskUsage measures what images, containers and volumes take on disk.
	DiskUsage Method[None, None, Usage] = "disk-usage"
	// ImageMount mounts an image on a directory of the host, read-only; see
	// image.HostMounts. ImageUnmount takes mounts off, of an image or a directory.
	ImageMount   Method[MountParams, None, HostMount] = "image-mount"
	ImageUnmount Method[Ref, None, []HostMount]       = "image-unmount"
	ImageMounts  Method[None, None, []HostMount]      = "image-mounts"
	// ImageSave writes images to Files.Data as one archive.
	ImageSave Method[SaveParams, None, None] = "image-save"
)

// Ref names a thing: by ID, unique beginning of an ID, or name.
type Ref struct {
	Ref string `json:"ref"`
}

// RunParams ask for a container. Pod is the solo pod around it; with PodRef it goes
// into that pod instead and Pod is not used.
type RunParams struct {
	Pod       spec.Pod       `json:"pod,omitzero"`
	PodRef    string         `json:"podRef,omitempty"`
	Container spec.Container `json:"container"`
	Detach    bool           `json:"detach,omitempty"`
	Size      Size           `json:"size,omitzero"`
}

// ConnectParams name a pod, or a container, and a network.
type ConnectParams struct {
	Ref  string    `json:"ref"`
	Join spec.Join `json:"join"`
}

// Size is a terminal's; zero is unknown.
type Size struct {
	Rows uint16 `json:"rows,omitempty"`
	Cols uint16 `json:"cols,omitempty"`
}

// StartParams name a container and the size of the caller's terminal.
type StartParams struct {
	Ref  string `json:"ref"`
	Wait bool   `json:"wait,omitempty"`
	Size Size   `json:"size,omitzero"`
}

// Ended is how a container or exec ended; Exit is nil when nobody waited for that.
type Ended struct {
	ID   string       `json:"id"`
	Exit *status.Exit `json:"exit,omitempty"`
}

// ExecParams ask for a process in a container.
type ExecParams struct {
	Ref    string    `json:"ref"`
	Exec   spec.Exec `json:"exec"`
	Detach bool      `json:"detach,omitempty"`
	Size   Size      `json:"size,omitzero"`
}

// ExecStarted is the ID for resize and signal-exec.
type ExecStarted struct {
	ID string `json:"id"`
}

// StopParams bound a stop; nil is the container's or pod's own time.
type StopParams struct {
	Ref     string         `json:"ref"`
	Timeout *time.Duration `json:"timeout,omitempty"`
}

// SignalParams name a process and a signal by number.
type SignalParams struct {
	Ref    string `json:"ref"`
	Signal int    `json:"signal"`
}

// RemoveParams name what is removed. Force ends what runs.
type RemoveParams struct {
	Ref   string `json:"ref"`
	Force bool   `json:"force,omitempty"`
}

// UpdateParams change a container; nil leaves as it is.
type UpdateParams struct {
	Ref       string                `json:"ref"`
	Resources *specs.LinuxResources `json:"resources,omitempty"`
	Restart   *spec.Restart         `json:"restart,omitempty"`
}

// ResizeParams name a container or exec.
type ResizeParams struct {
	Ref  string `json:"ref"`
	Size Size   `json:"size"`
}

// WaitParams say what is waited for.
type WaitParams struct {
	Ref       string               `json:"ref"`
	Condition status.WaitCondition `json:"condition,omitempty"`
}

// StatsParams name containers; none is all that run. Interval 0 reports once.
type StatsParams struct {
	Refs     []string      `json:"refs,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
}

// EventsParams say with which event to begin: 1 is the oldest that is kept, 0 the next
// one to come. Until, if there is one, ends the call; what happened by then has come.
type EventsParams struct {
	From  uint64    `json:"from,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// LogsParams choose the part of a log. Tail is negative for all of it.
type LogsParams struct {
	Ref        string    `json:"ref"`
	Follow     bool      `json:"follow,omitempty"`
	Tail       int       `json:"tail"`
	Since      time.Time `json:"since,omitzero"`
	Until      time.Time `json:"until,omitzero"`
	Timestamps bool      `json:"timestamps,omitempty"`
}

// DialParams name a pod, or a container for the pod it is in, and a TCP port.
type DialParams struct {
	Ref  string `json:"ref"`
	Port uint16 `json:"port"`
}

// ApplyParams are a manifest in YAML or JSON and what to do with pods that exist
// with another one (Replace) or could not be made whole (Keep).
type ApplyParams struct {
	Document []byte `json:"document"`
	Replace  bool   `json:"replace,omitempty"`
	Keep     bool   `json:"keep,omitempty"`
}

// DeleteParams name pods by manifest, by reference, or both. Grace bounds how long
// they may take to end; nil is each pod's own.
type DeleteParams struct {
	Document []byte         `json:"document,omitempty"`
	Refs     []string       `json:"refs,omitempty"`
	Grace    *time.Duration `json:"grace,omitempty"`
}

// Progress is one step on the way of a pod.
type Progress struct {
	Pod       string `json:"pod"`
	Container string `json:"container,omitempty"`
	Step      string `json:"step"`
}

// Applied is what became of one pod: created, unchanged, replaced, recreated, deleted
// or absent.
type Applied struct {
	Pod        string             `json:"pod"`
	ID         string             `json:"id,omitempty"`
	Action     string             `json:"action"`
	Warnings   []string           `json:"warnings,omitempty"`
	Containers []status.Container `json:"containers,omitempty"`
}

// PathParams name a path in a container. Follow resolves a symbolic link at its
// end. As is the first name in the tar stream; KeepOwner keeps the stream's owners.
type PathParams struct {
	Ref       string `json:"ref"`
	Path      string `json:"path"`
	Follow    bool   `json:"follow,omitempty"`
	As        string `json:"as,omitempty"`
	KeepOwner bool   `json:"keepOwner,omitempty"`
}

// ImportParams name an image made from a root file system. Its content is either
// Files.Data, a tar stream, or the host's directory Dir.
type ImportParams struct {
	Name   string         `json:"name"`
	Dir    string         `json:"dir,omitempty"`
	Config v1.ImageConfig `json:"config,omitzero"`
}

// SaveParams name images and the archive's format: docker-archive or oci-archive.
type SaveParams struct {
	Refs   []string `json:"refs"`
	Format string   `json:"format"`
}

// TagParams give the image Ref a further name.
type TagParams struct {
	Ref  string `json:"ref"`
	Name string `json:"name"`
}

// MountParams name an image and where on the host it is mounted, an absolute path; empty
// is a directory of the image's own.
type MountParams struct {
	Ref  string `json:"ref"`
	Path string `json:"path,omitempty"`
}

// HostMount is an image mounted on a directory of the host.
type HostMount struct {
	ImageID string   `json:"imageID"`
	Names   []string `json:"names,omitempty"`
	Path    string   `json:"path"`
}

// CommitParams name a container and the image to make of it. Config overrides what the
// container was made with. Pause holds the container's processes meanwhile.
type CommitParams struct {
	Ref     string         `json:"ref"`
	Name    string         `json:"name,omitempty"`
	Config  v1.ImageConfig `json:"config,omitzero"`
	Author  string         `json:"author,omitempty"`
	Comment string         `json:"comment,omitempty"`
	Pause   bool           `json:"pause,omitempty"`
}

// CheckpointParams name a container to be written down. Without LeaveRunning it has ended
// then.
type CheckpointParams struct {
	Ref          string `json:"ref"`
	LeaveRunning bool   `json:"leaveRunning,omitempty"`
	Export       bool   `json:"export,omitempty"`
}

// PruneParams choose unused images: see image.Pruning.
type PruneParams struct {
	All       bool      `json:"all,omitempty"`
	Until     time.Time `json:"until,omitzero"`
	Labels    []string  `json:"labels,omitempty"`
	NotLabels []string  `json:"notLabels,omitempty"`
}

// Pruned is what was removed, names and IDs, and how many bytes that freed.
type Pruned struct {
	Removed []string `json:"removed,omitempty"`
	Freed   int64    `json:"freed"`
}

// Image is one image of the host; Size is its layers' bytes on disk, LayerSizes each
// one's.
type Image struct {
	ID         string         `json:"id"`
	Names      []string       `json:"names,omitempty"`
	Digests    []string       `json:"digests,omitempty"`
	Created    time.Time      `json:"created"`
	Size       int64          `json:"size"`
	Config     v1.ImageConfig `json:"config"`
	Layers     []string       `json:"layers,omitempty"`
	LayerSizes []int64        `json:"layerSizes,omitempty"`
	Pinned     bool           `json:"pinned,omitempty"`
}

// ImageDetails is an image and its configuration, byte for byte as its ID says.
type ImageDetails struct {
	Image
	Document json.RawMessage `json:"document"`
}

// Usage is what images and containers take on disk, in bytes. Layers counts each
// layer once.
type Usage struct {
	Layers     int64            `json:"layers"`
	Images     []ImageUsage     `json:"images"`
	Containers []ContainerUsage `json:"containers"`
	Volumes    []VolumeUsage    `json:"volumes"`
}

// ImageUsage is one image's share: Unique is what no other image has.
type ImageUsage struct {
	Image
	Unique     int64    `json:"unique"`
	Containers []string `json:"containers,omitempty"`
}

// ContainerUsage is one container and the bytes it has written.
type ContainerUsage struct {
	status.Container
	Written int64 `json:"written"`
}

// About is what a binary says of itself.
type About struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Commit  string `json:"commit,omitempty"`
}

// Host is what the daemon says of itself and the machine.
type Host struct {
	About
	Root   string `json:"root"`
	Run    string `json:"run"`
	Pid    int    `json:"pid"`
	Kernel string `json:"kernel"`
	Cgroup string `json:"cgroup"`
	CPUs   int    `json:"cpus"`
	Memory uint64 `json:"memory"`
	// CgroupDriver is "systemd" where a pod's parent can be a slice, else "cgroupfs".
	CgroupDriver string `json:"cgroupDriver"`
	// Handlers run pods.
	Handlers []Handler `json:"handlers"`
	// Features are named properties of the host: "apparmor": "no".
	Features   map[string]string `json:"features,omitempty"`
	Containers map[string]int    `json:"containers"`
	Pods       int               `json:"pods"`
	Images     int               `json:"images"`
}

// Handler is what runs pods that choose it by its name.
type Handler struct {
	Name string `json:"name"`
	// Path is the OCI runtime's binary, Runtime and Version its own words of itself; none
	// of the native handler's. Problem says why it cannot be used.
	Path    string `json:"path,omitempty"`
	Runtime string `json:"runtime,omitempty"`
	Version string `json:"version,omitempty"`
	Problem string `json:"problem,omitempty"`
	// What Kubernetes wants to know of a handler (CRI RuntimeHandlerFeatures).
	RecursiveReadOnlyMounts bool `json:"recursiveReadOnlyMounts"`
	UserNamespaces          bool `json:"userNamespaces"`
}
