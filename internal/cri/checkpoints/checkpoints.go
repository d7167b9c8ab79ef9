// Package checkpoints carries out the CRI's calls that write containers down and restore them.
// It translates, and keeps nothing.
package checkpoints

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	format "carob/internal/archive/checkpoint"
	"carob/internal/checkpoint"
	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/undo"
)

// Service is what the calls work with.
type Service struct {
	Engine *pod.Engine
	Images *image.Store
	Maker  *checkpoint.Maker
}

// FromArchive asks for a container that goes on from an archive, whose image must be here.
func (s *Service) FromArchive(ctx context.Context, ask *spec.Container, path string) error {
	known, err := format.Known(path)
	if err != nil {
		return err
	}
	img, err := s.Images.Resolve(ctx, known.RootfsImageRef)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, fmt.Sprintf("checkpoint archive %s: its image %.200q (%.80q) is not here", path, known.RootfsImageName, known.RootfsImageRef))
	}
	ask.Image, ask.Checkpoint = img.ID, path
	return err
}

// Container writes a container down, which goes on.
func (s *Service) Container(ctx context.Context, id string, r *cri.CheckpointContainerRequest) error {
	if !filepath.IsAbs(r.GetLocation()) {
		return fault.New(fault.Invalid, "location: must be an absolute path")
	}
	if r.GetTimeout() < 0 {
		return fault.New(fault.Invalid, "timeout: is negative")
	}
	if r.GetTimeout() > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.GetTimeout())*time.Second)
		defer cancel()
	}
	return s.Maker.File(ctx, id, r.GetLocation())
}

// Pod writes running containers of a sandbox down, all at one instant.
func (s *Service) Pod(ctx context.Context, id string, r *cri.CheckpointPodRequest) error {
	if err := bounded(ctx, r.GetOptions()); err != nil {
		return err
	}
	if err := emptyDir(r.GetOutputPath()); err != nil {
		return fmt.Errorf("output_path: %w", err)
	}
	ids := r.GetContainerIds()
	if len(ids) == 0 {
		return fault.New(fault.Invalid, "container_ids: is empty")
	}
	for _, one := range s.Engine.Containers(status.Filter{PodRef: id}) {
		if one.Runs() != slices.Contains(ids, one.ID) {
			return fault.New(fault.Conflict, "container_ids: container "+one.Name+" is "+string(one.State)+": exactly those that run must be named")
		}
	}
	return s.Maker.Pod(ctx, id, ids, r.GetOutputPath())
}

// bounded wants what both calls about pods want: a deadline, and no options.
func bounded(ctx context.Context, options map[string]string) error {
	if _, ok := ctx.Deadline(); !ok {
		return fault.New(fault.Invalid, "the call must have a deadline")
	}
	for key := range options {
		return fault.New(fault.Invalid, fmt.Sprintf("options: %.80q is not known: there are none", key))
	}
	return nil
}

func emptyDir(path string) error {
	if !filepath.IsAbs(path) {
		return fault.New(fault.Invalid, "must be an absolute path")
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fault.Wrap(fault.Invalid, "", err)
	}
	if len(entries) > 0 {
		return fault.New(fault.Invalid, path+": is not empty")
	}
	return nil
}

// restorer is RestorePod under way.
type restorer struct {
	*Service
	server cri.RuntimeServiceServer
	r      *cri.RestorePodRequest
}

// archives checks that the names of the containers are exactly those of the checkpoint.
func (o restorer) archives() error {
	entries, err := os.ReadDir(o.r.GetCheckpointPath())
	if err != nil || !filepath.IsAbs(o.r.GetCheckpointPath()) {
		return fault.Wrap(fault.Invalid, "checkpoint_path", errors.Join(err))
	}
	var have, want []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".tar"); ok {
			have = append(have, name)
		}
	}
	for _, c := range o.r.GetContainerConfigs() {
		want = append(want, c.GetMetadata().GetName())
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) || len(want) == 0 {
		return fault.New(fault.Invalid, fmt.Sprintf("container_configs: are %q, the checkpoint has %q", want, have))
	}
	return nil
}

// container makes one container, which goes on from its archive when it is started.
func (o restorer) container(ctx context.Context, sandbox string, config *cri.ContainerConfig) (*cri.RestoredContainer, error) {
	path := checkpoint.Archive(o.r.GetCheckpointPath(), config.GetMetadata().GetName())
	known, err := format.Known(path)
	if err != nil {
		return nil, err
	}
	img, err := o.Images.Resolve(ctx, config.GetImage().GetImage())
	if err != nil {
		return nil, err
	}
	if img.ID != known.RootfsImageRef {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("image: is %.80s, the checkpoint was made with %.80q", img.ID, known.RootfsImageRef))
	}
	config.Image = &cri.ImageSpec{Image: path}
	made, err := o.server.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: sandbox, Config: config, SandboxConfig: o.r.GetConfig()})
	if err != nil {
		return nil, err
	}
	return &cri.RestoredContainer{Name: config.GetMetadata().GetName(), ContainerId: made.GetContainerId()}, nil
}

// Restore makes a sandbox and containers that go on from a checkpoint once they are
// started. After an error nothing of it is left.
func (s *Service) Restore(ctx context.Context, server cri.RuntimeServiceServer, r *cri.RestorePodRequest) (_ *cri.RestorePodResponse, err error) {
	var u undo.Stack
	defer u.OnError(ctx, &err)
	o := restorer{s, server, r}
	if err := errors.Join(bounded(ctx, r.GetOptions()), o.archives()); err != nil {
		return nil, err
	}
	sandbox, err := server.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: r.GetConfig(), RuntimeHandler: r.GetRuntimeHandler()})
	if err != nil {
		return nil, err
	}
	out := &cri.RestorePodResponse{PodSandboxId: sandbox.GetPodSandboxId()}
	u.Push("sandbox", func(ctx context.Context) error {
		_, err := server.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: out.PodSandboxId})
		return err
	})
	for _, config := range r.GetContainerConfigs() {
		made, err := o.container(ctx, out.PodSandboxId, config)
		if err != nil {
			return nil, fmt.Errorf("container_configs: %.80s: %w", config.GetMetadata().GetName(), err)
		}
		out.RestoredContainers = append(out.RestoredContainers, made)
	}
	return out, nil
}
