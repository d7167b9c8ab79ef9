package asked

import (
	"fmt"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/spec"
)

// mounts translates the mounts of a container in a pod with the ids of pod.
func mounts(in []*cri.Mount, pod *spec.Pod, h Host) ([]spec.Mount, error) {
	out := make([]spec.Mount, 0, len(in))
	for _, m := range in {
		translate := bind
		if m.GetImage() != nil {
			translate = image
		}
		one, err := translate(m)
		if err == nil {
			err = mountIDs(m, pod)
		}
		if m.GetSelinuxRelabel() && h.Facts.SELinux && one.Type == spec.Bind { // an image has the label anyway
			one.Relabel = spec.RelabelPrivate
		}
		if err != nil {
			return nil, fmt.Errorf("config.mounts: %.200s: %w", m.GetContainerPath(), err)
		}
		out = append(out, one)
	}
	return out, nil
}

// bind makes a missing source, as a hostPath volume without a type expects.
func bind(m *cri.Mount) (spec.Mount, error) {
	if m.GetImageSubPath() != "" {
		return spec.Mount{}, invalid("image_sub_path", "without an image")
	}
	out := spec.Mount{
		Type: spec.Bind, Source: m.GetHostPath(), Target: m.GetContainerPath(), Create: "dir",
		ReadOnly: m.GetReadonly(), ReadOnlyTop: m.GetReadonly() && !m.GetRecursiveReadOnly(), Options: m.GetMountOptions(),
	}
	switch m.GetPropagation() {
	case cri.MountPropagation_PROPAGATION_PRIVATE:
	case cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER:
		out.Propagation = "rslave"
	case cri.MountPropagation_PROPAGATION_BIDIRECTIONAL:
		out.Propagation = "rshared"
	default:
		return out, invalid("propagation", "%d is unknown", m.GetPropagation())
	}
	if m.GetRecursiveReadOnly() && (!m.GetReadonly() || out.Propagation != "") {
		return out, invalid("recursive_read_only", "needs readonly and private propagation")
	}
	return out, nil
}

func image(m *cri.Mount) (spec.Mount, error) {
	switch {
	case !m.GetReadonly():
		return spec.Mount{}, invalid("readonly", "an image is mounted read-only or not at all")
	case m.GetHostPath() != "":
		return spec.Mount{}, invalid("host_path", "together with an image")
	case m.GetPropagation() != cri.MountPropagation_PROPAGATION_PRIVATE:
		return spec.Mount{}, invalid("propagation", "an image's is private")
	case m.GetImage().GetImage() == "":
		return spec.Mount{}, invalid("image", "no image named")
	}
	return spec.Mount{
		Type: spec.Image, Source: m.GetImage().GetImage(), Target: m.GetContainerPath(), SubPath: m.GetImageSubPath(),
		ReadOnly: true, Options: m.GetMountOptions(),
	}, nil
}

// mountIDs accepts the mapping of the pod's own user namespace, which every mount gets.
func mountIDs(m *cri.Mount, pod *spec.Pod) error {
	for field, mapping := range map[string][]*cri.IDMapping{"uidMappings": m.GetUidMappings(), "gidMappings": m.GetGidMappings()} {
		if len(mapping) == 0 {
			continue
		}
		ids, err := oneRange(field, mapping)
		if err != nil {
			return err
		}
		if ids != pod.UserIDs {
			return unsupported(field, "not the pod's user namespace's")
		}
	}
	return nil
}
