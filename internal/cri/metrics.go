package cri

import (
	"context"
	"slices"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/shown"
	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/status"
	"carob/internal/sys/disk"
)

// metrics are the numbers that the kubelet's cAdvisor would have, for Prometheus.
type metrics struct{ n *stats }

// ListMetricDescriptors names all metrics with their labels.
func (m *metrics) ListMetricDescriptors(context.Context, *cri.ListMetricDescriptorsRequest) (*cri.ListMetricDescriptorsResponse, error) {
	return &cri.ListMetricDescriptorsResponse{Descriptors: shown.MetricDescriptors()}, nil
}

// ListPodSandboxMetrics are the metrics of all ready pods.
func (m *metrics) ListPodSandboxMetrics(ctx context.Context, _ *cri.ListPodSandboxMetricsRequest) (*cri.ListPodSandboxMetricsResponse, error) {
	all, err := m.list(ctx)
	return &cri.ListPodSandboxMetricsResponse{PodMetrics: all}, err
}

// StreamPodSandboxMetrics is ListPodSandboxMetrics in pieces.
func (m *metrics) StreamPodSandboxMetrics(_ *cri.StreamPodSandboxMetricsRequest, to grpc.ServerStreamingServer[cri.StreamPodSandboxMetricsResponse]) error {
	all, err := m.list(to.Context())
	if err != nil {
		return err
	}
	return inPieces(all, func(some []*cri.PodSandboxMetrics) error {
		return to.Send(&cri.StreamPodSandboxMetricsResponse{PodSandboxMetrics: some})
	})
}

func (m *metrics) list(ctx context.Context) ([]*cri.PodSandboxMetrics, error) {
	all, err := m.take(ctx, m.n.sandboxes(selection{}))
	out := make([]*cri.PodSandboxMetrics, 0, len(all))
	for _, t := range all {
		out = append(out, shown.SandboxMetrics(t.pod, t.links, t.containers))
	}
	return out, err
}

// taken is what was read of one pod and its containers that run.
type taken struct {
	pod        status.Pod
	links      []shown.Link
	containers []shown.ContainerUse
}

// take reads those of the pods that are ready. What could be read comes with the error.
func (m *metrics) take(ctx context.Context, pods []status.Pod) ([]*taken, error) {
	space, err := disk.SpaceOf(m.n.s.Root)
	if err != nil {
		return nil, err
	}
	ready := slices.DeleteFunc(pods, func(p status.Pod) bool { return p.State != lifecycle.PodReady })
	return readAll(ready, func(p status.Pod) (*taken, error) { return m.sandbox(ctx, p, space) })
}

func (m *metrics) sandbox(ctx context.Context, p status.Pod, space disk.Space) (*taken, error) {
	links, err := readLinks(p)
	if err != nil {
		return nil, err
	}
	running := slices.DeleteFunc(m.n.s.Engine.Containers(pod.Filter{PodRef: p.ID}), func(c status.Container) bool {
		return c.State != lifecycle.ContainerRunning
	})
	containers, err := readAll(running, func(c status.Container) (*shown.ContainerUse, error) {
		u := shown.ContainerUse{
			Pod: p, Container: c, Device: m.n.s.Root, Size: space.Bytes, Inodes: space.Inodes, FreeInodes: space.FreeInodes,
		}
		var err error
		if u.Stats, err = m.n.s.Groups.GroupStats(ctx, c.Cgroup); err != nil {
			return nil, err
		}
		if u.Census, err = m.n.s.Groups.GroupCensus(ctx, c.Cgroup); err != nil {
			return nil, err
		}
		u.Written, u.Files, err = m.n.written(ctx, c.ID)
		return &u, err
	})
	t := &taken{pod: p, links: links}
	for _, u := range containers {
		t.containers = append(t.containers, *u)
	}
	return t, err
}

// Figures returns a reader of the values that ListPodSandboxMetrics has, in fractions where
// there are any, and of everybody's pods. What could be read comes with its error.
func Figures(s Services) func(context.Context) ([]shown.Figure, error) {
	m := &metrics{newStats(s)}
	return func(ctx context.Context) ([]shown.Figure, error) {
		all, err := m.take(ctx, s.Engine.Pods(pod.Filter{}))
		var out []shown.Figure
		for _, t := range all {
			out = append(out, shown.LinkFigures(t.pod, t.links)...)
			for _, u := range t.containers {
				out = append(out, shown.ContainerFigures(u)...)
			}
		}
		return out, err
	}
}
