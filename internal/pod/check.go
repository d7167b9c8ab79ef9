package pod

import (
	"fmt"
	"path"
	"strings"

	"carob/internal/fault"
	"carob/internal/plan/etc"
	"carob/internal/spec"
)

const (
	defaultNamespace = "default"
	defaultParent    = "/carob"
	defaultShm       = 64 << 20
)

// checkPod refuses what no machine could run and completes names that are not a
// choice of the engine's.
func checkPod(s *spec.Pod) error {
	if s.Name != "" {
		if err := checkName("pod", s.Name); err != nil {
			return err
		}
	}
	if s.Namespace == "" {
		s.Namespace = defaultNamespace
	}
	if err := checkName("namespace", s.Namespace); err != nil {
		return err
	}
	subject := "pod " + s.Name
	if len(s.UID) > 253 || strings.ContainsAny(s.UID, "/\x00\n") {
		return fault.New(fault.Invalid, fmt.Sprintf("%s: uid %.80q: too long, or with a slash, NUL or new line", subject, s.UID))
	}
	if s.Handler != "" && s.Handler != "native" {
		return fault.New(fault.Unsupported, fmt.Sprintf("%s: handler %.80q: unknown (native)", subject, s.Handler))
	}
	if s.ShmSize < 0 {
		return fault.New(fault.Invalid, subject+": shm size is negative")
	}
	return firstOf(subject, checkHostname(s.Hostname), checkCgroup(s.CgroupParent), etc.CheckHosts(s.Hosts), checkDNS(s.DNS), checkTimeout(s.StopTimeout))
}

// firstOf returns the first of what was found wrong with a subject.
func firstOf(subject string, found ...error) error {
	for _, err := range found {
		if err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
	}
	return nil
}

func checkDNS(d *spec.DNS) error {
	if d == nil {
		return nil
	}
	_, err := etc.Resolv(*d)
	return err
}

// checkContainer is checkPod for a container.
func checkContainer(c *spec.Container) error {
	if c.Name != "" {
		if err := checkName("container", c.Name); err != nil {
			return err
		}
	}
	subject := "container " + c.Name
	if c.Image == "" {
		return fault.New(fault.Invalid, subject+": no image given")
	}
	if c.LogPath != "" && (!path.IsAbs(c.LogPath) || path.Clean(c.LogPath) != c.LogPath) {
		return fault.New(fault.Invalid, fmt.Sprintf("%s: log path %.100q: not absolute and clean", subject, c.LogPath))
	}
	_, err := stopSignal(c.StopSignal)
	return firstOf(subject, checkHostname(c.Hostname), checkCgroup(c.CgroupParent), err, checkRestart(c), checkTimeout(c.StopTimeout))
}

func checkRestart(c *spec.Container) error {
	switch c.Restart.Policy {
	case spec.RestartNever, spec.RestartOnFailure, spec.RestartAlways, spec.RestartUnlessStopped:
	default:
		return fault.New(fault.Invalid, fmt.Sprintf("restart policy %.40q: unknown (on-failure, always, unless-stopped)", c.Restart.Policy))
	}
	if c.Restart.MaxRetries < 0 || c.Restart.MaxRetries > 0 && c.Restart.Policy != spec.RestartOnFailure {
		return fault.New(fault.Invalid, "restart: a number of retries goes with on-failure only")
	}
	if c.AutoRemove && c.Restart.Policy != spec.RestartNever {
		return fault.New(fault.Invalid, "restart: not together with automatic removal")
	}
	return nil
}

func checkTimeout(seconds *int) error {
	const most = 1 << 31 // seconds; more would overflow a duration
	if seconds != nil && *seconds > most {
		return fault.New(fault.Invalid, "stop timeout is too long")
	}
	return nil
}

// checkHostname accepts what sethostname(2) can hold and /etc/hosts can carry.
func checkHostname(h string) error {
	if h == "" {
		return nil
	}
	if len(h) > 64 || !plainName.MatchString(h) {
		return fault.New(fault.Invalid, fmt.Sprintf("hostname %.80q: want 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or digit", h))
	}
	return nil
}

// checkCgroup accepts an absolute cgroup path that stays where it says.
func checkCgroup(p string) error {
	if p == "" {
		return nil
	}
	if !path.IsAbs(p) || path.Clean(p) != p || len(p) > 2048 || strings.ContainsAny(p, "\x00\n") {
		return fault.New(fault.Invalid, fmt.Sprintf("cgroup parent %.100q: not an absolute path without \"..\", doubled slashes or new lines", p))
	}
	return nil
}

// hostnameOf cuts a pod's name to what a hostname can hold.
func hostnameOf(name string) string {
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-_.")
	}
	return name
}
