package telemetry

import (
	"cmp"
	"context"
	"os"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/image"
	"carob/internal/pod"
	"carob/internal/status"
)

// Steps returns what an engine works with, watched; without a watch it is d itself.
func Steps(d pod.Deps, w Watch) pod.Deps {
	if w == nil {
		return d
	}
	run := &runs{}
	d.Sandboxes = &sandboxes{d.Sandboxes, w, run}
	d.Processes = &processes{d.Processes, w, run}
	d.Groups = &groups{d.Groups, w}
	d.Roots = &roots{d.Roots, w}
	d.Images = &images{d.Images, w}
	d.Network = &network{d.Network, w}
	return d
}

// runs knows which handler runs which pod: map[string]string.
type runs struct{ handlers sync.Map }

// native is the handler of pods that name none.
const native = "native"

func (r *runs) enter(s pod.Sandbox) string {
	name := cmp.Or(s.Handler, native)
	r.handlers.Store(s.PodID, name)
	return name
}

func (r *runs) of(podID string) string {
	name, _ := r.handlers.Load(podID)
	s, _ := name.(string)
	return s
}

type sandboxes struct {
	pod.Sandboxes
	watch Watch
	runs  *runs
}

func (x *sandboxes) RunSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error) {
	state, err := get(ctx, x.watch, Step{Name: SandboxRun, Handler: x.runs.enter(s), Pod: s.PodID}, func(ctx context.Context) (pod.SandboxState, error) {
		return x.Sandboxes.RunSandbox(ctx, s)
	})
	if err != nil {
		x.runs.handlers.Delete(s.PodID)
	}
	return state, err
}

// PrepareSandbox is no step of anybody's start: that is what it is for.
func (x *sandboxes) PrepareSandbox(ctx context.Context, s pod.Sandbox) error {
	err := x.Sandboxes.PrepareSandbox(ctx, s)
	if err == nil {
		x.runs.enter(s) // it is stopped like others
	}
	return err
}

func (x *sandboxes) AdoptSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error) {
	x.runs.enter(s)
	return x.Sandboxes.AdoptSandbox(ctx, s)
}

func (x *sandboxes) StopSandbox(ctx context.Context, podID string) error {
	err := act(ctx, x.watch, Step{Name: SandboxStop, Handler: x.runs.of(podID), Pod: podID}, func(ctx context.Context) error {
		return x.Sandboxes.StopSandbox(ctx, podID)
	})
	if err == nil {
		x.runs.handlers.Delete(podID)
	}
	return err
}

type processes struct {
	pod.Processes
	watch Watch
	runs  *runs
}

func (x *processes) step(name string, p pod.Process) Step {
	s := Step{Name: name, Handler: x.runs.of(p.PodID), Pod: p.PodID, Container: p.ID}
	if p.Target != "" {
		s.Container = p.Target
	}
	return s
}

func (x *processes) Prepare(ctx context.Context, p pod.Process) (pod.Launch, error) {
	l, err := get(ctx, x.watch, x.step(ProcessPrepare, p), func(ctx context.Context) (pod.Launch, error) { return x.Processes.Prepare(ctx, p) })
	if err != nil || l == nil {
		return l, err
	}
	return &launch{l, x}, nil
}

func (x *processes) Exec(ctx context.Context, p pod.Process) (int, error) {
	return get(ctx, x.watch, x.step(ProcessExec, p), func(ctx context.Context) (int, error) { return x.Processes.Exec(ctx, p) })
}

type launch struct {
	pod.Launch
	of *processes
}

func (l *launch) Start(ctx context.Context, p pod.Process) (int, error) {
	return get(ctx, l.of.watch, l.of.step(ProcessStart, p), func(ctx context.Context) (int, error) { return l.Launch.Start(ctx, p) })
}

type groups struct {
	pod.Groups
	watch Watch
}

func (x *groups) CreateGroup(ctx context.Context, path string, limits *specs.LinuxResources) error {
	return act(ctx, x.watch, Step{Name: CgroupCreate}, func(ctx context.Context) error { return x.Groups.CreateGroup(ctx, path, limits) })
}

func (x *groups) RemoveGroup(ctx context.Context, path string) error {
	return act(ctx, x.watch, Step{Name: CgroupRemove}, func(ctx context.Context) error { return x.Groups.RemoveGroup(ctx, path) })
}

type roots struct {
	pod.Roots
	watch Watch
}

func (x *roots) MountRoot(ctx context.Context, r image.Rootfs, ids status.IDMapping) (*os.File, error) {
	return get(ctx, x.watch, Step{Name: RootMount}, func(ctx context.Context) (*os.File, error) { return x.Roots.MountRoot(ctx, r, ids) })
}

type images struct {
	pod.Images
	watch Watch
}

func (x *images) NewRootfs(ctx context.Context, containerID, imageID string, size int64) (image.Rootfs, error) {
	return get(ctx, x.watch, Step{Name: RootCreate, Container: containerID}, func(ctx context.Context) (image.Rootfs, error) {
		return x.Images.NewRootfs(ctx, containerID, imageID, size)
	})
}

func (x *images) RemoveRootfs(ctx context.Context, containerID string) error {
	return act(ctx, x.watch, Step{Name: RootRemove, Container: containerID}, func(ctx context.Context) error {
		return x.Images.RemoveRootfs(ctx, containerID)
	})
}

type network struct {
	pod.Network
	watch Watch
}

func (x *network) Attach(ctx context.Context, a pod.Attachment) ([]status.Connection, error) {
	return get(ctx, x.watch, Step{Name: NetworkAttach, Pod: a.PodID}, func(ctx context.Context) ([]status.Connection, error) { return x.Network.Attach(ctx, a) })
}

func (x *network) Detach(ctx context.Context, podID, net string) error {
	return act(ctx, x.watch, Step{Name: NetworkDetach, Pod: podID}, func(ctx context.Context) error { return x.Network.Detach(ctx, podID, net) })
}
