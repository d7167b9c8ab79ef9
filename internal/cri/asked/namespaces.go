package asked

import (
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/spec"
)

const namespaceField = "security_context.namespace_options."

// podNamespaces translates the sandbox's modes. The CRI's default of every kind is
// POD: without options the pod's containers share one pid namespace.
//
// A pod with the host's network has the host's UTS namespace, too: the kubelet gives it
// no hostname of its own.
func podNamespaces(o *cri.NamespaceOption) (spec.Namespaces, spec.IDRange, error) {
	n := spec.Namespaces{PID: spec.OfPod, User: spec.Host}
	for _, kind := range []struct {
		name string
		mode cri.NamespaceMode
	}{{"net", o.GetNetwork()}, {"pid", o.GetPid()}, {"ipc", o.GetIpc()}} {
		switch kind.mode {
		case cri.NamespaceMode_POD:
		case cri.NamespaceMode_CONTAINER:
			n = n.With(kind.name, spec.Own)
		case cri.NamespaceMode_NODE:
			n = n.With(kind.name, spec.Host)
		default:
			return n, spec.IDRange{}, invalid(namespaceField+kind.name, "%s is not possible for a sandbox", kind.mode)
		}
	}
	if n.Net == spec.Host {
		n.UTS = spec.Host
	}
	ids, err := userRange(o.GetUsernsOptions())
	if ids.Count > 0 {
		n.User = spec.Own
	}
	return n, ids, err
}

// userRange is the mapping of a pod's user namespace; zero is the host's. carob maps
// users and groups alike, as the kubelet asks for, and one range each.
func userRange(u *cri.UserNamespace) (spec.IDRange, error) {
	const field = namespaceField + "userns_options"
	switch u.GetMode() {
	case cri.NamespaceMode_NODE:
		if len(u.GetUids())+len(u.GetGids()) > 0 {
			return spec.IDRange{}, invalid(field, "the host's user namespace has no mappings")
		}
		return spec.IDRange{}, nil
	case cri.NamespaceMode_POD:
		if u == nil {
			return spec.IDRange{}, nil
		}
	default:
		return spec.IDRange{}, invalid(field, "mode %s is unknown here (POD, NODE)", u.GetMode())
	}
	uids, err := oneRange(field+".uids", u.GetUids())
	if err != nil {
		return spec.IDRange{}, err
	}
	gids, err := oneRange(field+".gids", u.GetGids())
	if err != nil {
		return spec.IDRange{}, err
	}
	if uids != gids {
		return spec.IDRange{}, unsupported(field, "users and groups are mapped differently")
	}
	return uids, nil
}

func oneRange(field string, m []*cri.IDMapping) (spec.IDRange, error) {
	switch {
	case len(m) != 1:
		return spec.IDRange{}, unsupported(field, "%d mappings, want exactly one", len(m))
	case m[0].GetContainerId() != 0:
		return spec.IDRange{}, unsupported(field, "container id %d: the mapping must begin with 0", m[0].GetContainerId())
	case m[0].GetLength() == 0 || m[0].GetHostId() == 0:
		return spec.IDRange{}, invalid(field, "host id and length must not be 0")
	case uint64(m[0].GetHostId())+uint64(m[0].GetLength()) > 1<<32-1:
		return spec.IDRange{}, invalid(field, "host ids end above the highest id")
	}
	return spec.IDRange{First: m[0].GetHostId(), Count: m[0].GetLength()}, nil
}

// containerNamespaces translates a container's modes; without options it follows its
// sandbox, and POD is the sandbox's, which may be the host's.
func containerNamespaces(o *cri.NamespaceOption, pod *spec.Pod) (spec.Namespaces, error) {
	var n spec.Namespaces
	if o == nil {
		return n, nil
	}
	for _, kind := range []struct {
		name string
		mode cri.NamespaceMode
	}{{"net", o.GetNetwork()}, {"pid", o.GetPid()}, {"ipc", o.GetIpc()}} {
		mode, err := containerMode(kind.mode, o.GetTargetId())
		if err != nil {
			return n, invalid(namespaceField+kind.name, "%v", err)
		}
		n = n.With(kind.name, mode)
	}
	if o.GetUsernsOptions() == nil {
		return n, nil
	}
	ids, err := userRange(o.GetUsernsOptions())
	if err == nil && ids != pod.UserIDs {
		err = invalid(namespaceField+"userns_options", "not the sandbox's")
	}
	return n, err
}

func containerMode(m cri.NamespaceMode, target string) (spec.Mode, error) {
	switch m {
	case cri.NamespaceMode_POD:
		return spec.OfPod, nil
	case cri.NamespaceMode_CONTAINER:
		return spec.Own, nil
	case cri.NamespaceMode_NODE:
		return spec.Host, nil
	case cri.NamespaceMode_TARGET:
		if target == "" {
			return "", invalid("target_id", "missing")
		}
		return spec.OfContainer(target), nil
	}
	return "", invalid("mode", "%d is unknown", m)
}
