package cri

import (
	"context"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/shown"
	"carob/internal/lifecycle"
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
	space, err := disk.SpaceOf(m.n.s.Root)
	if err != nil {
		return nil, err
	}
	var ready []status.Pod
	for _, p := range m.n.sandboxes(selection{}) {
		if p.State == lifecycle.PodReady {
			ready = append(ready, p)
		}
	}
	return readAll(ready, func(p status.Pod) (*cri.PodSandboxMetrics, error) { return m.sandbox(ctx, p, space) })
}

func (m *metrics) sandbox(ctx context.Context, p status.Pod, space disk.Space) (*cri.PodSandboxMetrics, error) {
	links, err := readLinks(p)
	if err != nil {
		return nil, err
	}
	var running []status.Container
	for _, c := range m.n.containers(selection{sandbox: p.ID}) {
		if c.State == lifecycle.ContainerRunning {
			running = append(running, c)
		}
	}
	containers, err := readAll(running, func(c status.Container) (*cri.ContainerMetrics, error) {
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
		return shown.ContainerMetrics(u), err
	})
	return shown.SandboxMetrics(p, links, containers), err
}
