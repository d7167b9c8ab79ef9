package manifest

import (
	"fmt"
	"path"

	corev1 "k8s.io/api/core/v1"

	"carob/internal/fault"
	"carob/internal/spec"
)

func containerSpec(p *corev1.Pod, c *corev1.Container, f Facts) (spec.Container, error) {
	env, vars, err := environment(p, c, f)
	if err != nil {
		return spec.Container{}, err
	}
	security, err := security(p, c, f)
	if err != nil {
		return spec.Container{}, err
	}
	out := spec.Container{
		Name: c.Name, Image: c.Image,
		Command:    expandAll(c.Command, vars),
		Args:       expandAll(c.Args, vars),
		WorkingDir: c.WorkingDir,
		Env:        env,
		User:       user(p, c),
		Groups:     groups(p),
		Stdin:      c.Stdin, StdinOnce: c.StdinOnce, TTY: c.TTY,
		Mounts:      mounts(p, c, f),
		Resources:   containerResources(c, requestsCPU(p)),
		Security:    security,
		StopTimeout: new(int(*p.Spec.TerminationGracePeriodSeconds)),
		Restart:     spec.Restart{Policy: restart(p, c)},
	}
	if c.Lifecycle != nil {
		out.StopSignal = string(value(c.Lifecycle.StopSignal))
	}
	return out, nil
}

// restartPolicy is the container's own policy or the pod's.
func restartPolicy(p *corev1.Pod, c *corev1.Container) corev1.RestartPolicy {
	if c.RestartPolicy != nil {
		return corev1.RestartPolicy(*c.RestartPolicy)
	}
	return p.Spec.RestartPolicy
}

func restart(p *corev1.Pod, c *corev1.Container) spec.RestartPolicy {
	switch restartPolicy(p, c) {
	case corev1.RestartPolicyAlways:
		return spec.RestartAlways
	case corev1.RestartPolicyOnFailure:
		return spec.RestartOnFailure
	}
	return spec.RestartNever
}

func contexts(p *corev1.Pod, c *corev1.Container) (pod corev1.PodSecurityContext, own corev1.SecurityContext) {
	if p.Spec.SecurityContext != nil {
		pod = *p.Spec.SecurityContext
	}
	if c.SecurityContext != nil {
		own = *c.SecurityContext
	}
	return pod, own
}

func user(p *corev1.Pod, c *corev1.Container) string {
	pod, own := contexts(p, c)
	uid, gid := or(own.RunAsUser, pod.RunAsUser), or(own.RunAsGroup, pod.RunAsGroup)
	switch {
	case uid == nil:
		return ""
	case gid == nil:
		return fmt.Sprint(*uid)
	}
	return fmt.Sprintf("%d:%d", *uid, *gid)
}

func groups(p *corev1.Pod) []string {
	sc := p.Spec.SecurityContext
	if sc == nil {
		return nil
	}
	var all []string
	for _, g := range sc.SupplementalGroups {
		all = append(all, fmt.Sprint(g))
	}
	if sc.FSGroup != nil {
		all = append(all, fmt.Sprint(*sc.FSGroup))
	}
	return all
}

func security(p *corev1.Pod, c *corev1.Container, f Facts) (spec.Security, error) {
	pod, own := contexts(p, c)
	out := spec.Security{
		Privileged:      value(own.Privileged),
		NoNewPrivileges: own.AllowPrivilegeEscalation != nil && !*own.AllowPrivilegeEscalation,
		ReadOnlyRootfs:  value(own.ReadOnlyRootFilesystem),
		Unmasked:        value(own.ProcMount) == corev1.UnmaskedProcMount,
		NonRoot:         value(or(own.RunAsNonRoot, pod.RunAsNonRoot)),
		AppArmor:        appArmor(or(own.AppArmorProfile, pod.AppArmorProfile)),
		SELinux:         seLinux(or(own.SELinuxOptions, pod.SELinuxOptions)),
	}
	if own.Capabilities != nil {
		out.CapAdd = words(own.Capabilities.Add)
		out.CapDrop = words(own.Capabilities.Drop)
	}
	profile := or(own.SeccompProfile, pod.SeccompProfile)
	switch {
	case profile == nil && out.Privileged:
		out.Seccomp = "unconfined"
	case profile == nil, profile.Type == corev1.SeccompProfileTypeRuntimeDefault:
		out.Seccomp = "default"
	case profile.Type == corev1.SeccompProfileTypeUnconfined:
		out.Seccomp = "unconfined"
	default:
		text, ok := f.Seccomp[value(profile.LocalhostProfile)]
		if !ok {
			return out, fault.New(fault.NotFound, fmt.Sprintf("container %s: seccomp profile %q: not there",
				c.Name, value(profile.LocalhostProfile)))
		}
		out.Seccomp = text
	}
	return out, nil
}

// SeccompFiles lists the Localhost profiles a manifest refers to, for
// Facts.Seccomp.
func SeccompFiles(m Manifest) []string {
	p := m.Pod
	var all []string
	eachContainer(p, func(_ string, c *corev1.Container) {
		pod, own := contexts(p, c)
		if s := or(own.SeccompProfile, pod.SeccompProfile); s != nil && s.LocalhostProfile != nil {
			all = append(all, *s.LocalhostProfile)
		}
	})
	return all
}

func words[T ~string](in []T) []string {
	var out []string
	for _, w := range in {
		out = append(out, string(w))
	}
	return out
}

func appArmor(p *corev1.AppArmorProfile) string {
	switch {
	case p == nil:
		return ""
	case p.Type == corev1.AppArmorProfileTypeRuntimeDefault:
		return "default"
	case p.Type == corev1.AppArmorProfileTypeUnconfined:
		return "unconfined"
	}
	return value(p.LocalhostProfile)
}

func seLinux(o *corev1.SELinuxOptions) string {
	if o == nil || *o == (corev1.SELinuxOptions{}) {
		return ""
	}
	return o.User + ":" + o.Role + ":" + o.Type + ":" + o.Level
}

// mounts leaves recursiveReadOnly to the engine's way: a read-only mount is so with
// all that is mounted below it, which every kernel carob runs on can do.
func mounts(p *corev1.Pod, c *corev1.Container, f Facts) []spec.Mount {
	sources, label := map[string]string{}, map[string]spec.Relabel{}
	for _, v := range volumes(p, f) {
		sources[v.Name] = v.Source()
		if v.Host == nil { // new, and the pod's alone
			label[v.Name] = spec.RelabelPrivate
		}
	}
	images := map[string]string{}
	for _, v := range p.Spec.Volumes {
		if v.Image != nil {
			images[v.Name] = v.Image.Reference
		}
	}
	var all []spec.Mount
	for _, m := range c.VolumeMounts {
		out := spec.Mount{Type: spec.Bind, Source: sources[m.Name], Target: path.Clean(m.MountPath),
			ReadOnly: m.ReadOnly, Options: m.BindMountOptions, Relabel: label[m.Name]}
		if ref, ok := images[m.Name]; ok {
			out.Type, out.Source, out.ReadOnly = spec.Image, ref, true
			out.Options = append([]string{"noexec"}, m.BindMountOptions...) // as KEP-4639 has it
		}
		if m.SubPath != "" {
			out.SubPath = path.Clean(m.SubPath)
		}
		switch value(m.MountPropagation) {
		case corev1.MountPropagationHostToContainer:
			out.Propagation = "rslave"
		case corev1.MountPropagationBidirectional:
			out.Propagation = "rshared"
		}
		all = append(all, out)
	}
	return all
}
