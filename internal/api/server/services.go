package server

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/api"
	"carob/internal/archive"
	"carob/internal/checkpoint"
	"carob/internal/image"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
)

// The interfaces of this file are the parts of the engine, the image store and the
// manifest applier that the API calls; see *pod.Engine, *image.Store and
// *kube.Applier for what they promise.

// Lives changes what exists.
type Lives interface {
	CreateContainer(ctx context.Context, podRef string, c spec.Container) (status.Container, error)
	CreateSolo(ctx context.Context, p spec.Pod, c spec.Container) (status.Container, error)
	RemoveContainer(ctx context.Context, ref string, o pod.RemoveOptions) error
	RunPod(ctx context.Context, p spec.Pod) (status.Pod, error)
	StopPod(ctx context.Context, ref string, timeout *time.Duration) error
	RemovePod(ctx context.Context, ref string) error
}

// Runs changes what runs.
type Runs interface {
	StartContainer(ctx context.Context, ref string, io pod.Streams) error
	StopContainer(ctx context.Context, ref string, timeout *time.Duration) error
	KillContainer(ctx context.Context, ref string, signal int) error
	PauseContainer(ctx context.Context, ref string) error
	UnpauseContainer(ctx context.Context, ref string) error
	UpdateContainer(ctx context.Context, ref string, res *specs.LinuxResources, restart *spec.Restart) error
}

// Talks connects clients with processes.
type Talks interface {
	Attach(ctx context.Context, ref string, io pod.Streams) error
	Resize(ctx context.Context, ref string, rows, cols uint16) error
	Exec(ctx context.Context, ref string, x spec.Exec, io pod.Streams) (execID string, err error)
	WaitExec(ctx context.Context, execID string) (status.Exit, error)
	SignalExec(ctx context.Context, execID string, signal int) error
	WaitContainer(ctx context.Context, ref string, cond status.WaitCondition) (status.Exit, error)
	Waiter(ref string, cond status.WaitCondition) (wait func(context.Context) (status.Exit, error), err error)
}

// Looks reads.
type Looks interface {
	Pods(f status.Filter) []status.Pod
	Pod(ref string) (status.Pod, error)
	Containers(f status.Filter) []status.Container
	Container(ref string) (status.Container, error)
	InspectPod(ctx context.Context, ref string) (status.PodInspection, error)
	InspectContainer(ctx context.Context, ref string) (status.ContainerInspection, error)
	Stats(ctx context.Context, refs ...string) ([]status.Stats, error)
	Top(ctx context.Context, ref string) ([]status.Process, error)
	Events(ctx context.Context, from uint64) <-chan status.Event
	RootDir(ctx context.Context, ref string) (*os.File, error)
}

// Engine is all of the engine that the API calls: *pod.Engine.
type Engine interface {
	Lives
	Runs
	Talks
	Looks
}

// ImageStore is all of the image store that the API calls: *image.Store.
type ImageStore interface {
	List() []image.Image
	Resolve(ctx context.Context, name string) (image.Image, error)
	ImportTar(ctx context.Context, name string, r io.Reader, cfg v1.ImageConfig) (image.Image, error)
	ImportDir(ctx context.Context, name, dir string, cfg v1.ImageConfig) (image.Image, error)
	Load(ctx context.Context, r io.Reader) ([]image.Image, error)
	Content(ctx context.Context, name string) (*image.Content, error)
	Tag(ctx context.Context, name, newName string) error
	Config(id string) ([]byte, error)
	Discard(ctx context.Context, name string, force bool) (removed []string, err error)
	Prune(ctx context.Context, p image.Pruning) (removed []string, freed int64, err error)
	Usage(ctx context.Context) (image.Usage, error)
}

// HostMounts mounts images on directories of the host: *image.HostMounts.
type HostMounts interface {
	Mount(ctx context.Context, name, dir string) (image.HostMount, error)
	Unmount(ctx context.Context, what string) ([]image.HostMount, error)
	List(ctx context.Context) ([]image.HostMount, error)
}

// Committer makes images of containers: *image.Committer.
type Committer interface {
	Changes(ctx context.Context, containerID string) ([]status.Change, error)
	Commit(ctx context.Context, containerID string, c image.Commit, ids archive.IDs) (image.Image, error)
}

// Manifests carries out manifests: see kube.Applier. progress may be called from
// several goroutines.
type Manifests interface {
	Apply(ctx context.Context, p api.ApplyParams, progress func(api.Progress)) ([]api.Applied, error)
	Delete(ctx context.Context, p api.DeleteParams, progress func(api.Progress)) ([]api.Applied, error)
	// Images are those of all pods that are not there yet, each once, in the manifest's order.
	Images(document []byte) ([]WantedImage, error)
}

// NetworkStore keeps networks: see *network.Builtin.
type NetworkStore interface {
	Create(ctx context.Context, w spec.Network) (status.Network, error)
	Remove(ctx context.Context, name string) error
	Network(name string) (status.Network, error)
	Networks() []status.Network
}

// VolumeStore keeps volumes: *volume.Store. What it lists does not say who uses it.
type VolumeStore interface {
	Named(name string) (dir string, err error)
	List() ([]status.Volume, error)
	Find(name string) (status.Volume, error)
	Remove(ctx context.Context, name string, users func() []string) error
	Size(ctx context.Context, v status.Volume) (int64, error)
}

// Wiring changes which networks pods are in: see pod.Wiring.
type Wiring interface {
	Connect(ctx context.Context, ref string, j spec.Join) error
	Disconnect(ctx context.Context, ref, network string) error
}

// Checkpoints writes containers down: *checkpoint.Maker.
type Checkpoints interface {
	Container(ctx context.Context, ref string, o checkpoint.Options) error
}

// Services are what a server offers. All fields but Watch are required.
type Services struct {
	Engine      Engine
	Images      ImageStore
	Volumes     VolumeStore
	HostMounts  HostMounts
	Committer   Committer
	Checkpoints Checkpoints
	Registries  Registries
	Manifests   Manifests
	Networks    NetworkStore
	Wiring      Wiring
	// Dial connects to a port of the loopback in a process's network namespace: see
	// netns.DialProcess.
	Dial func(ctx context.Context, pid int, id string, port uint16) (*os.File, error)
	// Clone copies the mount at a path as a process sees it, without what is mounted in it: see
	// mount.CloneFrom.
	Clone func(pid int, path string) (*os.File, error)
	// Host describes the daemon; the counts are filled in per call.
	Host api.Host
	// Handlers lists what runs pods; it may ask their binaries.
	Handlers func() []api.Handler
	// Reload reads the configuration again: see the method.
	Reload func(context.Context) (api.Reloaded, error)
	// Watch, if there is one, sees each call of a known method begin, gives it a context,
	// and is told its end.
	Watch func(ctx context.Context, method string) (context.Context, func(error))
	Log   *slog.Logger
}
