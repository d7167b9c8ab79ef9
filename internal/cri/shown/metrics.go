package shown

import (
	"slices"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/status"
)

// GroupUse is what a group uses.
type GroupUse struct {
	Stats    status.Stats
	Extremes status.Extremes
	Census   status.Census
	// Since is when its first process was started.
	Since time.Time
	// Device is the file system that is written to.
	Device string
}

// ContainerUse is what a container's metrics are made from.
type ContainerUse struct {
	GroupUse
	Container status.Container
	// Written is in bytes; Uncounted says that nobody knows.
	Written   uint64
	Uncounted bool
	// Of Device, in bytes and inodes.
	Size, Inodes, FreeInodes uint64
}

// PodUse is what a pod's metrics are made from.
type PodUse struct {
	GroupUse
	Pod        status.Pod
	Links      []Link
	Containers []*ContainerUse
}

// sample is one value of a family, with the values of the family's own labels.
type sample struct {
	labels []string
	value  float64
}

// family is a metric that cAdvisor has for the kubelet, by the same name.
type family[T any] struct {
	name, help string
	kind       kind
	labels     []string
	of         func(T) []sample
}

// kind says whether values only grow.
type kind bool

const (
	counter kind = true
	gauge   kind = false
)

// Figure is one value of a family, as Prometheus has it.
type Figure struct {
	Name, Help     string
	Counter        bool
	Labels, Values []string
	Value          float64
}

// baseLabels are those of every metric, cAdvisor's.
func baseLabels() []string { return []string{"container", "id", "image", "name", "namespace", "pod"} }

// MetricDescriptors describes every family.
func MetricDescriptors() []*cri.MetricDescriptor {
	return slices.Concat(described(groupFamilies()), described(containerFamilies()), described(linkFamilies()))
}

func described[T any](families []family[T]) []*cri.MetricDescriptor {
	var out []*cri.MetricDescriptor
	for _, f := range families {
		out = append(out, &cri.MetricDescriptor{Name: f.name, Help: f.help, LabelKeys: slices.Concat(baseLabels(), f.labels)})
	}
	return out
}

// Figures are the values of a pod, and of its containers that run.
func (u *PodUse) Figures() []Figure {
	out := u.own()
	for _, c := range u.Containers {
		out = append(out, u.of(c)...)
	}
	return out
}

// own are the pod's as a whole: cAdvisor's of a pod's group, with neither container nor
// image, by which who adds up containers leaves them out; and those of its network.
func (u *PodUse) own() []Figure {
	var out []Figure
	if u.Pod.Cgroup != "" {
		out = figures(groupFamilies(), u.GroupUse, []string{"", u.Pod.Cgroup, "", "", u.Pod.Namespace, u.Pod.Name})
	}
	for _, l := range u.Links {
		out = append(out, figures(linkFamilies(), l, []string{"", u.Pod.Cgroup, "", u.Pod.ID, u.Pod.Namespace, u.Pod.Name})...)
	}
	return out
}

func (u *PodUse) of(c *ContainerUse) []Figure {
	base := []string{c.Container.Name, c.Container.Cgroup, c.Container.Image, c.Container.ID, u.Pod.Namespace, u.Pod.Name}
	return append(figures(groupFamilies(), c.GroupUse, base), figures(containerFamilies(), *c, base)...)
}

func figures[T any](families []family[T], of T, base []string) []Figure {
	var out []Figure
	for _, f := range families {
		for _, s := range f.of(of) {
			out = append(out, Figure{f.name, f.help, bool(f.kind), slices.Concat(baseLabels(), f.labels), slices.Concat(base, s.labels), s.value})
		}
	}
	return out
}

// SandboxMetrics are the values of a pod, and of its containers.
func SandboxMetrics(u *PodUse) *cri.PodSandboxMetrics {
	out := &cri.PodSandboxMetrics{PodSandboxId: u.Pod.ID, Metrics: inWhole(u.own(), u.Stats.At)}
	for _, c := range u.Containers {
		out.ContainerMetrics = append(out.ContainerMetrics, &cri.ContainerMetrics{ContainerId: c.Container.ID, Metrics: inWhole(u.of(c), c.Stats.At)})
	}
	return out
}

// inWhole gives values in whole numbers: the CRI has no others.
func inWhole(all []Figure, at time.Time) []*cri.Metric {
	out := make([]*cri.Metric, 0, len(all))
	for _, f := range all {
		m := &cri.Metric{Name: f.Name, Timestamp: at.UnixNano(), MetricType: cri.MetricType_GAUGE, LabelValues: f.Values, Value: number(uint64(f.Value))}
		if f.Counter {
			m.MetricType = cri.MetricType_COUNTER
		}
		out = append(out, m)
	}
	return out
}

// plain is a family with one value and no labels of its own.
func plain[T any, N uint64 | float64](name, help string, kind kind, of func(T) N) family[T] {
	return family[T]{name: name, help: help, kind: kind, of: func(t T) []sample { return []sample{{value: float64(of(t))}} }}
}

// onDevice is a family about the file system that is written to.
func onDevice[T interface{ device() string }](name, help string, kind kind, of func(T) uint64) family[T] {
	return family[T]{
		name: name, help: help, kind: kind, labels: []string{"device"},
		of: func(u T) []sample { return []sample{{[]string{u.device()}, float64(of(u))}} },
	}
}

func (u GroupUse) device() string { return u.Device }

// onLink is a family about a network interface.
func onLink(name, help string, of func(Link) uint64) family[Link] {
	return family[Link]{
		name: name, help: help, kind: counter, labels: []string{"interface"},
		of: func(l Link) []sample { return []sample{{[]string{l.Name}, float64(of(l))}} },
	}
}

func linkFamilies() []family[Link] {
	return []family[Link]{
		onLink("container_network_receive_bytes_total", "Bytes received", func(l Link) uint64 { return l.Received.Bytes }),
		onLink("container_network_receive_errors_total", "Errors while receiving", func(l Link) uint64 { return l.Received.Errors }),
		onLink("container_network_receive_packets_total", "Packets received", func(l Link) uint64 { return l.Received.Packets }),
		onLink("container_network_receive_packets_dropped_total", "Packets dropped while receiving", func(l Link) uint64 { return l.Received.Dropped }),
		onLink("container_network_transmit_bytes_total", "Bytes sent", func(l Link) uint64 { return l.Sent.Bytes }),
		onLink("container_network_transmit_errors_total", "Errors while sending", func(l Link) uint64 { return l.Sent.Errors }),
		onLink("container_network_transmit_packets_total", "Packets sent", func(l Link) uint64 { return l.Sent.Packets }),
		onLink("container_network_transmit_packets_dropped_total", "Packets dropped while sending", func(l Link) uint64 { return l.Sent.Dropped }),
	}
}
