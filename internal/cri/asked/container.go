package asked

import (
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/fault"
	"carob/internal/spec"
)

// Container translates CreateContainer for the sandbox pod.
func Container(r *cri.CreateContainerRequest, pod *spec.Pod, h Host) (spec.Container, error) {
	c := r.GetConfig()
	if err := supported(c); err != nil {
		return spec.Container{}, err
	}
	out := spec.Container{
		Name: c.GetMetadata().GetName(), Attempt: c.GetMetadata().GetAttempt(), Image: c.GetImage().GetImage(),
		ImageName: c.GetImage().GetUserSpecifiedImage(),
		Command:   c.GetCommand(), Args: c.GetArgs(), WorkingDir: c.GetWorkingDir(),
		Labels: c.GetLabels(), Annotations: c.GetAnnotations(),
		Stdin: c.GetStdin(), StdinOnce: c.GetStdinOnce(), TTY: c.GetTty(),
	}
	for _, d := range c.GetCDIDevices() {
		out.CDIDevices = append(out.CDIDevices, d.GetName())
	}
	for _, step := range []func() error{
		func() (err error) { out.Env, err = environment(c.GetEnvs()); return err },
		func() (err error) { out.Mounts, err = mounts(c.GetMounts(), pod, h); return err },
		func() (err error) { out.Devices, err = devices(c.GetDevices()); return err },
		func() (err error) { out.StopSignal, err = StopSignal(c.GetStopSignal()); return err },
		func() (err error) {
			out.LogPath, err = logPath(r.GetSandboxConfig().GetLogDirectory(), c.GetLogPath())
			return err
		},
		func() (err error) {
			out.Resources, out.OOMScoreAdj, err = Resources(c.GetLinux().GetResources(), h)
			return err
		},
		func() error { return security(c.GetLinux().GetSecurityContext(), pod, h, &out) },
	} {
		if err := step(); err != nil {
			return spec.Container{}, err
		}
	}
	return out, nil
}

// supported refuses what is missing, and what this runtime does not do.
func supported(c *cri.ContainerConfig) error {
	switch {
	case c.GetMetadata().GetName() == "":
		return invalid("config.metadata", "a name is required")
	case c.GetImage().GetImage() == "":
		return invalid("config.image", "an image is required")
	case c.GetWindows() != nil:
		return unsupported("config.windows", "this is Linux")
	}
	return nil
}

// environment refuses what the engine's records, which are JSON, would not give back.
func environment(in []*cri.KeyValue) ([]string, error) {
	out := make([]string, 0, len(in))
	for _, e := range in {
		if e.GetKey() == "" || strings.Contains(e.GetKey(), "=") {
			return nil, invalid("config.envs", "%.80q is no name of a variable", e.GetKey())
		}
		if !utf8.ValidString(e.GetKey()) || !utf8.Valid(e.GetValue()) {
			return nil, unsupported("config.envs", "%.80q is not UTF-8", e.GetKey())
		}
		out = append(out, e.GetKey()+"="+string(e.GetValue()))
	}
	return out, nil
}

func devices(in []*cri.Device) ([]spec.Device, error) {
	out := make([]spec.Device, 0, len(in))
	for _, d := range in {
		if !path.IsAbs(d.GetHostPath()) || !path.IsAbs(d.GetContainerPath()) {
			return nil, invalid("config.devices", "%.200q, %.200q: not absolute paths", d.GetHostPath(), d.GetContainerPath())
		}
		out = append(out, spec.Device{Source: d.GetHostPath(), Target: d.GetContainerPath(), Access: d.GetPermissions()})
	}
	return out, nil
}

// logPath keeps a log inside the pod's log directory (CVE-2025-0750).
func logPath(dir, file string) (string, error) {
	switch {
	case file == "":
		return "", nil
	case !path.IsAbs(dir):
		return "", invalid("sandbox_config.log_directory", "%.200q is not an absolute path", dir)
	case path.IsAbs(file) || slices.Contains(strings.Split(file, "/"), "..") || strings.ContainsRune(file, 0):
		return "", invalid("config.log_path", "%.200q leaves the log directory", file)
	}
	return path.Join(dir, file), nil
}

// signalPrefix begins the names of the CRI's signals.
const signalPrefix = "SIGNAL_"

// StopSignal translates a signal to its name; "" is the image's, or SIGTERM.
func StopSignal(s cri.Signal) (string, error) {
	if s == cri.Signal_SIGNAL_RUNTIME_DEFAULT {
		return "", nil
	}
	name, known := cri.Signal_name[int32(s)]
	if !known {
		return "", invalid("config.stop_signal", "%d is unknown", s)
	}
	name = strings.TrimPrefix(name, signalPrefix)
	switch name { // further names of the same numbers
	case "SIGCLD":
		name = "SIGCHLD"
	case "SIGIOT":
		name = "SIGABRT"
	case "SIGPOLL":
		name = "SIGIO"
	}
	return strings.NewReplacer("PLUS", "+", "MINUS", "-").Replace(name), nil
}

// security translates the security context into out.
func security(s *cri.LinuxContainerSecurityContext, pod *spec.Pod, h Host, out *spec.Container) error {
	if s == nil {
		out.Security.Seccomp = "unconfined"
		return nil
	}
	if s.GetPrivileged() && !pod.Privileged {
		return fault.New(fault.Invalid, "security_context.privileged: the sandbox was not made for privileged containers")
	}
	out.GroupsPolicy = spec.GroupsMerge
	if s.GetSupplementalGroupsPolicy() == cri.SupplementalGroupsPolicy_Strict {
		out.GroupsPolicy = spec.GroupsStrict
	}
	out.Security = spec.Security{
		Privileged: s.GetPrivileged(), NoNewPrivileges: s.GetNoNewPrivs(), ReadOnlyRootfs: s.GetReadonlyRootfs(),
		CapAdd: s.GetCapabilities().GetAddCapabilities(), CapDrop: s.GetCapabilities().GetDropCapabilities(),
		CapAmbient: s.GetCapabilities().GetAddAmbientCapabilities(), SELinux: selinux(s.GetSelinuxOptions(), h),
		Paths: &spec.KernelPaths{Masked: s.GetMaskedPaths(), ReadOnly: s.GetReadonlyPaths()},
	}
	var errs [5]error
	out.Namespaces, errs[0] = containerNamespaces(s.GetNamespaceOptions(), pod)
	out.User, errs[1] = user(s)
	out.Groups, errs[2] = groups(s.GetSupplementalGroups())
	out.Security.Seccomp, errs[3] = seccomp(s, h)
	out.Security.AppArmor, errs[4] = appArmor(s, h)
	return first(errs[:]...)
}
