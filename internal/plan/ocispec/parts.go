package ocispec

import (
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/plan/selinux"
)

func process(s *specs.Spec) error {
	if s.Process == nil {
		return invalid("process", "is missing")
	}
	return Process(s.Process)
}

// context refuses what is no SELinux label. Whether the host has any, its runtime knows.
func context(field, label string) refusal {
	return refusal{label != "" && selinux.Context(label) != nil, invalid(field, "%.100q is not user:role:type:level", label)}
}

// unchanged is no id: to setresuid(2) it says that the id stays what it is, which is root's.
const unchanged uint32 = 1<<32 - 1

// Process checks a process by itself, as exec is given one.
func Process(p *specs.Process) error {
	err := first(
		refusal{len(p.Args) == 0 || p.Args[0] == "", invalid("process.args", "args must not be empty")},
		refusal{p.Cwd == "", invalid("process.cwd", "Cwd property must not be empty")},
		refusal{!path.IsAbs(p.Cwd) || hasNUL(p.Cwd), invalid("process.cwd", "Cwd must be an absolute path")},
		refusal{p.User.UID == unchanged, invalid("process.user.uid", "%d is no id", unchanged)},
		refusal{p.User.GID == unchanged, invalid("process.user.gid", "%d is no id", unchanged)},
		refusal{p.User.Umask != nil && *p.User.Umask > 0o777, invalid("process.user.umask", "is above 0777")},
		refusal{p.OOMScoreAdj != nil && (*p.OOMScoreAdj < -1000 || *p.OOMScoreAdj > 1000), invalid("process.oomScoreAdj", "is not between -1000 and 1000")},
		context("process.selinuxLabel", p.SelinuxLabel),
		refusal{hasNUL(p.ApparmorProfile), invalid("process.apparmorProfile", "a NUL byte")},
		refusal{p.ConsoleSize != nil && (p.ConsoleSize.Height > 0xffff || p.ConsoleSize.Width > 0xffff), invalid("process.consoleSize", "is above 65535")},
		refusal{slices.ContainsFunc(p.Args, hasNUL), invalid("process.args", "a NUL byte")},
		refusal{slices.ContainsFunc(p.Env, hasNUL), invalid("process.env", "a NUL byte")},
	)
	if err != nil {
		return err
	}
	return limits(p.Rlimits)
}

func limits(all []specs.POSIXRlimit) error {
	seen := map[string]bool{}
	for i, r := range all {
		field := fmt.Sprintf("process.rlimits[%d]", i)
		switch {
		case seen[r.Type]:
			return invalid(field, "a second %.40q", r.Type)
		case r.Soft > r.Hard:
			return invalid(field, "soft %d is above hard %d", r.Soft, r.Hard)
		}
		seen[r.Type] = true
	}
	return nil
}

func mounts(s *specs.Spec) error {
	for i := range s.Mounts {
		m := &s.Mounts[i]
		field := fmt.Sprintf("mounts[%d]", i)
		if hasNUL(m.Destination) || hasNUL(m.Source) || hasNUL(m.Type) || m.Destination == "" {
			return invalid(field, "destination %.80q is empty, or a NUL byte", m.Destination)
		}
		// Version 1.0 of the specification let relative ones be, runc still takes them.
		m.Destination = path.Clean("/" + m.Destination)
		o, err := mountopt.Parse(m.Options)
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		if err := mount(m, o); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	return nil
}

func mount(m *specs.Mount, o mountopt.Options) error {
	bind := binds(*m, o)
	err := first(
		refusal{m.Destination == "/" && !o.Remount, invalid("destination", "/ would cover the root file system")},
		refusal{bind && m.Source == "" && !o.Remount, invalid("source", "a bind mount needs one")},
		refusal{(len(m.UIDMappings) > 0) != (len(m.GIDMappings) > 0), invalid("uidMappings", "uidMappings and gidMappings go together")},
		refusal{len(m.UIDMappings) > 0 && !bind, unsupported("uidMappings", "only bind mounts can be mapped")},
		refusal{o.IDMap != mountopt.Unmapped && !bind, unsupported("options", "idmap is for bind mounts")},
		refusal{o.CopyUp && m.Type != "tmpfs", invalid("options", "tmpcopyup is for tmpfs")},
	)
	if err != nil {
		return err
	}
	if err = idRanges("uidMappings", append(slices.Clone(m.UIDMappings), m.GIDMappings...)); err != nil {
		return err
	}
	return Destination(*m)
}

// Destination protects procfs: what is mounted over parts of it could stand for the files
// that privileges are written to (CVE-2019-16884, CVE-2025-52881). The few that lxcfs and
// its like replace are allowed. It is asked again of where a destination leads.
func Destination(m specs.Mount) error {
	below, ok := strings.CutPrefix(m.Destination, "/proc")
	if !ok || below != "" && below[0] != '/' {
		return nil
	}
	switch below {
	case "":
		if o, err := mountopt.Parse(m.Options); err != nil || m.Type != "proc" && !binds(m, o) {
			return invalid("destination", "/proc takes nothing but procfs, not %.40q", m.Type)
		}
		return nil
	case "/cpuinfo", "/diskstats", "/meminfo", "/stat", "/swaps", "/uptime", "/loadavg", "/slabinfo", "/net/dev",
		"/sys/kernel/ns_last_pid", "/sys/crypto/fips_enabled":
		return nil
	}
	if m.Type == "proc" || m.Type == "binfmt_misc" {
		return nil
	}
	return invalid("destination", "%.80q cannot be mounted because it is inside /proc", m.Destination)
}

func binds(m specs.Mount, o mountopt.Options) bool { return m.Type == "bind" || o.Bind || o.Tree }

func devices(s *specs.Spec) error {
	seen := map[string]bool{}
	for i, d := range s.Linux.Devices {
		field := fmt.Sprintf("linux.devices[%d]", i)
		switch {
		case !path.IsAbs(d.Path) || hasNUL(d.Path) || path.Clean(d.Path) != d.Path:
			return invalid(field, "path %.80q is not an absolute, clean path", d.Path)
		case !slices.Contains([]string{"c", "u", "b", "p"}, d.Type):
			return invalid(field, "type %.40q is none of c, u, b and p", d.Type)
		case seen[d.Path]:
			return invalid(field, "a second %.80q", d.Path)
		case d.Major < 0 || d.Minor < 0 || d.Major >= 1<<12 || d.Minor >= 1<<20:
			return invalid(field, "%d:%d is no device number", d.Major, d.Minor)
		}
		seen[d.Path] = true
	}
	return nil
}

func hooks(s *specs.Spec) error { return Hooks(s.Hooks) }

// Hooks checks hooks; nil are none.
func Hooks(h *specs.Hooks) error {
	if h == nil {
		return nil
	}
	//lint:ignore SA1019 a deprecated field must still be honoured
	prestart := h.Prestart
	for kind, list := range map[string][]specs.Hook{
		"prestart": prestart, "createRuntime": h.CreateRuntime, "createContainer": h.CreateContainer,
		"startContainer": h.StartContainer, "poststart": h.Poststart, "poststop": h.Poststop,
	} {
		for i, h := range list {
			field := fmt.Sprintf("hooks.%s[%d]", kind, i)
			switch {
			case !path.IsAbs(h.Path) || hasNUL(h.Path) || slices.ContainsFunc(append(slices.Clone(h.Args), h.Env...), hasNUL):
				return invalid(field, "path %.80q is not absolute, or a NUL byte", h.Path)
			case h.Timeout != nil && *h.Timeout <= 0:
				return invalid(field, "timeout %d is not above 0", *h.Timeout)
			}
		}
	}
	return nil
}

func seccomp(s *specs.Spec) error {
	p := s.Linux.Seccomp
	if p == nil {
		return nil
	}
	notifies := slices.ContainsFunc(p.Syscalls, func(c specs.LinuxSyscall) bool { return c.Action == specs.ActNotify })
	switch {
	case notifies && p.ListenerPath == "":
		return invalid("linux.seccomp.listenerPath", "SCMP_ACT_NOTIFY needs one")
	case p.ListenerMetadata != "" && p.ListenerPath == "":
		return invalid("linux.seccomp.listenerMetadata", "without listenerPath")
	}
	return nil
}

func rest(s *specs.Spec) error {
	l := s.Linux
	err := first(
		context("linux.mountLabel", l.MountLabel),
		refusal{slices.ContainsFunc(append(slices.Clone(l.MaskedPaths), l.ReadonlyPaths...), func(p string) bool {
			return !path.IsAbs(p) || hasNUL(p)
		}), invalid("linux.maskedPaths", "a path is not absolute, or a NUL byte")},
		refusal{hasNUL(l.CgroupsPath), invalid("linux.cgroupsPath", "a NUL byte")},
		refusal{len(l.NetDevices) > 0 && !Own(s, specs.NetworkNamespace), invalid("linux.netDevices", "devices without a network namespace of its own")},
		refusal{l.Personality != nil && len(l.Personality.Flags) > 0, unsupported("linux.personality.flags", "none are defined")},
	)
	if err != nil {
		return err
	}
	for name, d := range l.NetDevices {
		if !interfaceName(name) || d.Name != "" && !interfaceName(d.Name) {
			return invalid("linux.netDevices", "%.40q or %.40q is no name of a network device", name, d.Name)
		}
	}
	return nil
}

// interfaceName is dev_valid_name of the kernel, and no name pattern.
func interfaceName(n string) bool {
	return n != "" && len(n) < 16 && n != "." && n != ".." && !strings.ContainsAny(n, "/: \t\n\x00%")
}

// DeviceRules returns the rules of a container's devices: everything is forbidden, then
// what the configuration says, then what every container may have (config-linux.md,
// "Default Devices").
func DeviceRules(asked []specs.LinuxDeviceCgroup) []specs.LinuxDeviceCgroup {
	rules := append([]specs.LinuxDeviceCgroup{{Access: "rwm"}}, asked...)
	number := func(n int64) *int64 { return &n }
	for _, kind := range []string{"c", "b"} {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: "m"})
	}
	for _, n := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}} {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(n[0]), Minor: number(n[1]), Access: "rwm"})
	}
	return append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(136), Access: "rwm"})
}

// ID tells whether an id may become the name of a directory: what runc takes.
func ID(id string) error {
	ok := id != "" && id != "." && id != ".." && len(id) <= 1024 && !strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_+-.", r))
	})
	if !ok {
		return fault.New(fault.Invalid, fmt.Sprintf("invalid container ID format: %.80q", id))
	}
	return nil
}
