package oci

import (
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/host"
	"carob/internal/plan/ident"
	"carob/internal/spec"
	"carob/internal/status"
)

// Request is everything that a container's plan is made from.
type Request struct {
	Pod       *spec.Pod
	Container *spec.Container
	Image     v1.ImageConfig
	Facts     host.Facts
	// Namespaces are the container's effective modes, without zero values.
	Namespaces spec.Namespaces
	// Identity is the resolved user.
	Identity ident.Identity
	// IDs maps the pod's user namespace; zero is the host's.
	IDs status.IDMapping
	// Hostname is what the container sees, in whosever UTS namespace it is.
	Hostname string
	// Files maps a path in the container to the host's file that is bound there:
	// /etc/hosts, /etc/hostname, /etc/resolv.conf.
	Files map[string]string
	// Volumes maps the target of a volume, of the request or the image, to its
	// directory on the host.
	Volumes map[string]string
	// Devices are the nodes that Container.Devices resolved to, each with the path it
	// gets in the container.
	Devices []specs.LinuxDevice
	// Cgroup is the container's cgroup.
	Cgroup string
	// Level is the pod's part of SELinux labels, "" for none.
	Level string
	// Joined has the kinds whose namespace is taken from another container.
	Joined map[string]bool
}
