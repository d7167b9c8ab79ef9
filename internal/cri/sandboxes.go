package cri

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/asked"
	"carob/internal/cri/shown"
	"carob/internal/fault"
)

type sandboxes struct {
	s Services
	finder
}

// RunPodSandbox is idempotent by the sandbox's metadata: see pod.Engine.RunPod.
func (b *sandboxes) RunPodSandbox(ctx context.Context, r *cri.RunPodSandboxRequest) (*cri.RunPodSandboxResponse, error) {
	p, err := asked.Pod(r.GetConfig(), r.GetRuntimeHandler(), b.s.Host)
	if err != nil {
		return nil, err
	}
	made, err := b.s.Engine.RunPod(ctx, p)
	if err != nil {
		return nil, err
	}
	return &cri.RunPodSandboxResponse{PodSandboxId: made.ID}, nil
}

// StopPodSandbox kills what runs in the sandbox and ends it.
func (b *sandboxes) StopPodSandbox(ctx context.Context, r *cri.StopPodSandboxRequest) (*cri.StopPodSandboxResponse, error) {
	return &cri.StopPodSandboxResponse{}, b.stop(ctx, r.GetPodSandboxId())
}

func (b *sandboxes) stop(ctx context.Context, id string) error {
	p, err := b.sandbox(id)
	if err != nil {
		return absentIsDone(err)
	}
	now := time.Duration(0)
	return b.s.Engine.StopPod(ctx, p.ID, &now)
}

// absentIsDone makes NotFound a success: the CRI's stop and remove are idempotent.
func absentIsDone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// RemovePodSandbox stops the sandbox if need be, and removes it with its containers.
func (b *sandboxes) RemovePodSandbox(ctx context.Context, r *cri.RemovePodSandboxRequest) (*cri.RemovePodSandboxResponse, error) {
	p, err := b.sandbox(r.GetPodSandboxId())
	if err != nil {
		return &cri.RemovePodSandboxResponse{}, absentIsDone(err)
	}
	if err := b.stop(ctx, p.ID); err != nil {
		return nil, err
	}
	return &cri.RemovePodSandboxResponse{}, absentIsDone(b.s.Engine.RemovePod(ctx, p.ID))
}

// PodSandboxStatus tells of one sandbox, with its containers at the same instant. It has no
// timestamp: for a kubelet v1.37 with EventedPLEG one means that no container is of the
// present sandbox, and it runs the init containers again (kuberuntime_manager.go,
// GetPodStatus). Without one the kubelet takes the instant of its own list, which is right.
func (b *sandboxes) PodSandboxStatus(ctx context.Context, r *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	p, err := b.sandbox(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	out := &cri.PodSandboxStatusResponse{Status: shown.SandboxStatus(p)}
	for _, c := range b.containers(selection{sandbox: p.ID}) {
		out.ContainersStatuses = append(out.ContainersStatuses, b.s.status(ctx, c))
	}
	if r.GetVerbose() {
		in, err := b.s.Engine.InspectPod(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		out.Info, err = shown.SandboxInfo(in.Pod, in.Observed)
		return out, err
	}
	return out, nil
}

// ListPodSandbox lists sandboxes, newest first.
func (b *sandboxes) ListPodSandbox(_ context.Context, r *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	return shown.SandboxList(b.listSandboxes(r.GetFilter()))
}

// StreamPodSandboxes is ListPodSandbox in pieces.
func (b *sandboxes) StreamPodSandboxes(r *cri.StreamPodSandboxesRequest, to grpc.ServerStreamingServer[cri.StreamPodSandboxesResponse]) error {
	return inPieces(b.listSandboxes(r.GetFilter()), func(some []*cri.PodSandbox) error {
		return to.Send(&cri.StreamPodSandboxesResponse{PodSandboxes: some})
	})
}

// UpdatePodSandboxResources changes the limits of the pod's own cgroup.
func (b *sandboxes) UpdatePodSandboxResources(ctx context.Context, r *cri.UpdatePodSandboxResourcesRequest) (*cri.UpdatePodSandboxResourcesResponse, error) {
	p, err := b.sandbox(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	limits, err := asked.Sandbox(r.GetResources(), r.GetOverhead(), b.s.Host)
	if err != nil {
		return nil, err
	}
	overhead, _, err := asked.Resources(r.GetOverhead(), b.s.Host)
	if err != nil {
		return nil, err
	}
	done, err := b.s.UpdatePod(ctx, p, overhead, limits)
	if err != nil {
		return nil, err
	}
	if err := b.s.Groups.UpdateGroupWithin(ctx, p.Cgroup, limits); err != nil {
		return nil, err
	}
	done()
	return &cri.UpdatePodSandboxResourcesResponse{}, nil
}

// What a Stream… message has at most, in items and in bytes: one sandbox's annotations
// alone may be 256 KB, and who streams wants no message near its limit.
const (
	piece      = 200
	pieceBytes = 1 << 20
)

// inPieces sends a list in messages that each hold something.
func inPieces[T proto.Message](all []T, send func([]T) error) error {
	for len(all) > 0 {
		n, size := 1, proto.Size(all[0])
		for n < min(piece, len(all)) {
			if size += proto.Size(all[n]); size > pieceBytes {
				break
			}
			n++
		}
		if err := send(all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}
