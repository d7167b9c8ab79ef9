package shown

import (
	"slices"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/status"
	"carob/internal/sys/procfs"
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
	Links      []procfs.Link
	Containers []*ContainerUse
}

// family is a metric that cAdvisor has for the kubelet, by the same name.
type family[T any] struct {
	name, help string
	kind       kind
	// labels are its own; in Families all.
	labels []string
	// of tells its values, each with those of its own labels.
	of func(t T, tell func(value float64, labels ...string))
}

// kind says whether values only grow.
type kind bool

const (
	counter kind = true
	gauge   kind = false
)

// Figure is one value of a family, as Prometheus has it. Other figures have the same
// slices.
type Figure struct {
	Name, Help     string
	Counter        bool
	Labels, Values []string
	Value          float64
}

// baseLabels are those of every metric, cAdvisor's.
func baseLabels() []string { return []string{"container", "id", "image", "name", "namespace", "pod"} }

// Families are all that there are.
type Families struct {
	group     []family[GroupUse]
	container []family[ContainerUse]
	link      []family[procfs.Link]
}

// NewFamilies puts them together once for many values.
func NewFamilies() Families {
	return Families{labelled(groupFamilies()), labelled(containerFamilies()), labelled(linkFamilies())}
}

// labelled puts the labels that every metric has before each family's own.
func labelled[T any](all []family[T]) []family[T] {
	for i := range all {
		all[i].labels = slices.Concat(baseLabels(), all[i].labels)
	}
	return all
}

// Descriptors describes every family.
func (f Families) Descriptors() []*cri.MetricDescriptor {
	return slices.Concat(described(f.group), described(f.container), described(f.link))
}

func described[T any](families []family[T]) []*cri.MetricDescriptor {
	var out []*cri.MetricDescriptor
	for _, f := range families {
		out = append(out, &cri.MetricDescriptor{Name: f.name, Help: f.help, LabelKeys: f.labels})
	}
	return out
}

// Figures are the values of a pod, and of its containers that run.
func (f Families) Figures(u *PodUse) []Figure {
	out := f.pod(u)
	for _, c := range u.Containers {
		out = append(out, f.of(u, c)...)
	}
	return out
}

// pod has those of a pod as a whole: cAdvisor's of a pod's group, with neither container nor
// image, by which who adds up containers leaves them out; and those of its network.
func (f Families) pod(u *PodUse) []Figure {
	out := make([]Figure, 0, len(f.group)+len(u.Links)*len(f.link)+4)
	if u.Pod.Cgroup != "" {
		out = figures(out, f.group, u.GroupUse, []string{"", u.Pod.Cgroup, "", "", u.Pod.Namespace, u.Pod.Name})
	}
	for _, l := range u.Links {
		out = figures(out, f.link, l, []string{"", u.Pod.Cgroup, "", u.Pod.ID, u.Pod.Namespace, u.Pod.Name})
	}
	return out
}

func (f Families) of(u *PodUse, c *ContainerUse) []Figure {
	base := []string{c.Container.Name, c.Container.Cgroup, c.Container.Image, c.Container.ID, u.Pod.Namespace, u.Pod.Name}
	out := make([]Figure, 0, len(f.group)+len(f.container)+4)
	return figures(figures(out, f.group, c.GroupUse, base), f.container, *c, base)
}

func figures[T any](out []Figure, families []family[T], of T, base []string) []Figure {
	for _, f := range families {
		f.of(of, func(value float64, labels ...string) {
			values := base // shared: nobody changes them
			if len(labels) > 0 {
				values = slices.Concat(base, labels)
			}
			out = append(out, Figure{f.name, f.help, bool(f.kind), f.labels, values, value})
		})
	}
	return out
}

// SandboxMetrics are the values of a pod, and of its containers.
func (f Families) SandboxMetrics(u *PodUse) *cri.PodSandboxMetrics {
	out := &cri.PodSandboxMetrics{PodSandboxId: u.Pod.ID, Metrics: inWhole(f.pod(u), u.Stats.At)}
	for _, c := range u.Containers {
		out.ContainerMetrics = append(out.ContainerMetrics, &cri.ContainerMetrics{ContainerId: c.Container.ID, Metrics: inWhole(f.of(u, c), c.Stats.At)})
	}
	return out
}

// inWhole gives values in whole numbers: the CRI has no others.
func inWhole(all []Figure, at time.Time) []*cri.Metric {
	out := make([]*cri.Metric, len(all))
	made := make([]struct { // all at once: there are tens of thousands
		metric cri.Metric
		value  cri.UInt64Value
	}, len(all))
	for i, f := range all {
		m := &made[i].metric
		m.Name, m.Timestamp, m.LabelValues, m.Value = f.Name, at.UnixNano(), f.Values, &made[i].value
		m.Value.Value = uint64(f.Value)
		if m.MetricType = cri.MetricType_GAUGE; f.Counter {
			m.MetricType = cri.MetricType_COUNTER
		}
		out[i] = m
	}
	return out
}

// plain is a family with one value and no labels of its own.
func plain[T any, N uint64 | float64](name, help string, kind kind, of func(T) N) family[T] {
	return family[T]{name: name, help: help, kind: kind, of: func(t T, tell func(float64, ...string)) { tell(float64(of(t))) }}
}

// onDevice is a family about the file system that is written to.
func onDevice[T interface{ device() string }](name, help string, kind kind, of func(T) uint64) family[T] {
	return family[T]{
		name: name, help: help, kind: kind, labels: []string{"device"},
		of: func(u T, tell func(float64, ...string)) { tell(float64(of(u)), u.device()) },
	}
}

func (u GroupUse) device() string { return u.Device }

// onLink is a family about a network interface.
func onLink(name, help string, of func(procfs.Link) uint64) family[procfs.Link] {
	return family[procfs.Link]{
		name: name, help: help, kind: counter, labels: []string{"interface"},
		of: func(l procfs.Link, tell func(float64, ...string)) { tell(float64(of(l)), l.Name) },
	}
}

func linkFamilies() []family[procfs.Link] {
	return []family[procfs.Link]{
		onLink("container_network_receive_bytes_total", "Bytes received", func(l procfs.Link) uint64 { return l.Received.Bytes }),
		onLink("container_network_receive_errors_total", "Errors while receiving", func(l procfs.Link) uint64 { return l.Received.Errors }),
		onLink("container_network_receive_packets_total", "Packets received", func(l procfs.Link) uint64 { return l.Received.Packets }),
		onLink("container_network_receive_packets_dropped_total", "Packets dropped while receiving", func(l procfs.Link) uint64 { return l.Received.Dropped }),
		onLink("container_network_transmit_bytes_total", "Bytes sent", func(l procfs.Link) uint64 { return l.Sent.Bytes }),
		onLink("container_network_transmit_errors_total", "Errors while sending", func(l procfs.Link) uint64 { return l.Sent.Errors }),
		onLink("container_network_transmit_packets_total", "Packets sent", func(l procfs.Link) uint64 { return l.Sent.Packets }),
		onLink("container_network_transmit_packets_dropped_total", "Packets dropped while sending", func(l procfs.Link) uint64 { return l.Sent.Dropped }),
	}
}
