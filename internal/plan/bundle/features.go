package bundle

import (
	"encoding/json"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"

	"carob/internal/fault"
	"carob/internal/plan/oci"
	"carob/internal/spec"
)

// Features is what a runtime can do.
type Features struct {
	// Runtime is the runtime's name by its own words, "runc", and Version what follows.
	Runtime, Version string
	// Sentry says that it is gVisor's: a pod is one sandbox, in which no process of a
	// container is one of the host's.
	Sentry bool
	// NoSeccomp, NoAppArmor and NoSELinux say that the runtime was built without.
	NoSeccomp, NoAppArmor, NoSELinux bool
}

// Identify reads the first line of `RUNTIME --version`: "runc version 1.1.5+ds1". A
// runtime that says nothing of itself is Invalid.
func Identify(version string) (Features, error) {
	line, _, _ := strings.Cut(version, "\n")
	name, rest, ok := strings.Cut(strings.TrimSpace(line), " version ")
	if !ok || name == "" || len(line) > 200 || strings.ContainsAny(name, " /") {
		return Features{}, fault.New(fault.Invalid, "--version: is no OCI runtime's: \""+clip(line)+"\"")
	}
	return Features{Runtime: name, Version: strings.TrimSpace(rest), Sentry: name == "runsc"}, nil
}

// Read takes over what `RUNTIME features` writes (runtime-spec, features.md).
func (f *Features) Read(document []byte) error {
	var d features.Features
	if err := json.Unmarshal(document, &d); err != nil {
		return fault.Wrap(fault.Invalid, "features", err)
	}
	if d.Linux == nil {
		return nil
	}
	no := func(enabled *bool) bool { return enabled != nil && !*enabled }
	f.NoSeccomp = d.Linux.Seccomp != nil && no(d.Linux.Seccomp.Enabled)
	f.NoAppArmor = d.Linux.Apparmor != nil && no(d.Linux.Apparmor.Enabled)
	f.NoSELinux = d.Linux.Selinux != nil && no(d.Linux.Selinux.Enabled)
	return nil
}

// Process returns the process as the runtime is to start it: the default AppArmor profile
// is the runtime's own, which is none where it uses none.
func (f Features) Process(p *specs.Process) *specs.Process {
	if p.ApparmorProfile != oci.AppArmorProfile || !f.unconfined() {
		return p
	}
	out := *p
	out.ApparmorProfile = ""
	return &out
}

// unconfined reports whether the runtime uses no AppArmor profiles.
func (f Features) unconfined() bool { return f.Sentry || f.NoAppArmor }

// refuse names what the runtime would not honour.
func (f Features) refuse(s *specs.Spec) error {
	switch {
	case s.Process.ApparmorProfile != "" && s.Process.ApparmorProfile != oci.AppArmorProfile && f.unconfined():
		return unsupported("AppArmor profile", f.Runtime+" does not confine by it")
	case s.Process.SelinuxLabel != "" && (f.Sentry || f.NoSELinux):
		return unsupported("SELinux label", f.Runtime+" does not set it (label=disable asks for none)")
	case s.Linux.Seccomp != nil && f.NoSeccomp:
		return unsupported("seccomp", f.Runtime+" was built without it (seccomp: unconfined)")
	case f.Sentry:
		return refuseSentry(s)
	}
	return refuseNewer(s)
}

// refuseNewer names what a runtime of Version would ignore.
func refuseNewer(s *specs.Spec) error {
	switch {
	case s.Process.Scheduler != nil:
		return unsupported("scheduler", "carob's own handler only sets it")
	case s.Process.IOPriority != nil:
		return unsupported("ioPriority", "carob's own handler only sets it")
	case s.Linux.MemoryPolicy != nil:
		return unsupported("memoryPolicy", "carob's own handler only sets it")
	}
	return nil
}

// refuseSentry names what gVisor would not honour.
func refuseSentry(s *specs.Spec) error {
	switch {
	case s.Hooks != nil:
		return unsupported("hooks", "carob does not have gVisor run any")
	case len(s.Linux.Devices) > 0:
		return unsupported("devices", "gVisor has none of the host's")
	}
	return refuseNewer(s)
}

// Admit completes a pod's request for a handler that is not carob's own, or refuses
// it. A pod that did not ask for a user namespace of its own lives in the host's.
func (f Features) Admit(p *spec.Pod) error {
	if err := f.admitUsers(p); err != nil || !f.Sentry {
		return err
	}
	n := &p.Namespaces
	for _, kind := range spec.Kinds() {
		m := n.Mode(kind)
		_, joins := m.Container()
		switch {
		case joins:
			return unsupported(kind+" namespace", "handler "+p.Handler+" cannot join a container's")
		case kind == "pid" && m == spec.OfPod:
			return unsupported("pid namespace", "handler "+p.Handler+" does not share one in the pod")
		case m == spec.Host && (kind == "pid" || kind == "ipc"):
			return unsupported(kind+" namespace", "handler "+p.Handler+" has a kernel of its own and not the host's")
		}
	}
	return nil
}

func (f Features) admitUsers(p *spec.Pod) error {
	n := &p.Namespaces
	_, joins := n.User.Container()
	switch {
	case n.User == "":
		n.User = spec.Host
	case joins:
		return unsupported("user namespace", "handler "+p.Handler+" cannot join a container's; take the host's or one of the pod's own")
	case n.User == spec.Own && f.Sentry:
		return unsupported("user namespace", "handler "+p.Handler+" has no pods with one of their own; take the host's")
	case n.User == spec.Own && n.PID == spec.OfPod: // the host's would own it, and proc could not be mounted
		return unsupported("pid namespace", "handler "+p.Handler+" does not share one in a pod with a user namespace of its own")
	}
	return nil
}

func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
