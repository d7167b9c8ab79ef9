package checkpoint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// Wish is what a container that has been made again may be: what was asked for, and nothing
// of what the checkpoint says.
type Wish struct {
	Spec *specs.Spec
	// Namespaces are those that it must be in, kind → "kind:[inode]"; Not are those that it must
	// not, by kind and whose they are: "mnt of self".
	Namespaces, Not map[string]string
	// Cgroup is the path of its group in every hierarchy.
	Cgroup string
	// Absent are those of Protected that do not exist.
	Absent []string
	// Devices are the file systems that were given to it, "major:minor".
	Devices []string
}

// Seen is what the kernel shows of one task.
type Seen struct {
	// Status, Cgroup and Profile are files of /proc/PID.
	Status, Cgroup, Profile string
	Namespaces              map[string]string
	Mounts                  []Mount
}

// Judge holds a task that CRIU has made against what was asked for: images of CRIU's say
// who a process is and what it may, and whoever has written them could say anything. The
// error is Denied, and says what is too much.
func (w *Wish) Judge(s Seen) error {
	for _, check := range []func(Seen) error{w.namespaces, w.cgroup, w.credentials, w.profile, w.mounts} {
		if err := check(s); err != nil {
			return err
		}
	}
	return nil
}

func denied(format string, args ...any) error {
	return fault.New(fault.Denied, "the checkpoint asks for more than the request: "+fmt.Sprintf(format, args...))
}

func (w *Wish) namespaces(s Seen) error {
	for kind, want := range w.Namespaces {
		if s.Namespaces[kind] != want {
			return denied("another %s namespace", kind)
		}
	}
	for whose, link := range w.Not {
		if kind, _, _ := strings.Cut(whose, " "); s.Namespaces[kind] == link {
			return denied("the %s", whose)
		}
	}
	return nil
}

// cgroup wants the group or one below it, in every hierarchy that has it.
func (w *Wish) cgroup(s Seen) error {
	inside := false
	for line := range strings.Lines(s.Cgroup) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, at, _ := strings.Cut(rest, ":")
		switch {
		case at == w.Cgroup, strings.HasPrefix(at, w.Cgroup+"/"):
			inside = true
		case controllers != "": // the unified hierarchy of a hybrid host is not used
			return denied("cgroup %s of %s", at, controllers)
		}
	}
	if !inside {
		return denied("another cgroup")
	}
	return nil
}

// credentials holds capabilities, ids, the filter and no_new_privs against the request.
func (w *Wish) credentials(s Seen) error {
	f := fields(s.Status)
	p := w.Spec.Process
	for field, list := range map[string][]string{
		"CapBnd": capabilities(p).Bounding, "CapPrm": permitted(p), "CapEff": permitted(p), "CapInh": permitted(p), "CapAmb": permitted(p),
	} {
		have, err := strconv.ParseUint(f[field], 16, 64)
		if err != nil {
			return denied("%s is %.40q", field, f[field])
		}
		if more := have &^ mask(list); more != 0 {
			return denied("capabilities %#x in %s", more, field)
		}
	}
	filtered := w.Spec.Linux != nil && w.Spec.Linux.Seccomp != nil
	switch {
	case p.NoNewPrivileges && f["NoNewPrivs"] != "1":
		return denied("new privileges")
	case filtered && f["Seccomp"] != "2":
		return denied("no seccomp filter")
	}
	return w.ids(f)
}

// ids: who cannot change to another user or group must be in those that were asked for.
func (w *Wish) ids(f map[string]string) error {
	p := w.Spec.Process
	may := func(capability string) bool {
		return !p.NoNewPrivileges || slices.Contains(capabilities(p).Bounding, capability)
	}
	if p.User.UID != 0 && !may("CAP_SETUID") {
		if id := foreign(f["Uid"], []uint32{p.User.UID}); id != "" {
			return denied("user %s", id)
		}
	}
	if may("CAP_SETGID") {
		return nil
	}
	if id := foreign(f["Gid"]+" "+f["Groups"], append([]uint32{p.User.GID}, p.User.AdditionalGids...)); id != "" {
		return denied("group %s", id)
	}
	return nil
}

// foreign is the first id of a list that is not among these, "" if all are.
func foreign(list string, these []uint32) string {
	for _, id := range strings.Fields(list) {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil || !slices.Contains(these, uint32(n)) {
			return id
		}
	}
	return ""
}

func (w *Wish) profile(s Seen) error {
	if want := w.Spec.Process.ApparmorProfile; want != "" && want != "unconfined" {
		if name, _, _ := strings.Cut(strings.TrimSpace(s.Profile), " ("); name != want {
			return denied("AppArmor profile %.80q", name)
		}
	}
	return nil
}

// kernelTypes are file systems that hold nothing but what the kernel shows in the
// container's own namespaces, or memory.
func kernelTypes() []string {
	return []string{"proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"}
}

// mounts wants no file system that was not given, and every protection that was asked for.
func (w *Wish) mounts(s Seen) error {
	top := map[string]Mount{} // the uppermost mount at each point
	for _, m := range s.Mounts {
		if !slices.Contains(kernelTypes(), m.Type) && !slices.Contains(w.Devices, m.Device) {
			return denied("a file system of type %.20s at %.80q", m.Type, m.Point)
		}
		top[m.Point] = m
	}
	if w.Spec.Root.Readonly && !top["/"].ReadOnly {
		return denied("a writable root file system")
	}
	for _, m := range w.Spec.Mounts {
		if err := fixed(m, top); err != nil {
			return err
		}
	}
	return w.protections(top)
}

// fixed wants what is to be read-only to be that. Of cgroups of v1 the directory that they
// are in is nobody's but the container's.
func fixed(m specs.Mount, top map[string]Mount) error {
	if !slices.Contains(m.Options, "ro") {
		return nil
	}
	for point, at := range top {
		this := point == m.Destination
		if m.Type == "cgroup" {
			this = strings.HasPrefix(at.Type, "cgroup")
		}
		if this && !at.ReadOnly {
			return denied("%s writable", point)
		}
	}
	return nil
}

// protections wants all masks, and read-only what shall be.
func (w *Wish) protections(top map[string]Mount) error {
	if w.Spec.Linux == nil {
		return nil
	}
	for _, p := range w.Spec.Linux.ReadonlyPaths {
		if at, there := top[p]; w.exposes(p, there) || there && !at.ReadOnly {
			return denied("%s writable", p)
		}
	}
	for _, p := range w.Spec.Linux.MaskedPaths {
		if _, there := top[p]; w.exposes(p, there) {
			return denied("%s, which is masked", p)
		}
	}
	return nil
}

// Protected are the paths that have to be mounted on where they exist.
func (w *Wish) Protected() []string {
	if w.Spec.Linux == nil {
		return nil
	}
	return slices.Concat(w.Spec.Linux.MaskedPaths, w.Spec.Linux.ReadonlyPaths)
}

// exposes tells whether a path that is to be protected is neither mounted on nor absent.
func (w *Wish) exposes(path string, mounted bool) bool {
	return !mounted && !slices.Contains(w.Absent, path)
}

// fields reads the lines of a /proc/PID/status.
func fields(status string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(status) {
		name, value, ok := strings.Cut(line, ":")
		if _, twice := out[name]; ok && !twice {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// mask is the bits of capabilities; a name that is not known has none.
func mask(names []string) (bits uint64) {
	for _, c := range capability.ListKnown() {
		if slices.Contains(names, "CAP_"+strings.ToUpper(c.String())) {
			bits |= 1 << c
		}
	}
	return bits
}

func capabilities(p *specs.Process) specs.LinuxCapabilities {
	if p.Capabilities == nil {
		return specs.LinuxCapabilities{}
	}
	return *p.Capabilities
}

// permitted are the capabilities that a process could come to have: those of the bounding
// set, by executing a file that has them, and those that it was given.
func permitted(p *specs.Process) []string {
	c := capabilities(p)
	return slices.Concat(c.Bounding, c.Permitted, c.Effective, c.Inheritable, c.Ambient)
}
