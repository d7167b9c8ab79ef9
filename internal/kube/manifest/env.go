package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// expand replaces $(NAME) by its value; $$ is a $, and what is not defined or not
// closed stays as it is written (Kubernetes' expansion rules).
func expand(s string, vars map[string]string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 || i == len(s)-1 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:i])
		s = s[i:]
		end := strings.IndexByte(s, ')')
		switch {
		case s[1] == '$':
			b.WriteByte('$')
			s = s[2:]
		case s[1] == '(' && end > 0:
			if v, ok := vars[s[2:end]]; ok {
				b.WriteString(v)
			} else {
				b.WriteString(s[:end+1])
			}
			s = s[end+1:]
		default:
			b.WriteByte('$')
			s = s[1:]
		}
	}
}

func expandAll(words []string, vars map[string]string) []string {
	var out []string
	for _, w := range words {
		out = append(out, expand(w, vars))
	}
	return out
}

// environment resolves a container's variables in order: each value may use those
// before it, a later one of the same name replaces the earlier.
func environment(p *corev1.Pod, c *corev1.Container, f Facts) (words []string, vars map[string]string, err error) {
	vars = map[string]string{}
	var order []string
	for _, e := range c.Env {
		v, err := envValue(p, c, e, envFacts{f, vars})
		if err != nil {
			return nil, nil, fmt.Errorf("container %s: env %s: %w", c.Name, e.Name, err)
		}
		if _, ok := vars[e.Name]; !ok {
			order = append(order, e.Name)
		}
		vars[e.Name] = v
	}
	for _, name := range order {
		words = append(words, name+"="+vars[name])
	}
	return words, vars, nil
}

type envFacts struct {
	Facts
	vars map[string]string
}

func envValue(p *corev1.Pod, c *corev1.Container, e corev1.EnvVar, f envFacts) (string, error) {
	switch {
	case e.ValueFrom == nil:
		return expand(e.Value, f.vars), nil
	case e.ValueFrom.FieldRef != nil:
		return podField(p, e.ValueFrom.FieldRef.FieldPath, f.Facts)
	case e.ValueFrom.ResourceFieldRef != nil:
		return resourceField(p, c, e.ValueFrom.ResourceFieldRef, f.Facts)
	}
	return "", fmt.Errorf("no source")
}

// podField is the downward API for variables.
func podField(p *corev1.Pod, path string, f Facts) (string, error) {
	if name, key, ok := subscript(path); ok {
		switch name {
		case "metadata.labels":
			return p.Labels[key], nil
		case "metadata.annotations":
			return p.Annotations[key], nil
		}
	}
	fields := map[string]string{
		"metadata.name":           p.Name,
		"metadata.namespace":      p.Namespace,
		"metadata.uid":            f.UID,
		"spec.nodeName":           f.NodeName,
		"spec.serviceAccountName": p.Spec.ServiceAccountName,
		"status.hostIP":           first(f.HostIPs),
		"status.hostIPs":          strings.Join(f.HostIPs, ","),
		"status.podIP":            first(podIPs(p, f)),
		"status.podIPs":           strings.Join(podIPs(p, f), ","),
	}
	v, ok := fields[path]
	if !ok {
		return "", fmt.Errorf("%q is not a field that a variable can have%s", path, didYouMean(path, sortedKeys(fields)))
	}
	return v, nil
}

func podIPs(p *corev1.Pod, f Facts) []string {
	if p.Spec.HostNetwork {
		return f.HostIPs
	}
	return f.PodIPs
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// subscript splits metadata.labels['KEY'].
func subscript(path string) (name, key string, ok bool) {
	name, rest, ok := strings.Cut(path, "['")
	key, closed := strings.CutSuffix(rest, "']")
	return name, key, ok && closed
}

// resourceField is a limit or request in units of a divisor, rounded up. A limit
// that is not set is all of the machine, as it is all of the node in Kubernetes.
func resourceField(p *corev1.Pod, c *corev1.Container, ref *corev1.ResourceFieldSelector, f Facts) (string, error) {
	if ref.ContainerName != "" {
		if c = containerNamed(p, ref.ContainerName); c == nil {
			return "", fmt.Errorf("no container %q", ref.ContainerName)
		}
	}
	kind, name, _ := strings.Cut(ref.Resource, ".")
	if !isResource(name) || (kind != "limits" && kind != "requests") {
		return "", fmt.Errorf("%q is not a resource (such as limits.memory or requests.cpu)", ref.Resource)
	}
	unit, err := divisor(name, ref.Divisor)
	if err != nil {
		return "", err
	}
	n := amount(c.Resources.Requests, corev1.ResourceName(name))
	if kind == "limits" {
		if n, err = limitOf(c, name, f); err != nil {
			return "", err
		}
	}
	whole := n / unit
	if n%unit != 0 {
		whole++
	}
	return strconv.FormatInt(whole, 10), nil
}

func isResource(name string) bool {
	return name == "cpu" || name == "memory" || name == "ephemeral-storage" || strings.HasPrefix(name, hugepages)
}

// limitOf is a container's limit, or what the machine has.
func limitOf(c *corev1.Container, name string, f Facts) (int64, error) {
	n := amount(c.Resources.Limits, corev1.ResourceName(name))
	switch {
	case n > 0:
		return n, nil
	case name == "cpu":
		return int64(f.CPUs) * 1000, nil
	case name == "memory":
		return f.Memory, nil
	case name == "ephemeral-storage":
		return 0, fmt.Errorf("container %s has no limits.ephemeral-storage", c.Name)
	}
	return 0, nil
}

func containerNamed(p *corev1.Pod, name string) (found *corev1.Container) {
	eachContainer(p, func(_ string, c *corev1.Container) {
		if c.Name == name {
			found = c
		}
	})
	return found
}

// divisor returns the unit in milli-CPUs or bytes.
func divisor(name string, q resource.Quantity) (int64, error) {
	text := q.String()
	if name == "cpu" {
		switch text {
		case "0", "1":
			return 1000, nil
		case "1m":
			return 1, nil
		}
		return 0, fmt.Errorf("divisor %s is not 1m or 1", text)
	}
	if text == "0" {
		return 1, nil
	}
	if !slices.Contains(strings.Fields("1 1k 1M 1G 1T 1P 1E 1Ki 1Mi 1Gi 1Ti 1Pi 1Ei"), text) {
		return 0, fmt.Errorf("divisor %s is not 1 or one of k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei", text)
	}
	return q.Value(), nil
}
