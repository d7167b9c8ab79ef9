package cri

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"

	"carob/internal/cri/asked"
	"carob/internal/cri/shown"
	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
)

type containers struct {
	s Services
	finder
}

// CreateContainer is idempotent while it runs: see pod.Engine.CreateContainer.
func (c *containers) CreateContainer(ctx context.Context, r *cri.CreateContainerRequest) (*cri.CreateContainerResponse, error) {
	p, err := c.sandbox(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	ask, err := asked.Container(r, &p.Spec, c.s.Host)
	if err != nil {
		return nil, err
	}
	for i := range ask.Mounts {
		if err := c.settle(ctx, &ask.Mounts[i]); err != nil {
			err = fmt.Errorf("config.mounts: %.200s: %w", ask.Mounts[i].Target, err)
			if ask.Mounts[i].Type == spec.Image {
				err = fmt.Errorf("%w: %w", crierrors.ErrImageVolumeMountFailed, err)
			}
			return nil, err
		}
	}
	if filepath.IsAbs(ask.Image) { // a checkpoint archive in the place of an image
		if err := c.s.Checkpoints.FromArchive(ctx, &ask, ask.Image); err != nil {
			return nil, err
		}
	}
	made, err := c.s.Engine.CreateContainer(ctx, p.ID, ask)
	if err != nil {
		return nil, err
	}
	return &cri.CreateContainerResponse{ContainerId: made.ID}, nil
}

// settle names an image by its ID, which the status shows, and refuses propagation to
// and from a mount that has none: nobody would notice that nothing arrives.
func (c *containers) settle(ctx context.Context, m *spec.Mount) error {
	if m.Type == spec.Image {
		img, err := c.s.Images.Resolve(ctx, m.Source)
		if err == nil && m.SubPath != "" {
			err = has(img, m.SubPath)
		}
		m.Source = img.ID
		return err
	}
	if m.Propagation == "" {
		return nil
	}
	p, err := mount.PropagationOf(m.Source)
	switch {
	case err != nil:
		return err
	case m.Propagation == "rshared" && !p.Shared:
		return fault.New(fault.Conflict, "propagation: "+m.Source+" is not on a shared mount of the host (mount --make-rshared)")
	case !p.Shared && !p.Slave:
		return fault.New(fault.Conflict, "propagation: "+m.Source+" is on a private mount of the host (mount --make-rshared)")
	}
	return nil
}

// has finds out whether an image has a path: in all its layers together, for a link may
// lead from one into another.
func has(img image.Image, unsafePath string) error {
	lower := slices.Clone(img.Layers)
	slices.Reverse(lower)
	view, layers, err := mount.Overlay(mount.Layers{Lower: lower})
	fd.CloseAll(layers)
	if err != nil {
		return err
	}
	defer func() { _ = view.Close() }() // only looked into
	at, err := fd.InRoot(view, unsafePath, true)
	if err != nil {
		return fmt.Errorf("image_sub_path %.200s: %w", unsafePath, err)
	}
	return at.Close()
}

// StartContainer returns when the process has been executed.
func (c *containers) StartContainer(ctx context.Context, r *cri.StartContainerRequest) (*cri.StartContainerResponse, error) {
	one, err := c.container(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	if one.State != lifecycle.ContainerCreated {
		return nil, fault.New(fault.Conflict, "container "+one.Name+": is "+string(one.State)+", only a created one is started")
	}
	return &cri.StartContainerResponse{}, c.s.Engine.StartContainer(ctx, one.ID, pod.Streams{})
}

// StopContainer asks the container to end, and kills it after the timeout. A second call
// with a shorter one is not held up by the first.
func (c *containers) StopContainer(ctx context.Context, r *cri.StopContainerRequest) (*cri.StopContainerResponse, error) {
	one, err := c.container(r.GetContainerId())
	if err != nil {
		return &cri.StopContainerResponse{}, absentIsDone(err)
	}
	timeout := seconds(r.GetTimeout())
	return &cri.StopContainerResponse{}, c.s.Engine.StopContainer(ctx, one.ID, &timeout)
}

// seconds is a duration that cannot overflow.
func seconds(n int64) time.Duration {
	const most = 1 << 31
	return time.Duration(max(0, min(n, most))) * time.Second
}

// RemoveContainer removes a container, killing it if it runs.
func (c *containers) RemoveContainer(ctx context.Context, r *cri.RemoveContainerRequest) (*cri.RemoveContainerResponse, error) {
	one, err := c.container(r.GetContainerId())
	if err == nil {
		err = c.s.Engine.RemoveContainer(ctx, one.ID, pod.RemoveOptions{Force: true})
	}
	return &cri.RemoveContainerResponse{}, absentIsDone(err)
}

// ListContainers lists containers, newest first.
func (c *containers) ListContainers(_ context.Context, r *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	return shown.ContainerList(c.listContainers(r.GetFilter()))
}

// StreamContainers is ListContainers in pieces.
func (c *containers) StreamContainers(r *cri.StreamContainersRequest, to grpc.ServerStreamingServer[cri.StreamContainersResponse]) error {
	return inPieces(c.listContainers(r.GetFilter()), func(some []*cri.Container) error {
		return to.Send(&cri.StreamContainersResponse{Containers: some})
	})
}

// ContainerStatus tells of one container.
func (c *containers) ContainerStatus(ctx context.Context, r *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	one, err := c.container(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	out := &cri.ContainerStatusResponse{Status: c.s.status(ctx, one)}
	if r.GetVerbose() {
		in, err := c.s.Engine.InspectContainer(ctx, one.ID)
		if err != nil {
			return nil, err
		}
		out.Info, err = shown.ContainerInfo(in.Container, in.Observed, in.OCI)
		return out, err
	}
	return out, nil
}

// UpdateContainerResources changes limits, all or none: see pod.Engine.UpdateContainer.
func (c *containers) UpdateContainerResources(ctx context.Context, r *cri.UpdateContainerResourcesRequest) (*cri.UpdateContainerResourcesResponse, error) {
	if r.GetWindows() != nil {
		return nil, fault.New(fault.Unsupported, "windows: this is Linux")
	}
	one, err := c.container(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	limits, _, err := asked.Resources(r.GetLinux(), c.s.Host)
	if err != nil || limits == nil {
		return &cri.UpdateContainerResourcesResponse{}, err
	}
	if limits.Memory != nil {
		check := true // cgroup v2 would take a limit below what is used, and kill
		limits.Memory.CheckBeforeUpdate = &check
	}
	return &cri.UpdateContainerResourcesResponse{}, c.s.Engine.UpdateContainer(ctx, one.ID, limits, nil)
}

// ReopenContainerLog goes on in the file that is at the log's path now.
func (c *containers) ReopenContainerLog(ctx context.Context, r *cri.ReopenContainerLogRequest) (*cri.ReopenContainerLogResponse, error) {
	one, err := c.container(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	return &cri.ReopenContainerLogResponse{}, c.s.Engine.ReopenLog(ctx, one.ID)
}

// CheckpointContainer writes a container down, which goes on.
func (c *containers) CheckpointContainer(ctx context.Context, r *cri.CheckpointContainerRequest) (*cri.CheckpointContainerResponse, error) {
	one, err := c.container(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	return &cri.CheckpointContainerResponse{}, c.s.Checkpoints.Container(ctx, one.ID, r)
}

// CheckpointPod writes running containers of a sandbox down, all at one instant.
func (c *containers) CheckpointPod(ctx context.Context, r *cri.CheckpointPodRequest) (*cri.CheckpointPodResponse, error) {
	p, err := c.sandbox(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	for i, id := range r.GetContainerIds() {
		one, err := c.container(id)
		if err != nil {
			return nil, err
		}
		r.ContainerIds[i] = one.ID
	}
	return &cri.CheckpointPodResponse{}, c.s.Checkpoints.Pod(ctx, p.ID, r)
}
