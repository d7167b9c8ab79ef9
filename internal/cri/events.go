package cri

import (
	"context"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/shown"
	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

type events struct {
	s Services
	finder
}

// GetContainerEvents tells of every change of the kubelet's pods and containers from now
// on, with the state of the whole pod at one instant, not before the change. Events of
// one pod come in order. A reader that is too slow loses the stream, and asks again.
func (v *events) GetContainerEvents(_ *cri.GetEventsRequest, to grpc.ServerStreamingServer[cri.ContainerEventResponse]) error {
	following := v.s.Engine.Events(to.Context(), 0)
	if err := to.SendHeader(nil); err != nil { // whoever waits for it misses nothing from here on
		return err
	}
	told := map[string]*cri.PodSandboxStatus{} // pods whose removal is news, as they were last
	for _, p := range v.sandboxes(selection{}) {
		told[p.ID] = shown.SandboxStatus(p)
	}
	for e := range following {
		if e.Type == "engine" {
			return fault.New(fault.Unavailable, "events were lost, this reader is too slow")
		}
		kind, id, known := eventKind(e)
		if !known {
			continue
		}
		out := v.snapshot(to.Context(), e.PodID)
		if out == nil { // the kubelet finds its pod by the metadata
			last, ok := told[e.PodID]
			if !ok {
				continue
			}
			last.State = cri.PodSandboxState_SANDBOX_NOTREADY
			out = &cri.ContainerEventResponse{PodSandboxStatus: last}
		}
		told[e.PodID] = out.PodSandboxStatus
		if e.Type == "pod" && kind == cri.ContainerEventType_CONTAINER_DELETED_EVENT {
			delete(told, e.PodID)
		}
		out.ContainerId, out.ContainerEventType, out.CreatedAt = id, kind, e.Time.UnixNano()
		if err := to.Send(out); err != nil {
			return err
		}
	}
	return nil
}

// eventKind is the CRI's word for one of the engine's events; a sandbox counts as a
// container with the pod's ID.
func eventKind(e status.Event) (kind cri.ContainerEventType, id string, known bool) {
	if id = e.ContainerID; e.Type == "pod" {
		id = e.PodID
	}
	switch e.Action {
	case "create":
		return cri.ContainerEventType_CONTAINER_CREATED_EVENT, id, true
	case "start":
		return cri.ContainerEventType_CONTAINER_STARTED_EVENT, id, true
	case "exit":
		return cri.ContainerEventType_CONTAINER_STOPPED_EVENT, id, true
	case "stop":
		return cri.ContainerEventType_CONTAINER_STOPPED_EVENT, id, e.Type == "pod"
	case "remove":
		return cri.ContainerEventType_CONTAINER_DELETED_EVENT, id, true
	}
	return 0, "", false
}

// snapshot is the pod with its containers; nil when it is gone, or not the kubelet's.
func (v *events) snapshot(ctx context.Context, podID string) *cri.ContainerEventResponse {
	p, err := v.s.Engine.Pod(podID)
	if err != nil || p.Spec.Owner != spec.OwnerCRI {
		return nil
	}
	out := &cri.ContainerEventResponse{PodSandboxStatus: shown.SandboxStatus(p), CreatedAt: time.Now().UnixNano()}
	for _, c := range v.s.Engine.Containers(status.Filter{PodRef: p.ID}) {
		if c.State != "" {
			out.ContainersStatuses = append(out.ContainersStatuses, v.s.status(ctx, c))
		}
	}
	return out
}
