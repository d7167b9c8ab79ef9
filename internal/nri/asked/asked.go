// Package asked turns what NRI plugins want of a container into a request. What a request has no
// word for is refused by the name that NRI has for it. It is pure.
package asked

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/nri/pkg/api"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/adjust"
	"carob/internal/plan/cgroup"
	"carob/internal/spec"
)

// Adjust applies an adjustment to a copy of c; nil is c as it is. The devices of CDI in it
// are returned by name, for others to describe. The errors are Unsupported or Invalid and name
// what of the adjustment they are about.
func Adjust(c *spec.Container, a *api.ContainerAdjustment) (out *spec.Container, cdi []string, err error) {
	next := *c
	w := work{c: &next}
	w.environment(a.GetEnv())
	w.annotations(a.GetAnnotations())
	w.command(a.GetArgs())
	w.hooks(a.GetHooks())
	w.rlimits(a.GetRlimits())
	for _, d := range a.GetCDIDevices() {
		cdi, w.changed = append(cdi, d.GetName()), true
	}
	for _, step := range []func() error{
		func() error { return w.mounts(a.GetMounts()) },
		func() error { return w.devices(a.GetLinux().GetDevices()) },
		func() error { return refuse(a.GetLinux()) },
		func() error { return w.resources(a.GetLinux().GetResources()) },
		func() error { return w.seccomp(a.GetLinux().GetSeccompPolicy()) },
	} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	w.attributes(a.GetLinux())
	if !w.changed {
		return nil, nil, nil
	}
	return w.c, cdi, nil
}

// Unset adds to an adjustment the variables that plugins have taken away. The library forgets those
// in its answer (nri 0.12) and shows them only by what is left of the container's.
func Unset(a *api.ContainerAdjustment, before, after []string) {
	left := map[string]bool{}
	for _, word := range after {
		key, _, _ := strings.Cut(word, "=")
		left[key] = true
	}
	for _, word := range before {
		if key, _, _ := strings.Cut(word, "="); !left[key] {
			a.Env = append(a.Env, &api.KeyValue{Key: api.MarkForRemoval(key)})
		}
	}
}

// work is a request that is being changed.
type work struct {
	c       *spec.Container
	changed bool
}

func unsupported(field, why string) error { return fault.New(fault.Unsupported, field+": "+why) }

// refuse names what a container cannot be given.
func refuse(l *api.LinuxContainerAdjustment) error {
	r := l.GetResources()
	switch {
	case l.GetCgroupsPath() != "":
		return unsupported("linux.cgroups_path", "where a container's cgroup is carob decides")
	case len(l.GetNamespaces()) > 0:
		return unsupported("linux.namespaces", "a container's are decided with its pod")
	case len(l.GetSysctl()) > 0:
		return unsupported("linux.sysctl", "a container has its pod's")
	case len(l.GetNetDevices()) > 0:
		return unsupported("linux.net_devices", "a container has the network of its pod")
	case r.GetRdtClass().GetValue() != "" || l.GetRdt().GetClosId() != nil || l.GetRdt().GetSchemata() != nil || l.GetRdt().GetEnableMonitoring() != nil:
		return unsupported("linux.rdt", "carob does not manage resctrl groups")
	case r.GetBlockioClass().GetValue() != "":
		return unsupported("linux.resources.blockio_class", "carob has no classes of block I/O")
	}
	return nil
}

func (w *work) environment(env []*api.KeyValue) {
	for _, e := range env {
		word := e.GetKey() + "=" + e.GetValue()
		if key, gone := e.IsMarkedForRemoval(); gone {
			word = key
		}
		w.c.Env, w.changed = append(slices.Clip(w.c.Env), word), true
	}
}

func (w *work) annotations(all map[string]string) {
	if len(all) == 0 {
		return
	}
	next := maps.Clone(w.c.Annotations)
	if next == nil {
		next = map[string]string{}
	}
	for key, value := range all {
		if old, gone := api.IsMarkedForRemoval(key); gone {
			delete(next, old)
		} else {
			next[key] = value
		}
	}
	w.c.Annotations, w.changed = next, true
}

// command replaces the whole of it.
func (w *work) command(args []string) {
	if len(args) > 0 {
		w.c.Command, w.c.Args, w.changed = args, nil, true
	}
}

func (w *work) hooks(h *api.Hooks) {
	if h.Hooks() == nil { // there are none in it
		return
	}
	list := func(all []*api.Hook) (out []specs.Hook) {
		for _, one := range all {
			out = append(out, one.ToOCI())
		}
		return out
	}
	adjust.PutHooks(w.c, &specs.Hooks{
		//lint:ignore SA1019 a deprecated field must still be honoured
		Prestart:      list(h.GetPrestart()),
		CreateRuntime: list(h.GetCreateRuntime()), CreateContainer: list(h.GetCreateContainer()),
		StartContainer: list(h.GetStartContainer()), Poststart: list(h.GetPoststart()), Poststop: list(h.GetPoststop()),
	})
	w.changed = true
}

func (w *work) rlimits(all []*api.POSIXRlimit) {
	for _, l := range all {
		w.c.Rlimits = slices.DeleteFunc(slices.Clone(w.c.Rlimits), func(o specs.POSIXRlimit) bool { return o.Type == l.GetType() })
		w.c.Rlimits = append(w.c.Rlimits, specs.POSIXRlimit{Type: l.GetType(), Hard: l.GetHard(), Soft: l.GetSoft()})
		w.changed = true
	}
}

// mounts takes away and adds. What the kernel or carob itself mounts stays: it is no part of a
// request.
func (w *work) mounts(all []*api.Mount) error {
	for _, m := range all {
		if target, gone := m.IsMarkedForRemoval(); gone {
			if !adjust.DropMount(w.c, target) {
				return unsupported("mounts", "-"+target+": the request has no mount there")
			}
			w.changed = true
			continue
		}
		one, err := adjust.Mount(m.ToOCI(nil))
		if err != nil {
			return err
		}
		adjust.PutMount(w.c, one)
		w.changed = true
	}
	return nil
}

func (w *work) devices(all []*api.LinuxDevice) error {
	for _, d := range all {
		if at, gone := d.IsMarkedForRemoval(); gone {
			if !adjust.DropDevice(w.c, at) {
				return unsupported("linux.devices", "-"+at+": the request has no device there")
			}
			w.changed = true
			continue
		}
		adjust.PutDevice(w.c, d.ToOCI(), d.AccessString())
		w.changed = true
	}
	return nil
}

// resources lays limits over those of the request.
func (w *work) resources(r *api.LinuxResources) error {
	limits, err := Limits(r)
	if err == nil && limits != nil {
		w.c.Resources, w.changed = cgroup.Merge(w.c.Resources, limits), true
	}
	return err
}

// Limits are the limits that r names; nil when it names none.
func Limits(r *api.LinuxResources) (*specs.LinuxResources, error) {
	if r == nil {
		return nil, nil
	}
	if len(r.GetDevices()) > 0 {
		return nil, unsupported("linux.resources.devices", "what a container may do with devices goes with its devices")
	}
	out := r.ToOCI()
	if *out.CPU == (specs.LinuxCPU{}) {
		out.CPU = nil
	}
	if *out.Memory == (specs.LinuxMemory{}) {
		out.Memory = nil
	}
	if out.CPU == nil && out.Memory == nil && out.Pids == nil && len(out.HugepageLimits)+len(out.Unified) == 0 {
		return nil, nil
	}
	return out, nil
}

// seccomp writes a policy as a profile, so that it is read like one.
func (w *work) seccomp(p *api.LinuxSeccomp) error {
	if p == nil {
		return nil
	}
	if p.GetListenerPath() != "" || p.GetListenerMetadata() != "" {
		return unsupported("linux.seccomp_policy.listener_path", "carob notifies nobody of system calls")
	}
	profile := specs.LinuxSeccomp{
		DefaultAction: specs.LinuxSeccompAction(p.GetDefaultAction()), Syscalls: api.ToOCILinuxSyscalls(p.GetSyscalls()),
	}
	if e := p.GetDefaultErrno(); e != nil {
		n := uint(e.GetValue())
		profile.DefaultErrnoRet = &n
	}
	for _, a := range p.GetArchitectures() {
		profile.Architectures = append(profile.Architectures, specs.Arch(a))
	}
	for _, f := range p.GetFlags() {
		profile.Flags = append(profile.Flags, specs.LinuxSeccompFlag(f))
	}
	text, err := json.Marshal(profile)
	if err != nil {
		return fault.Wrap(fault.Invalid, "linux.seccomp_policy", err)
	}
	w.c.Security.Seccomp, w.changed = string(text), true
	return nil
}

// attributes are what the kernel keeps with the first process.
func (w *work) attributes(l *api.LinuxContainerAdjustment) {
	if n := l.GetOomScoreAdj(); n != nil {
		score := int(n.GetValue())
		w.c.OOMScoreAdj, w.changed = &score, true
	}
	if p := l.GetIoPriority(); p != nil {
		w.c.IOPriority, w.changed = p.ToOCI(), true
	}
	if s := l.GetScheduler(); s != nil {
		w.c.Scheduler, w.changed = s.ToOCI(), true
	}
	if m := l.GetMemoryPolicy(); m != nil {
		w.c.MemoryPolicy, w.changed = m.ToOCI(), true
	}
}
