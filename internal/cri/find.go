package cri

import (
	"context"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/shown"
	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
)

// finder finds the kubelet's pods and containers: by their IDs, which crictl may
// shorten, never by the names that carob's own commands take.
type finder struct{ e *pod.Engine }

// gone is what an ID of nobody, or of somebody else's pod, is answered with.
func gone(what, id string) error {
	return fault.New(fault.NotFound, what+" "+id+": no such "+what)
}

func (f finder) sandbox(id string) (status.Pod, error) {
	p, err := f.e.Pod(id)
	if err != nil {
		return status.Pod{}, err
	}
	if id == "" || !strings.HasPrefix(p.ID, id) || !visible(p) {
		return status.Pod{}, gone("sandbox", id)
	}
	return p, nil
}

// visible tells whether a pod is the kubelet's, and complete.
func visible(p status.Pod) bool {
	return p.Spec.Owner == spec.OwnerCRI && (p.State == lifecycle.PodReady || p.State == lifecycle.PodExited)
}

func (f finder) container(id string) (status.Container, error) {
	c, err := f.e.Container(id)
	if err != nil {
		return status.Container{}, err
	}
	if id == "" || !strings.HasPrefix(c.ID, id) || c.State == lifecycle.ContainerAbsent || c.Owner != spec.OwnerCRI {
		return status.Container{}, gone("container", id)
	}
	return c, nil
}

// status is a container's, with its image by the registry's digest where there is one.
func (s Services) status(ctx context.Context, c status.Container) *cri.ContainerStatus {
	out := shown.ContainerStatus(c)
	if img, err := s.Images.Resolve(ctx, c.ImageID); err == nil {
		out.ImageRef = shown.ImageRef(c, img.Digests)
	}
	return out
}

// selection is what a list asks for; a zero field chooses everything.
type selection struct {
	id, sandbox string
	labels      map[string]string
}

func (f finder) sandboxes(s selection) []status.Pod {
	all := f.e.Pods(status.Filter{ID: s.id, Labels: s.labels})
	out := all[:0]
	for _, p := range all {
		if visible(p) {
			out = append(out, p)
		}
	}
	return out
}

// containers returns the chosen containers of the kubelet's pods. Those of one pod cost
// no more when there are many others.
func (f finder) containers(s selection) []status.Container {
	filter := status.Filter{ID: s.id, Labels: s.labels}
	if s.sandbox != "" {
		p, err := f.sandbox(s.sandbox)
		if err != nil {
			return nil
		}
		filter.PodRef = p.ID
	}
	all := f.e.Containers(filter)
	out := all[:0]
	for _, c := range all {
		if c.Owner == spec.OwnerCRI && c.State != lifecycle.ContainerAbsent {
			out = append(out, c)
		}
	}
	return out
}

func (f finder) listSandboxes(filter *cri.PodSandboxFilter) []*cri.PodSandbox {
	var out []*cri.PodSandbox
	for _, p := range f.sandboxes(selection{id: filter.GetId(), labels: filter.GetLabelSelector()}) {
		if s := shown.Sandbox(p); filter.GetState() == nil || s.State == filter.GetState().GetState() {
			out = append(out, s)
		}
	}
	return out
}

func (f finder) listContainers(filter *cri.ContainerFilter) []*cri.Container {
	var out []*cri.Container
	for _, c := range f.containers(selection{filter.GetId(), filter.GetPodSandboxId(), filter.GetLabelSelector()}) {
		if s := shown.Container(c); filter.GetState() == nil || s.State == filter.GetState().GetState() {
			out = append(out, s)
		}
	}
	return out
}
