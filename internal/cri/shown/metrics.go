package shown

import (
	"slices"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/status"
)

// ContainerUse is what a container's metrics are made from.
type ContainerUse struct {
	Pod       status.Pod
	Container status.Container
	Stats     status.Stats
	Census    status.Census
	// Written and Files are the bytes and inodes of what the container wrote; Device is
	// the file system they are on, with its size and inodes.
	Written, Files           uint64
	Device                   string
	Size, Inodes, FreeInodes uint64
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
	var out []*cri.MetricDescriptor
	for _, f := range containerFamilies() {
		out = append(out, &cri.MetricDescriptor{Name: f.name, Help: f.help, LabelKeys: slices.Concat(baseLabels(), f.labels)})
	}
	for _, f := range linkFamilies() {
		out = append(out, &cri.MetricDescriptor{Name: f.name, Help: f.help, LabelKeys: slices.Concat(baseLabels(), f.labels)})
	}
	return out
}

// ContainerFigures are the values of a container that runs.
func ContainerFigures(u ContainerUse) []Figure {
	return figures(containerFamilies(), u, []string{u.Container.Name, u.Container.Cgroup, u.Container.Image, u.Container.ID, u.Pod.Namespace, u.Pod.Name})
}

// LinkFigures are the values of a pod's network.
func LinkFigures(p status.Pod, links []Link) []Figure {
	var out []Figure
	for _, l := range links {
		out = append(out, figures(linkFamilies(), l, []string{"", p.Cgroup, "", p.ID, p.Namespace, p.Name})...)
	}
	return out
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

// SandboxMetrics are the values of a pod: its network's, and its containers'.
func SandboxMetrics(p status.Pod, links []Link, containers []ContainerUse) *cri.PodSandboxMetrics {
	out := &cri.PodSandboxMetrics{PodSandboxId: p.ID, Metrics: inWhole(LinkFigures(p, links), time.Now())}
	for _, u := range containers {
		out.ContainerMetrics = append(out.ContainerMetrics, &cri.ContainerMetrics{ContainerId: u.Container.ID, Metrics: inWhole(ContainerFigures(u), u.Stats.At)})
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

// onDevice is a family about the file system that a container writes to.
func onDevice(name, help string, kind kind, of func(ContainerUse) uint64) family[ContainerUse] {
	return family[ContainerUse]{
		name: name, help: help, kind: kind, labels: []string{"device"},
		of: func(u ContainerUse) []sample { return []sample{{[]string{u.Device}, float64(of(u))}} },
	}
}

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
