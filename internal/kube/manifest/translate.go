package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"carob/internal/spec"
)

// ownPrefix begins the annotations that carob puts on what it made of a manifest, and
// NetworksAnnotation.
const ownPrefix = "carob.local/"

const (
	// AppliedAnnotation is the digest of the manifest a pod was made from.
	AppliedAnnotation = ownPrefix + "applied"
	// RoleAnnotation is a container's role when it is not an ordinary one.
	RoleAnnotation = ownPrefix + "role"
)

// Owner marks the pods that Apply made.
const Owner = "apply"

// The values of RoleAnnotation.
const (
	RoleInit    = "init"
	RoleSidecar = "sidecar"
)

// Facts are what a translation must know of the machine and of the pod once it
// exists. The zero value translates too: what is not known is empty.
type Facts struct {
	UID      string
	NodeName string
	HostIPs  []string
	// PodIPs are known after the sandbox has run: translate again for the
	// containers.
	PodIPs []string
	CPUs   int
	// Memory of the machine in bytes.
	Memory int64
	// VolumeDir holds the pod's emptyDir volumes.
	VolumeDir string
	// Seccomp maps Localhost profile paths to their content.
	Seccomp map[string]string
}

// Plan is a manifest in carob's own words.
type Plan struct {
	Pod spec.Pod
	// Init run one after the other before Containers.
	Init       []Init
	Containers []spec.Container
	Volumes    []Volume
}

// Init is an init container. A Sidecar is started and left running; any other must
// end well before the next one starts, and with Retry is run again until it does.
type Init struct {
	Container      spec.Container
	Sidecar, Retry bool
}

// Translate turns a checked manifest into what the engine is asked for. It is pure.
func Translate(m Manifest, f Facts) (Plan, error) {
	p := m.Pod
	plan := Plan{Pod: podSpec(p, f), Volumes: volumes(p, f)}
	plan.Pod.Annotations[AppliedAnnotation] = Digest(m)
	for i := range p.Spec.InitContainers {
		in, err := initSpec(p, &p.Spec.InitContainers[i], f)
		if err != nil {
			return Plan{}, err
		}
		plan.Init = append(plan.Init, in)
	}
	for i := range p.Spec.Containers {
		c, err := containerSpec(p, &p.Spec.Containers[i], f)
		if err != nil {
			return Plan{}, err
		}
		plan.Containers = append(plan.Containers, c)
	}
	return plan, nil
}

func initSpec(p *corev1.Pod, c *corev1.Container, f Facts) (Init, error) {
	out, err := containerSpec(p, c, f)
	if err != nil {
		return Init{}, err
	}
	if isSidecar(c) {
		out.Annotations = map[string]string{RoleAnnotation: RoleSidecar}
		return Init{Container: out, Sidecar: true}, nil
	}
	out.Annotations = map[string]string{RoleAnnotation: RoleInit}
	retry := out.Restart.Policy != spec.RestartNever
	out.Restart = spec.Restart{} // the engine would run it again after success too
	return Init{Container: out, Retry: retry}, nil
}

// Digest identifies what a manifest asks for: two with the same digest make the
// same pod.
func Digest(m Manifest) string {
	// Marshalling API types cannot fail: they have no cycles, channels or functions.
	raw, _ := json.Marshal(map[string]any{
		"name": m.Pod.Name, "namespace": m.Pod.Namespace,
		"labels": m.Pod.Labels, "annotations": m.Pod.Annotations, "spec": m.Pod.Spec,
	})
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func podSpec(p *corev1.Pod, f Facts) spec.Pod {
	s := &p.Spec
	out := spec.Pod{
		Name: p.Name, Namespace: p.Namespace, UID: f.UID, Owner: Owner,
		Labels:      maps.Clone(p.Labels),
		Annotations: maps.Clone(p.Annotations),
		Hostname:    hostname(p),
		Namespaces:  namespaces(s),
		Networks:    networks(p),
		Resources:   podResources(p),
		Handler:     value(s.RuntimeClassName),
		DNS:         resolver(s),
		StopTimeout: new(int(*s.TerminationGracePeriodSeconds)),
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	if s.SecurityContext != nil {
		for _, ctl := range s.SecurityContext.Sysctls {
			if out.Sysctls == nil {
				out.Sysctls = map[string]string{}
			}
			out.Sysctls[dotted(ctl.Name)] = ctl.Value
		}
	}
	for _, a := range s.HostAliases {
		out.Hosts = append(out.Hosts, spec.HostAlias{IP: a.IP, Hostnames: a.Hostnames})
	}
	eachContainer(p, func(_ string, c *corev1.Container) {
		for _, port := range c.Ports {
			out.Ports = append(out.Ports, spec.Port{Name: port.Name, ContainerPort: int(port.ContainerPort),
				HostPort: int(port.HostPort), HostIP: port.HostIP, Protocol: string(port.Protocol)})
		}
	})
	return out
}

// hostname: the kubelet cuts a pod's name to the 63 characters of a DNS label.
func hostname(p *corev1.Pod) string {
	s := &p.Spec
	switch {
	case s.HostNetwork:
		return ""
	case value(s.HostnameOverride) != "":
		return *s.HostnameOverride
	case s.Hostname != "":
		return s.Hostname
	case len(p.Name) > 63:
		return strings.TrimRight(p.Name[:63], "-.")
	}
	return p.Name
}

// namespaces: with the host's network comes the host's UTS namespace, as every CRI
// runtime does it, because a name without its addresses means nothing.
func namespaces(s *corev1.PodSpec) (n spec.Namespaces) {
	if s.HostNetwork {
		n.Net, n.UTS = spec.Host, spec.Host
	}
	if s.HostIPC {
		n.IPC = spec.Host
	}
	switch {
	case s.HostPID:
		n.PID = spec.Host
	case value(s.ShareProcessNamespace):
		n.PID = spec.OfPod
	}
	if s.HostUsers != nil {
		n.User = spec.Own
		if *s.HostUsers {
			n.User = spec.Host
		}
	}
	return n
}

// dotted writes a sysctl with dots: in net/ipv4/conf/eth0.1/forwarding the slashes
// separate and the dot belongs to the name.
func dotted(name string) string {
	i := strings.IndexAny(name, "./")
	if i < 0 || name[i] == '.' {
		return name
	}
	return strings.NewReplacer("/", ".", ".", "/").Replace(name)
}

// Volume is one volume of a pod on the host.
type Volume struct {
	Name string
	// Host is set for hostPath volumes: Type is what must be at Path.
	Host *corev1.HostPathVolumeSource
	// Dir of an emptyDir, with its mode and group; Memory asks for a tmpfs of Size
	// bytes there, 0 is the kernel's default.
	Dir    string
	Mode   uint32
	Group  *int64
	Memory bool
	Size   int64
}

// Source is the path that containers mount.
func (v Volume) Source() string {
	if v.Host != nil {
		return path.Clean(v.Host.Path)
	}
	return v.Dir
}

// volumes are those that are made on the host: images are there.
func volumes(p *corev1.Pod, f Facts) []Volume {
	var all []Volume
	for _, v := range p.Spec.Volumes {
		if v.Image != nil {
			continue
		}
		if v.HostPath != nil {
			all = append(all, Volume{Name: v.Name, Host: v.HostPath})
			continue
		}
		out := Volume{Name: v.Name, Dir: path.Join(f.VolumeDir, v.Name), Mode: 0o777}
		if v.EmptyDir.Mode != nil {
			out.Mode = uint32(*v.EmptyDir.Mode)
		}
		if sc := p.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
			// What the kubelet's SetVolumeOwnership does to a directory.
			out.Group, out.Mode = sc.FSGroup, out.Mode|0o2770
		}
		if v.EmptyDir.Medium == corev1.StorageMediumMemory {
			out.Memory, out.Size = true, memorySize(p, v.EmptyDir)
		}
		all = append(all, out)
	}
	return all
}

// memorySize is the smaller of the volume's own limit and the pod's memory limit,
// to which its pages are charged (the kubelet's SizeMemoryBackedVolumes).
func memorySize(p *corev1.Pod, v *corev1.EmptyDirVolumeSource) int64 {
	var size int64
	if res := podResources(p); res != nil && res.Memory != nil {
		size = *res.Memory.Limit
	}
	if v.SizeLimit != nil && v.SizeLimit.Value() > 0 && (size == 0 || v.SizeLimit.Value() < size) {
		size = v.SizeLimit.Value()
	}
	return size
}
