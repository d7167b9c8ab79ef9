package manifest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// DefaultGrace is Kubernetes' terminationGracePeriodSeconds when unset.
const DefaultGrace = 30

// setDefaults fills in what the API server would, as far as carob reads it.
func setDefaults(p *corev1.Pod) {
	if p.Namespace == "" {
		p.Namespace = "default"
	}
	s := &p.Spec
	if s.RestartPolicy == "" {
		s.RestartPolicy = corev1.RestartPolicyAlways
	}
	if s.DNSPolicy == "" {
		s.DNSPolicy = corev1.DNSClusterFirst
	}
	if s.TerminationGracePeriodSeconds == nil {
		s.TerminationGracePeriodSeconds = new(int64(DefaultGrace))
	}
	for i := range s.Volumes {
		if s.Volumes[i].VolumeSource == (corev1.VolumeSource{}) {
			s.Volumes[i].EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
	eachContainer(p, func(_ string, c *corev1.Container) { containerDefaults(c, s.HostNetwork) })
}

func containerDefaults(c *corev1.Container, hostNetwork bool) {
	for i := range c.Ports {
		port := &c.Ports[i]
		if port.Protocol == "" {
			port.Protocol = corev1.ProtocolTCP
		}
		if hostNetwork && port.HostPort == 0 {
			port.HostPort = port.ContainerPort
		}
	}
	for name, limit := range c.Resources.Limits {
		if _, ok := c.Resources.Requests[name]; ok {
			continue
		}
		if c.Resources.Requests == nil {
			c.Resources.Requests = corev1.ResourceList{}
		}
		c.Resources.Requests[name] = limit.DeepCopy()
	}
}

// eachContainer visits init containers, then containers, with their paths.
func eachContainer(p *corev1.Pod, visit func(path string, c *corev1.Container)) {
	for i := range p.Spec.InitContainers {
		visit(fmt.Sprintf("spec.initContainers[%d]", i), &p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		visit(fmt.Sprintf("spec.containers[%d]", i), &p.Spec.Containers[i])
	}
}

// isSidecar tells an init container that is started and left running.
func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// or returns the first of two optional values that is set.
func or[T any](a, b *T) *T {
	if a != nil {
		return a
	}
	return b
}
