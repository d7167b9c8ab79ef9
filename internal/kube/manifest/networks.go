package manifest

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"carob/internal/spec"
)

// NetworksAnnotation names the networks that a pod joins, with commas between them, the
// first with the default route. Kubernetes has no field for it.
const NetworksAnnotation = ownPrefix + "networks"

// maxNetworks bounds what one pod joins.
const maxNetworks = 32

// networkNames reads the annotation.
func networkNames(p *corev1.Pod) []string {
	text, there := p.Annotations[NetworksAnnotation]
	if !there {
		return nil
	}
	names := strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// networks translates the annotation.
func networks(p *corev1.Pod) (joins []spec.Join) {
	for _, name := range networkNames(p) {
		joins = append(joins, spec.Join{Network: name})
	}
	return joins
}

// validateNetworks checks what a name may be; which networks there are is known when the
// pod is made.
func validateNetworks(r *report, p *corev1.Pod) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
	path := "metadata.annotations[" + NetworksAnnotation + "]"
	names := networkNames(p)
	switch {
	case len(names) == 0:
		return
	case p.Spec.HostNetwork:
		r.invalid(path, "with hostNetwork the pod has the host's networks")
	case len(names) > maxNetworks:
		r.invalid(path, fmt.Sprintf("%d networks, at most %d", len(names), maxNetworks))
		return
	}
	for i, name := range names {
		switch {
		case name == "" || len(name) > 63 || strings.Trim(name, letters) != "":
			r.invalidf(path, "%.80q: not the name of a network; names stand with commas between them", name)
		case slices.Contains([]string{"none", "host", "own", "private", "pod", "container"}, name):
			r.invalidf(path, "%s: not the name of a network", name)
		case slices.Contains(names[:i], name):
			r.invalidf(path, "%s: named twice", name)
		}
	}
}
