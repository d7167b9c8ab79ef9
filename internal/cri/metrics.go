package cri

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/shown"
	"carob/internal/lifecycle"
	"carob/internal/status"
	"carob/internal/sys/disk"
)

// metrics are the numbers that the kubelet's cAdvisor would have, for Prometheus.
type metrics struct {
	n        *stats
	families shown.Families
}

// ListMetricDescriptors names all metrics with their labels.
func (m *metrics) ListMetricDescriptors(context.Context, *cri.ListMetricDescriptorsRequest) (*cri.ListMetricDescriptorsResponse, error) {
	return &cri.ListMetricDescriptorsResponse{Descriptors: m.families.Descriptors()}, nil
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
	for _, u := range all {
		out = append(out, m.families.SandboxMetrics(u))
	}
	return out, err
}

// take reads those of the pods that are ready, and their containers that run.
func (m *metrics) take(ctx context.Context, pods []status.Pod) ([]*shown.PodUse, error) {
	space, err := disk.SpaceOf(m.n.s.Root)
	if err != nil {
		return nil, err
	}
	ready := slices.DeleteFunc(pods, func(p status.Pod) bool { return p.State != lifecycle.PodReady })
	return readAll(ctx, ready, func(p status.Pod) (*shown.PodUse, error) {
		one, err := m.sandbox(ctx, p, space)
		return one, m.n.unread.note(ctx, unreadable{"pod", p.ID, err})
	})
}

func (m *metrics) sandbox(ctx context.Context, p status.Pod, space disk.Space) (*shown.PodUse, error) {
	u := &shown.PodUse{Pod: p, GroupUse: shown.GroupUse{Since: p.CreatedAt, Device: m.n.s.Root}}
	u.Stats.At = time.Now()
	var err error
	if u.Links, err = readLinks(p); err != nil {
		return nil, err
	}
	if p.Cgroup != "" { // a container alone needs none for its pod
		if err = m.group(ctx, p.Cgroup, &u.GroupUse); err != nil {
			return nil, err
		}
	}
	running := slices.DeleteFunc(m.n.s.Engine.Containers(status.Filter{PodRef: p.ID}), func(c status.Container) bool {
		return c.State != lifecycle.ContainerRunning
	})
	u.Containers, err = readAll(ctx, running, func(c status.Container) (*shown.ContainerUse, error) {
		one, err := m.container(ctx, c, space)
		return one, m.n.unread.note(ctx, unreadable{"container", c.ID, err})
	})
	for _, c := range u.Containers {
		u.Census.Add(c.Census)
	}
	return u, err
}

func (m *metrics) group(ctx context.Context, path string, u *shown.GroupUse) (err error) {
	if u.Stats, err = m.n.s.Groups.GroupStats(ctx, path); err != nil {
		return err
	}
	u.Extremes, err = m.n.s.Groups.GroupExtremes(ctx, path)
	return err
}

func (m *metrics) container(ctx context.Context, c status.Container, space disk.Space) (*shown.ContainerUse, error) {
	u := &shown.ContainerUse{
		GroupUse: shown.GroupUse{Since: c.StartedAt, Device: m.n.s.Root}, Container: c,
		Size: space.Bytes, Inodes: space.Inodes, FreeInodes: space.FreeInodes,
	}
	err := m.group(ctx, c.Cgroup, &u.GroupUse)
	if err != nil {
		return nil, err
	}
	if u.Census, err = m.n.s.Groups.GroupCensus(ctx, c.Cgroup); err != nil {
		return nil, err
	}
	u.Written, _, err = m.n.written(ctx, c.ID)
	u.Uncounted = m.n.unread.note(ctx, unreadable{"files of container", c.ID, err}) != nil
	return u, nil
}

// Figures returns a reader of the values that ListPodSandboxMetrics has, in fractions where
// there are any, and of everybody's pods.
func Figures(s Services) func(context.Context) ([]shown.Figure, error) {
	m := &metrics{newStats(s), shown.NewFamilies()}
	return func(ctx context.Context) ([]shown.Figure, error) {
		all, err := m.take(ctx, s.Engine.Pods(status.Filter{}))
		var out []shown.Figure
		for _, u := range all {
			out = append(out, m.families.Figures(u)...)
		}
		return out, err
	}
}
