package oci

import (
	"runtime"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ident"
	"carob/internal/plan/ocispec"
	"carob/internal/plan/selinux"
	"carob/internal/spec"
	"carob/internal/status"
)

// Builder plans containers and remembers the seccomp profiles it made on the way. It
// may be used by many goroutines.
type Builder struct {
	profiles profiles
}

// New returns a Builder without memories.
func New() *Builder { return &Builder{} }

// Container plans a container with a Builder of its own; who plans many keeps one.
func Container(r Request) (*specs.Spec, error) { return New().Container(r) }

// planner is one request on its way to a plan.
type planner struct {
	r          *Request
	c          *spec.Container
	pod        *spec.Pod
	privileged bool
	mapped     bool // in a user namespace of its own
	native     bool // made by carob's own handler
	labels     selinux.Labels
}

func newPlanner(r *Request) *planner {
	p := &planner{r: r, c: r.Container, pod: r.Pod}
	if p.pod == nil {
		p.pod = &spec.Pod{}
	}
	p.privileged = p.c.Security.Privileged
	p.native = p.pod.Handler == "" || p.pod.Handler == "native"
	p.mapped = r.IDs != (status.IDMapping{})
	return p
}

// Container plans a container. Errors are Invalid for a request that is wrong
// anywhere and Unsupported for one that this host cannot serve; they name the field
// or path.
func (b *Builder) Container(r Request) (*specs.Spec, error) {
	p := newPlanner(&r)
	if err := checkHostname(r.Hostname); err != nil {
		return nil, err
	}
	var err error
	if p.labels, err = p.seLinux(); err != nil {
		return nil, err
	}
	caps, err := ident.Capabilities(p.c.Security.CapAdd, p.c.Security.CapDrop, p.privileged)
	if err != nil {
		return nil, err
	}
	if caps, err = ident.WithAmbient(caps, p.c.Security.CapAmbient); err != nil {
		return nil, err
	}
	if caps, err = held(r, caps, slices.Concat(p.c.Security.CapAdd, p.c.Security.CapAmbient)); err != nil {
		return nil, err
	}
	out := &specs.Spec{
		Version: specs.Version,
		Root:    &specs.Root{Path: "rootfs", Readonly: p.c.Security.ReadOnlyRootfs},
	}
	if r.Namespaces.UTS == spec.Own {
		out.Hostname = r.Hostname
	}
	if out.Process, err = p.process(caps); err != nil {
		return nil, err
	}
	if out.Hooks, err = p.hooks(); err != nil {
		return nil, err
	}
	if out.Mounts, err = (tree{p}).mounts(); err != nil {
		return nil, err
	}
	if out.Linux, err = p.linux(out.Mounts); err != nil {
		return nil, err
	}
	out.Linux.Seccomp, err = b.seccomp(p, caps.Bounding)
	return out, err
}

// hooks are for OCI runtimes: carob's own handler has no process that could run them
// where they are meant to run.
func (p *planner) hooks() (*specs.Hooks, error) {
	if p.c.Hooks != nil && p.native {
		return nil, fault.New(fault.Unsupported, "hooks: carob's own handler runs none; an OCI runtime does (--runtime runc, a RuntimeClass)")
	}
	return p.c.Hooks, ocispec.Hooks(p.c.Hooks)
}

func (p *planner) linux(mounts []specs.Mount) (*specs.Linux, error) {
	out := &specs.Linux{
		UIDMappings:       p.idMappings(),
		GIDMappings:       p.idMappings(),
		CgroupsPath:       p.r.Cgroup,
		Namespaces:        p.namespaces(),
		RootfsPropagation: rootPropagation(mounts),
		MemoryPolicy:      p.c.MemoryPolicy,
		MountLabel:        p.labels.Mount,
	}
	switch asked := p.c.Security.Paths; {
	case p.privileged || p.c.Security.Unmasked:
	case asked != nil:
		if err := checkKernelPaths(asked); err != nil {
			return nil, err
		}
		out.MaskedPaths, out.ReadonlyPaths = asked.Masked, asked.ReadOnly
	default:
		out.MaskedPaths, out.ReadonlyPaths = p.maskedPaths(), readonlyPaths()
	}
	if err := checkDevices(p.r.Devices); err != nil {
		return nil, err
	}
	for _, d := range p.r.Devices {
		if p.native && !strings.HasPrefix(d.Path, "/dev/") {
			return nil, fault.New(fault.Unsupported, "device \""+clip(d.Path)+"\": carob's own handler makes nodes below /dev only")
		}
	}
	out.Devices = p.r.Devices
	var err error
	out.Resources, err = limits{p}.plan()
	return out, err
}

// seccomp is the container's filter; nil is none.
func (b *Builder) seccomp(p *planner, caps []string) (*specs.LinuxSeccomp, error) {
	m := Machine{Arch: runtime.GOARCH, Kernel: p.r.Facts.Kernel, Caps: caps}
	switch word := strings.TrimSpace(p.c.Security.Seccomp); {
	case word == "unconfined":
		return nil, nil
	case word == "" || word == "default":
		if p.privileged {
			return nil, nil
		}
		return b.profiles.of("", m)
	case word[0] == '{':
		return b.profiles.of(p.c.Security.Seccomp, m) // untrimmed: errors count its lines
	default:
		return nil, fault.New(fault.Invalid, "seccomp \""+clip(word)+"\": neither default, unconfined nor a profile in JSON")
	}
}

// held limits capabilities to what carob has to give: in a user namespace of the
// pod's own, and where the facts do not say, that is everything.
func held(r Request, caps *specs.LinuxCapabilities, asked []string) (*specs.LinuxCapabilities, error) {
	if r.IDs.Size > 0 || r.Facts.Capabilities == 0 {
		return caps, nil
	}
	return ident.Within(caps, r.Facts.Capabilities.Has, asked)
}
