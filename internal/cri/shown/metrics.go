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
	value  uint64
}

// family is a metric that cAdvisor has for the kubelet, by the same name.
type family[T any] struct {
	name, help string
	kind       cri.MetricType
	labels     []string
	of         func(T) []sample
}

const (
	counter = cri.MetricType_COUNTER
	gauge   = cri.MetricType_GAUGE
)

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

// ContainerMetrics are the values of a container that runs.
func ContainerMetrics(u ContainerUse) *cri.ContainerMetrics {
	base := []string{u.Container.Name, u.Container.Cgroup, u.Container.Image, u.Container.ID, u.Pod.Namespace, u.Pod.Name}
	return &cri.ContainerMetrics{ContainerId: u.Container.ID, Metrics: valuesOf(containerFamilies(), u, base, u.Stats.At)}
}

// SandboxMetrics are the values of a pod: its network's, and its containers'.
func SandboxMetrics(p status.Pod, links []Link, containers []*cri.ContainerMetrics) *cri.PodSandboxMetrics {
	out := &cri.PodSandboxMetrics{PodSandboxId: p.ID, ContainerMetrics: containers}
	now := time.Now()
	for _, l := range links {
		out.Metrics = append(out.Metrics, valuesOf(linkFamilies(), l, []string{"", p.Cgroup, "", p.ID, p.Namespace, p.Name}, now)...)
	}
	return out
}

func valuesOf[T any](families []family[T], of T, base []string, at time.Time) []*cri.Metric {
	var out []*cri.Metric
	for _, f := range families {
		for _, s := range f.of(of) {
			out = append(out, &cri.Metric{
				Name: f.name, Timestamp: at.UnixNano(), MetricType: f.kind, LabelValues: slices.Concat(base, s.labels), Value: number(s.value),
			})
		}
	}
	return out
}

// plain is a family with one value and no labels of its own.
func plain[T any](name, help string, kind cri.MetricType, of func(T) uint64) family[T] {
	return family[T]{name: name, help: help, kind: kind, of: func(t T) []sample { return []sample{{value: of(t)}} }}
}

// onDevice is a family about the file system that a container writes to.
func onDevice(name, help string, kind cri.MetricType, of func(ContainerUse) uint64) family[ContainerUse] {
	return family[ContainerUse]{
		name: name, help: help, kind: kind, labels: []string{"device"},
		of: func(u ContainerUse) []sample { return []sample{{[]string{u.Device}, of(u)}} },
	}
}

// onLink is a family about a network interface.
func onLink(name, help string, of func(Link) uint64) family[Link] {
	return family[Link]{
		name: name, help: help, kind: counter, labels: []string{"interface"},
		of: func(l Link) []sample { return []sample{{[]string{l.Name}, of(l)}} },
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
