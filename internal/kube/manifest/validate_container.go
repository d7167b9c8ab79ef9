package manifest

import (
	"fmt"
	"net/netip"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// containerCheck validates containers one after the other; the maps hold what
// must be unique in the pod, with the path that has it.
type containerCheck struct {
	*report
	pod              *corev1.Pod
	volumes          map[string]bool
	names, hostPorts map[string]string
}

func (k containerCheck) check(at string, c *corev1.Container) {
	switch {
	case c.Name == "":
		k.invalid(at+".name", "a name is required")
	case k.names[c.Name] != "":
		k.invalidf(at+".name", "%q is the name of %s too", c.Name, k.names[c.Name])
	default:
		k.names[c.Name] = at
		k.rules(at+".name", c.Name, validation.IsDNS1123Label(c.Name))
	}
	switch {
	case c.Image == "":
		k.invalid(at+".image", "an image is required")
	case c.Image != strings.TrimSpace(c.Image):
		k.invalidf(at+".image", "%q begins or ends with a space", c.Image)
	}
	if c.WorkingDir != "" && !path.IsAbs(c.WorkingDir) {
		k.invalidf(at+".workingDir", "%q is not an absolute path", c.WorkingDir)
	}
	oneOfOptional(k.report, at+".restartPolicy", c.RestartPolicy, corev1.ContainerRestartPolicyAlways,
		corev1.ContainerRestartPolicyOnFailure, corev1.ContainerRestartPolicyNever)
	if c.ImagePullPolicy != "" {
		oneOfEnum(k.report, at+".imagePullPolicy", c.ImagePullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	}
	k.words(at, c)
	k.ports(at, c)
	k.env(at, c)
	k.resources(at, c)
	k.mounts(at, c)
	k.security(at+".securityContext", c)
}

// words refuses what execve cannot take.
func (k containerCheck) words(at string, c *corev1.Container) {
	for i, w := range c.Command {
		if strings.ContainsRune(w, 0) {
			k.invalid(fmt.Sprintf("%s.command[%d]", at, i), "contains a NUL")
		}
	}
	for i, w := range c.Args {
		if strings.ContainsRune(w, 0) {
			k.invalid(fmt.Sprintf("%s.args[%d]", at, i), "contains a NUL")
		}
	}
}

func (k containerCheck) ports(at string, c *corev1.Container) {
	names := map[string]bool{}
	for i, p := range c.Ports {
		at := fmt.Sprintf("%s.ports[%d]", at, i)
		if p.Name != "" {
			k.rules(at+".name", p.Name, validation.IsValidPortName(p.Name))
			if names[p.Name] {
				k.invalidf(at+".name", "%q is used twice", p.Name)
			}
			names[p.Name] = true
		}
		if p.ContainerPort == 0 {
			k.invalid(at+".containerPort", "a port is required")
		} else {
			k.rules(at+".containerPort", fmt.Sprint(p.ContainerPort), validation.IsValidPortNum(int(p.ContainerPort)))
		}
		oneOfEnum(k.report, at+".protocol", p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
		k.hostPort(at+".hostPort", p)
	}
}

func (k containerCheck) hostPort(at string, p corev1.ContainerPort) {
	switch {
	case p.HostPort == 0:
		return
	case k.pod.Spec.HostNetwork && p.HostPort != p.ContainerPort:
		k.invalidf(at, "%d must equal containerPort %d when hostNetwork is true", p.HostPort, p.ContainerPort)
	default:
		k.rules(at, fmt.Sprint(p.HostPort), validation.IsValidPortNum(int(p.HostPort)))
	}
	if _, err := netip.ParseAddr(p.HostIP); p.HostIP != "" && err != nil {
		k.invalidf(strings.TrimSuffix(at, "hostPort")+"hostIP", "%q is not an IP address", p.HostIP)
	}
	key := fmt.Sprintf("%s/%d/%s", p.HostIP, p.HostPort, p.Protocol)
	if k.hostPorts[key] != "" {
		k.invalidf(at, "port %d/%s is used by %s too", p.HostPort, p.Protocol, k.hostPorts[key])
	}
	k.hostPorts[key] = at
}

func (k containerCheck) env(at string, c *corev1.Container) {
	for i, e := range c.Env {
		at := fmt.Sprintf("%s.env[%d]", at, i)
		switch {
		case e.Name == "":
			k.invalid(at+".name", "a name is required")
		case strings.ContainsAny(e.Name, "=\x00"):
			k.invalidf(at+".name", "%q contains = or NUL", e.Name)
		default:
			k.rules(at+".name", e.Name, validation.IsRelaxedEnvVarName(e.Name))
		}
		if strings.ContainsRune(e.Value, 0) {
			k.invalid(at+".value", "contains a NUL")
		}
		if e.ValueFrom != nil {
			k.envSource(at, e, c)
		}
	}
}

func (k containerCheck) envSource(at string, e corev1.EnvVar, c *corev1.Container) {
	from := e.ValueFrom
	if e.Value != "" {
		k.invalid(at+".valueFrom", "cannot be set together with value")
	}
	switch {
	case from.FieldRef != nil && from.ResourceFieldRef != nil:
		k.invalid(at+".valueFrom", "fieldRef and resourceFieldRef exclude each other")
	case from.FieldRef != nil:
		if _, err := podField(k.pod, from.FieldRef.FieldPath, Facts{}); err != nil {
			k.invalid(at+".valueFrom.fieldRef.fieldPath", err.Error())
		}
	case from.ResourceFieldRef != nil:
		if _, err := resourceField(k.pod, c, from.ResourceFieldRef, Facts{}); err != nil {
			k.invalid(at+".valueFrom.resourceFieldRef", err.Error())
		}
	default:
		k.invalid(at+".valueFrom", "fieldRef or resourceFieldRef is required")
	}
}

func (k containerCheck) resources(at string, c *corev1.Container) {
	at += ".resources"
	for _, name := range sortedKeys(c.Resources.Limits) {
		at := at + ".limits[" + string(name) + "]"
		if k.quantity(at, name, c.Resources.Limits[name]) && name == corev1.ResourceEphemeralStorage {
			k.warn(at, "no effect: disk use is not limited")
		}
	}
	for _, name := range sortedKeys(c.Resources.Requests) {
		k.request(at+".requests["+string(name)+"]", name, c.Resources)
	}
}

func (k containerCheck) request(at string, name corev1.ResourceName, all corev1.ResourceRequirements) {
	q := all.Requests[name]
	limit, limited := all.Limits[name]
	equal := limited && q.Cmp(limit) == 0
	switch {
	case !k.quantity(at, name, q) || equal: // equal is also what the default makes of a limit
	case limited && q.Cmp(limit) > 0:
		k.invalidf(at, "%s is more than the limit %s", q.String(), limit.String())
	case isHugepages(name):
		k.invalidf(at, "%s must equal the limit: huge pages cannot be overcommitted", q.String())
	case name != corev1.ResourceCPU:
		k.warn(at, "no effect: nothing is scheduled by it")
	}
}
