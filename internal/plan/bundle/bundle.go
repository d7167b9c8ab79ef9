// Package bundle turns a planned container into the config.json of an OCI bundle
// (runtime-spec, bundle.md) for a runtime that is not carob's own, and reads what such
// a runtime says: its features, its log. What the runtime cannot honour is refused
// with the field's name.
package bundle

import (
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/oci"
)

// Version is the version of the specification that a bundle is written in: nothing
// newer is used, and no runtime in use is older.
const Version = "1.0.2"

// Request is what a bundle is made from.
type Request struct {
	// Spec is the container's plan; it stays unchanged.
	Spec *specs.Spec
	// Rootfs is where its root file system is mounted.
	Rootfs string
	// Namespaces has the file of each namespace that is neither fresh nor the host's, by
	// kind as in /proc/PID/ns.
	Namespaces map[string]string
	// Binds has the prepared source of the bind mount at each index of Spec.Mounts.
	Binds map[int]string
	// Shm is the pod's /dev/shm.
	Shm string
	// Features of the runtime.
	Features Features
	// Hostname is the pod's, for a runtime that does not take over the namespace with the name.
	Hostname string
	// Annotations are added.
	Annotations map[string]string
}

// Config returns the bundle's configuration. The errors are Unsupported and name the
// field.
func Config(r Request) (*specs.Spec, error) {
	if err := r.Features.refuse(r.Spec); err != nil {
		return nil, err
	}
	out := *r.Spec
	out.Process = r.Features.Process(r.Spec.Process)
	out.Version = Version
	out.Root = &specs.Root{Path: r.Rootfs, Readonly: r.Spec.Root != nil && r.Spec.Root.Readonly}
	out.Annotations = r.Annotations
	if r.Features.Sentry && out.Hostname == "" {
		out.Hostname = r.Hostname
	}
	linux := *r.Spec.Linux
	out.Linux = &linux
	linux.Namespaces = slices.Clone(r.Spec.Linux.Namespaces)
	for _, kind := range []string{"user", "pid", "net", "ipc", "uts", "cgroup"} { // in an order, so that equal plans are equal
		if at, ok := r.Namespaces[kind]; ok {
			linux.Namespaces = append(linux.Namespaces, specs.LinuxNamespace{Type: namespaceType(kind), Path: at})
		}
	}
	out.Mounts = r.mounts()
	return &out, nil
}

func namespaceType(kind string) specs.LinuxNamespaceType {
	if kind == "net" {
		return specs.NetworkNamespace
	}
	return specs.LinuxNamespaceType(kind)
}

// mounts are the plan's in the words of the specification: what carob says beyond
// those has been done when the sources were prepared.
func (r Request) mounts() []specs.Mount {
	out := make([]specs.Mount, 0, len(r.Spec.Mounts))
	for i, m := range r.Spec.Mounts {
		m.UIDMappings, m.GIDMappings = nil, nil
		m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool {
			return strings.HasPrefix(o, oci.OwnOption) || strings.HasPrefix(o, "lowerdir=")
		})
		source, prepared := r.Binds[i]
		switch {
		case m.Source == oci.ShmSource:
			m.Source = r.Shm
		case prepared && m.Type == "overlay":
			m.Type, m.Source, m.Options = "bind", source, append(m.Options, "rbind", "ro")
		case prepared:
			m.Source = source
		case m.Type == "cgroup" && r.Features.Sentry: // it has files of its own there, if any
			continue
		}
		out = append(out, m)
	}
	return out
}

// Prepared reports whether a mount's source has to be prepared: a bind of something of
// the host's, or an image's layers.
func Prepared(m specs.Mount) bool {
	return m.Type == "overlay" || m.Type == "bind" && m.Source != oci.ShmSource
}

// NamespacePath names a process's namespace, kind as in /proc/PID/ns.
func NamespacePath(pid int, kind string) string {
	return path.Join("/proc", strconv.Itoa(pid), "ns", kind)
}

// Namespaces says where the namespaces of a container come from that are not fresh:
// from the process that join names, or the sandbox's, held by the process of this
// pid. What the sandbox has of the host's is passed on just so. The user namespace is not
// among them.
func Namespaces(s *specs.Spec, join map[string]int, sandbox int) map[string]string {
	out := map[string]string{}
	for _, kind := range []string{"net", "ipc", "uts"} {
		out[kind] = NamespacePath(sandbox, kind)
	}
	for kind, pid := range join {
		if kind != "user" {
			out[kind] = NamespacePath(pid, kind)
		}
	}
	for _, n := range s.Linux.Namespaces {
		kind := string(n.Type)
		if n.Type == specs.NetworkNamespace {
			kind = "net"
		}
		delete(out, kind)
	}
	return out
}

// Sandbox is the plan of the container that a sandboxed runtime (gVisor's) has to
// begin with: pause is the program that it runs, an executable at this path of the
// host, namespaces and cgroup are the pod's.
func Sandbox(pause string, namespaces map[string]string, cgroup string) *specs.Spec {
	s := &specs.Spec{
		Version: Version,
		Root:    &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{Args: []string{"/pause"}, Cwd: "/", NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/pause", Type: "bind", Source: pause, Options: []string{"bind", "ro", "nosuid", "nodev"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: cgroup,
			Namespaces:  []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}},
		},
	}
	for _, kind := range []string{"net", "ipc", "uts"} {
		if at, ok := namespaces[kind]; ok {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: namespaceType(kind), Path: at})
		}
	}
	return s
}

// The annotations by which Kubernetes' runtimes tell a sandboxed runtime which
// container is the sandbox and which go into it.
const (
	typeAnnotation    = "io.kubernetes.cri.container-type"
	sandboxAnnotation = "io.kubernetes.cri.sandbox-id"
)

// SandboxAnnotations mark the sandbox's own container.
func SandboxAnnotations() map[string]string { return map[string]string{typeAnnotation: "sandbox"} }

// ContainerAnnotations mark a container of the sandbox with this ID.
func ContainerAnnotations(sandbox string) map[string]string {
	return map[string]string{typeAnnotation: "container", sandboxAnnotation: sandbox}
}

func unsupported(field, why string) error {
	return fault.New(fault.Unsupported, field+": "+why)
}
