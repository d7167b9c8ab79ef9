package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// validateVolumes returns the names of the declared volumes.
func validateVolumes(r *report, s *corev1.PodSpec) map[string]bool {
	names := map[string]bool{}
	for i := range s.Volumes {
		v := &s.Volumes[i]
		at := fmt.Sprintf("spec.volumes[%d]", i)
		if v.Name == "" {
			r.invalid(at+".name", "a name is required")
		} else {
			r.rules(at+".name", v.Name, validation.IsDNS1123Label(v.Name))
		}
		if names[v.Name] {
			r.invalidf(at+".name", "%q is used twice", v.Name)
		}
		names[v.Name] = true
		if kinds := []bool{v.EmptyDir != nil, v.HostPath != nil, v.Image != nil}; kinds[0] && kinds[1] || kinds[0] && kinds[2] || kinds[1] && kinds[2] {
			r.invalid(at, "emptyDir, hostPath and image exclude each other")
		}
		validateImage(r, at+".image", v.Image)
		validateEmptyDir(r, at+".emptyDir", v.EmptyDir)
		validateHostPath(r, at+".hostPath", v.HostPath)
	}
	return names
}

func validateImage(r *report, at string, v *corev1.ImageVolumeSource) {
	if v == nil {
		return
	}
	if v.Reference == "" {
		r.invalid(at+".reference", "a reference is required")
	}
	if v.PullPolicy != "" {
		oneOfEnum(r, at+".pullPolicy", v.PullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	}
}

func validateEmptyDir(r *report, at string, v *corev1.EmptyDirVolumeSource) {
	if v == nil {
		return
	}
	if m := v.Mode; m != nil && (*m < 0 || *m > 0o1777) {
		r.invalidf(at+".mode", "%#o is not between 0 and 01777", *m)
	}
	switch {
	case v.SizeLimit == nil:
	case v.SizeLimit.Sign() < 0:
		r.invalidf(at+".sizeLimit", "%s is negative", v.SizeLimit)
	case v.SizeLimit.Sign() > 0 && v.Medium != corev1.StorageMediumMemory:
		r.unsupported(at+".sizeLimit", notSupported+" on disk: use medium: Memory, or leave it out")
	}
}

func validateHostPath(r *report, at string, v *corev1.HostPathVolumeSource) {
	if v == nil {
		return
	}
	if !path.IsAbs(v.Path) {
		r.invalidf(at+".path", "%q is not an absolute path", v.Path)
	}
	if slices.Contains(strings.Split(v.Path, "/"), "..") {
		r.invalidf(at+".path", "%q contains ..", v.Path)
	}
	oneOfOptional(r, at+".type", v.Type, corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory,
		corev1.HostPathFileOrCreate, corev1.HostPathFile, corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev)
}

func (k containerCheck) mounts(at string, c *corev1.Container) {
	targets := map[string]string{}
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		at := fmt.Sprintf("%s.volumeMounts[%d]", at, i)
		if m.Name == "" {
			k.invalid(at+".name", "a name is required")
		} else if !k.volumes[m.Name] {
			k.invalidf(at+".name", "no volume %q in spec.volumes%s", m.Name, didYouMean(m.Name, sortedKeys(k.volumes)))
		}
		k.mountPath(at, m, targets)
		k.subPath(at+".subPath", m.SubPath)
		k.mountFlags(at, m, c)
	}
}

func (k containerCheck) mountPath(at string, m *corev1.VolumeMount, targets map[string]string) {
	target := path.Clean(m.MountPath)
	switch {
	case m.MountPath == "":
		k.invalid(at+".mountPath", "a path is required")
	case !path.IsAbs(m.MountPath):
		k.invalidf(at+".mountPath", "%q is not an absolute path", m.MountPath)
	case target == "/":
		k.invalid(at+".mountPath", "a volume cannot be the container's root")
	case strings.Contains(m.MountPath, ":"):
		k.invalidf(at+".mountPath", "%q contains a colon", m.MountPath)
	case targets[target] != "":
		k.invalidf(at+".mountPath", "%q is used by %s too", m.MountPath, targets[target])
	}
	targets[target] = at
}

func (k containerCheck) subPath(at, sub string) {
	if path.IsAbs(sub) {
		k.invalidf(at, "%q is not a relative path", sub)
	}
	if slices.Contains(strings.Split(sub, "/"), "..") {
		k.invalidf(at, "%q contains ..", sub)
	}
}

func (k containerCheck) mountFlags(at string, m *corev1.VolumeMount, c *corev1.Container) {
	propagation := value(m.MountPropagation)
	oneOfOptional(k.report, at+".mountPropagation", m.MountPropagation,
		corev1.MountPropagationNone, corev1.MountPropagationHostToContainer, corev1.MountPropagationBidirectional)
	if propagation == corev1.MountPropagationBidirectional && !privileged(c) {
		k.invalid(at+".mountPropagation", "Bidirectional is only for privileged containers")
	}
	if rro := m.RecursiveReadOnly; rro != nil {
		oneOfEnum(k.report, at+".recursiveReadOnly", *rro,
			corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyIfPossible, corev1.RecursiveReadOnlyEnabled)
		if *rro != corev1.RecursiveReadOnlyDisabled {
			if !m.ReadOnly {
				k.invalidf(at+".recursiveReadOnly", "%s needs readOnly: true", *rro)
			}
			if propagation != "" && propagation != corev1.MountPropagationNone {
				k.invalidf(at+".recursiveReadOnly", "%s needs mountPropagation None", *rro)
			}
		}
	}
	for i, o := range m.BindMountOptions {
		oneOfEnum(k.report, fmt.Sprintf("%s.bindMountOptions[%d]", at, i), o, "noexec", "nodev", "nosuid")
	}
}
