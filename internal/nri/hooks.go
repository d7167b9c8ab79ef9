package nri

import (
	"context"
	"fmt"
	"reflect"

	"github.com/containerd/nri/pkg/api"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"

	"carob/internal/nri/asked"
	"carob/internal/nri/shown"
	"carob/internal/plan/cgroup"
	"carob/internal/pod/plugin"
	"carob/internal/spec"
	"carob/internal/status"
)

// RunPod asks about a pod.
func (n *Plugins) RunPod(ctx context.Context, p status.Pod) error {
	return n.ask(ctx, func(ctx context.Context) error {
		known := &knownPod{PodSandbox: shown.Pod(p), solo: p.Spec.Solo}
		if err := n.library.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Pod: known.PodSandbox}); err != nil {
			n.undoPod(known) // some may have seen it
			return refused(err)
		}
		n.known.pods[p.ID] = known
		return nil
	})
}

// Create asks about a container, and makes a request of what plugins want of it.
func (n *Plugins) Create(ctx context.Context, d plugin.Draft) (changed *spec.Container, err error) {
	err = n.ask(ctx, func(ctx context.Context) (err error) {
		c := shown.Container(d.Container, d.OCI)
		c.State = api.ContainerState_CONTAINER_CREATED
		n.known.containers[c.Id] = c
		defer func() {
			if err != nil {
				n.undoContainer(c.Id)
			}
		}()
		view := proto.Clone(c).(*api.Container) // the library changes it
		r, err := n.library.CreateContainer(ctx, &api.CreateContainerRequest{Pod: n.known.pod(c.PodSandboxId), Container: view})
		if err != nil {
			return refused(err)
		}
		asked.Unset(r.GetAdjust(), c.GetEnv(), view.GetEnv())
		changed, err = n.adjusted(d.Container.Wish(), r.GetAdjust())
		if err == nil {
			updater{n}.apply(r.GetUpdate())
		}
		return err
	})
	return changed, err
}

// adjusted is the request with an adjustment, and with the devices that this names.
func (n *Plugins) adjusted(c *spec.Container, a *api.ContainerAdjustment) (*spec.Container, error) {
	next, devices, err := asked.Adjust(c, a)
	if err != nil {
		return nil, fmt.Errorf("nri: adjustment: %w", err)
	}
	if len(devices) == 0 {
		return next, nil
	}
	named := append(append([]string(nil), next.CDIDevices...), devices...)
	annotations := next.Annotations
	next.CDIDevices, next.Annotations = devices, nil // the others have been injected
	if next, err = n.c.Devices.Inject(next); err != nil {
		return nil, fmt.Errorf("nri: adjustment: %w", err)
	}
	next.CDIDevices, next.Annotations = named, annotations
	return next, nil
}

// Start asks about a container's start.
func (n *Plugins) Start(ctx context.Context, c status.Container) error {
	return n.ask(ctx, func(ctx context.Context) error {
		known := n.known.containers[c.ID]
		if known == nil {
			return nil
		}
		shown.Refresh(known, c)
		return refused(n.library.StartContainer(ctx, &api.StartContainerRequest{Pod: n.known.pod(c.PodID), Container: known}))
	})
}

// Update asks about new limits.
func (n *Plugins) Update(ctx context.Context, c status.Container, limits *specs.LinuxResources) (set *specs.LinuxResources, err error) {
	set = limits
	if own, _ := ctx.Value(ownUpdate{}).(bool); own {
		return set, nil
	}
	err = n.ask(ctx, func(ctx context.Context) error {
		known := n.known.containers[c.ID]
		if known == nil {
			return nil
		}
		sent := api.FromOCILinuxResources(limits, nil)
		r, err := n.library.UpdateContainer(ctx, &api.UpdateContainerRequest{
			Pod: n.known.pod(c.PodID), Container: known, LinuxResources: proto.Clone(sent).(*api.LinuxResources),
		})
		if err != nil {
			return refused(err)
		}
		var others []*api.ContainerUpdate
		for _, u := range r.GetUpdate() {
			switch {
			case u.GetContainerId() != c.ID:
				others = append(others, u)
			case u.GetLinux().GetResources() != nil && !reflect.DeepEqual(u.GetLinux().GetResources().ToOCI(), sent.ToOCI()):
				more, err := asked.Limits(u.GetLinux().GetResources())
				if err != nil {
					return fmt.Errorf("nri: update: %w", err)
				}
				set = cgroup.Merge(limits, more)
			}
		}
		updater{n}.apply(others)
		return nil
	})
	return set, err
}

// UpdatePod asks about a pod's new limits.
func (n *Plugins) UpdatePod(ctx context.Context, p status.Pod, overhead, limits *specs.LinuxResources) (done func(), err error) {
	err = n.ask(ctx, func(ctx context.Context) error {
		_, err := n.library.UpdatePodSandbox(ctx, &api.UpdatePodSandboxRequest{
			Pod: n.known.pod(p.ID), OverheadLinuxResources: resources(overhead), LinuxResources: resources(limits),
		})
		return refused(err)
	})
	return func() {
		n.later(func() {
			n.note("PostUpdatePodSandbox", n.library.PostUpdatePodSandbox(n.ctx, &api.PostUpdatePodSandboxRequest{Pod: n.known.pod(p.ID)}))
		})
	}, err
}

func resources(r *specs.LinuxResources) *api.LinuxResources {
	if r == nil {
		return nil
	}
	return api.FromOCILinuxResources(r, nil)
}

// Forget tells plugins that a pod or container was not made after all.
func (n *Plugins) Forget(podID, containerID string) {
	n.later(func() {
		if containerID != "" {
			n.undoContainer(containerID)
		} else if p := n.known.pods[podID]; p != nil {
			n.undoPod(p)
		}
	})
}

// later has the pump do something, and does not wait for it.
func (n *Plugins) later(f func()) {
	n.work.Go(func() {
		_ = n.ask(n.ctx, func(context.Context) error { f(); return nil }) // it fails at the daemon's end only
	})
}

func (n *Plugins) undoPod(p *knownPod) {
	delete(n.known.pods, p.Id)
	n.note("RemovePodSandbox", n.library.RemovePodSandbox(n.ctx, &api.RemovePodSandboxRequest{Pod: p.PodSandbox}))
}

func (n *Plugins) undoContainer(id string) {
	if c := n.known.containers[id]; c != nil {
		delete(n.known.containers, id)
		n.note("RemoveContainer", n.library.RemoveContainer(n.ctx, &api.RemoveContainerRequest{Pod: n.known.pod(c.PodSandboxId), Container: c}))
	}
}
