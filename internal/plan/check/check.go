// Package check refuses what no machine could run, before anything is made of it:
// names that would not do as file names, numbers that would overflow, paths that lead
// elsewhere. What a caller asks for and what an image declares are both taken for an
// attacker's. All refusals are Invalid, or Unsupported, and name the field.
package check

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"carob/internal/fault"
	"carob/internal/plan/address"
	"carob/internal/plan/cgroup"
	"carob/internal/plan/etc"
	"carob/internal/plan/oci"
	"carob/internal/plan/port"
	"carob/internal/spec"
)

// DefaultNamespace is the namespace of a pod that names none.
const DefaultNamespace = "default"

// Names become file names (logs) and hosts' names: one plain component.
var plainName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Name checks the name of a thing of the kind called what.
func Name(what, name string) error { return shortName(what, name, 253) }

// containerName is the longest name of a container: log files are called so, with a
// number and a suffix behind it, in 255 bytes.
const containerName = 200

func shortName(what, name string, most int) error {
	if len(name) > most || !plainName.MatchString(name) {
		return fault.New(fault.Invalid, fmt.Sprintf("%s name %.80q: want 1 to %d letters, digits, '_', '.' or '-', beginning with a letter or digit", what, name, most))
	}
	return nil
}

// ID reports whether s is a whole ID: 64 hexadecimal digits.
func ID(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// Pod checks a pod's spec and fills in its namespace.
func Pod(s *spec.Pod) error {
	if s.Name != "" {
		if err := Name("pod", s.Name); err != nil {
			return err
		}
	}
	if s.Namespace == "" {
		s.Namespace = DefaultNamespace
	}
	if err := Name("namespace", s.Namespace); err != nil {
		return err
	}
	subject := strings.TrimSpace("pod " + s.Name)
	if len(s.UID) > 253 || strings.ContainsAny(s.UID, "/\x00\n") {
		return fault.New(fault.Invalid, fmt.Sprintf("%s: uid %.80q: too long, or with a slash, NUL or new line", subject, s.UID))
	}
	if s.ShmSize < 0 {
		return fault.New(fault.Invalid, subject+": shm size is negative")
	}
	return firstOf(subject, hostname(s.Hostname), cgroup.CheckParent(s.CgroupParent), etc.CheckHosts(s.Hosts), dns(s.DNS), port.Check(s.Ports), joins(s.Networks), timeout(s.StopTimeout))
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

// joins checks how networks are asked for; whether there are any, the network knows.
func joins(all []spec.Join) error {
	seen := map[string]bool{}
	for _, j := range all {
		if seen[j.Network] {
			return fault.New(fault.Invalid, fmt.Sprintf("network %.80s: asked for twice", j.Network))
		}
		seen[j.Network] = true
		if j.MAC != "" && !address.MAC(j.MAC) {
			return fault.New(fault.Invalid, fmt.Sprintf("network %.80s: hardware address %.40q: not that of one interface, like 02:00:00:00:00:01", j.Network, j.MAC))
		}
		for _, a := range j.Aliases {
			if err := hostname(a); err != nil || a == "" {
				return fault.New(fault.Invalid, fmt.Sprintf("network %.80s: alias %.80q: not a host name", j.Network, a))
			}
		}
	}
	return nil
}

func dns(d *spec.DNS) error {
	if d == nil {
		return nil
	}
	return etc.CheckDNS(*d)
}

// Container checks a container's spec.
func Container(c *spec.Container) error {
	if c.Name != "" {
		if err := shortName("container", c.Name, containerName); err != nil {
			return err
		}
	}
	subject := strings.TrimSpace("container " + c.Name)
	if c.Image == "" {
		return fault.New(fault.Invalid, subject+": no image given")
	}
	_, err := oci.StopSignal(c.StopSignal)
	return firstOf(subject, hostname(c.Hostname), cgroup.CheckParent(c.CgroupParent), err, logs(c), restart(c), storage(c.StorageSize), timeout(c.StopTimeout))
}

func logs(c *spec.Container) error {
	switch {
	case c.LogPath != "" && (!path.IsAbs(c.LogPath) || path.Clean(c.LogPath) != c.LogPath):
		return fault.New(fault.Invalid, fmt.Sprintf("log path %.100q: not absolute and clean", c.LogPath))
	case c.LogPath != "" && c.Log != spec.Log{}:
		return fault.New(fault.Invalid, "log: one whose path is given is not rotated")
	case c.Log.Off && c.Log != spec.Log{Off: true}:
		return fault.New(fault.Invalid, "log: there is none to be rotated")
	}
	return bounds(c.Log)
}

func bounds(l spec.Log) error {
	switch {
	case l.MaxSize != 0 && l.MaxSize != spec.NoLogLimit && l.MaxSize < spec.MinLogSize:
		return fault.New(fault.Invalid, fmt.Sprintf("log: a file of %d bytes is too small, %d is the least", l.MaxSize, spec.MinLogSize))
	case l.MaxFiles < 0 || l.MaxFiles > spec.MostLogFiles:
		return fault.New(fault.Invalid, fmt.Sprintf("log: %d files: from 1 to %d can be kept", l.MaxFiles, spec.MostLogFiles))
	case l.MaxSize == spec.NoLogLimit && l.MaxFiles > 1:
		return fault.New(fault.Invalid, "log: without a size there is one file")
	}
	return nil
}

func restart(c *spec.Container) error {
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

// storage accepts what a quota can hold, in units of 1 KiB.
func storage(size int64) error {
	if size != 0 && size < 1024 {
		return fault.New(fault.Invalid, "storage size is negative, or less than 1 KiB")
	}
	return nil
}

func timeout(seconds *int) error {
	const most = 1 << 31 // seconds; more would overflow a duration
	if seconds != nil && *seconds > most {
		return fault.New(fault.Invalid, "stop timeout is too long")
	}
	return nil
}

// hostname accepts what sethostname(2) can hold and /etc/hosts can carry.
func hostname(h string) error {
	if h == "" {
		return nil
	}
	if len(h) > 64 || !plainName.MatchString(h) {
		return fault.New(fault.Invalid, fmt.Sprintf("hostname %.80q: want 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or digit", h))
	}
	return nil
}

// Hostname cuts a pod's name to what a hostname can hold.
func Hostname(name string) string {
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-_.")
	}
	return name
}
