// Package namespace decides, kind by kind, where the namespaces of sandboxes and
// containers come from, and which sysctls they may set. What the kernel cannot do is
// refused with its reason.
package namespace

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

// Peer is a container whose namespaces another one takes.
type Peer struct {
	ID, Title string
	// IDs identifies its user namespace: ranges never overlap, so two pods have one
	// mapping exactly when they share the namespace. Zero is the host's.
	IDs status.IDMapping
}

// Finder resolves the NAME of container:NAME; NotFound when there is none.
type Finder func(ref string) (Peer, error)

// Choice is what was decided.
type Choice struct {
	// Modes has a mode for every kind; Peers are the containers, by ID, that kinds are
	// taken from.
	Modes spec.Namespaces
	Peers map[string]string
	// IDs is the mapping to use; Fresh asks for a new range instead.
	IDs   status.IDMapping
	Fresh bool
}

func badMode(kind string, m spec.Mode, why string) error {
	return fault.New(fault.Invalid, fmt.Sprintf("%s namespace: mode %q: %s", kind, m, why))
}

// Pod decides where each namespace of a sandbox comes from; see spec.Namespaces
// for the defaults.
//
// A user namespace owns the net, ipc, uts and pid namespaces that are made in it, and
// the kernel lets only processes of that user namespace or of an ancestor enter them
// (namespaces(7), setns(2) EPERM); mounting sysfs and proc needs the owner as well.
// So a pod that takes another's namespaces lives in its user namespace or in the
// host's.
func Pod(asked spec.Namespaces, find Finder) (Choice, error) {
	c := Choice{Modes: asked, Peers: map[string]string{}}
	var owners []Peer
	var host []string
	for _, kind := range spec.Kinds() {
		if kind == "user" {
			continue
		}
		m := asked.Mode(kind).Or(spec.Own)
		name, joins := m.Container()
		switch {
		case joins:
			p, err := find(name)
			if err != nil {
				return c, fmt.Errorf("%s namespace: %w", kind, err)
			}
			m = spec.OfContainer(p.ID)
			c.Peers[kind] = p.ID
			if kind != "cgroup" {
				owners = append(owners, p)
			}
		case m == spec.Host:
			host = append(host, kind)
		case m == spec.OfPod && kind == "pid", m == spec.Own:
		case m == spec.None && (kind == "net" || kind == "ipc"):
		default:
			return c, badMode(kind, m, "not possible for a sandbox")
		}
		c.Modes = c.Modes.With(kind, m)
	}
	return c, c.planUser(asked.User, owners, host, find)
}

func (c *Choice) planUser(asked spec.Mode, owners []Peer, host []string, find Finder) error {
	for _, o := range owners[min(1, len(owners)):] {
		if o.IDs != owners[0].IDs {
			return fault.New(fault.Unsupported, fmt.Sprintf("namespaces: containers %s and %s live in different user namespaces, the kernel lets nobody join both", owners[0].Title, o.Title))
		}
	}
	if name, joins := asked.Container(); joins {
		p, err := find(name)
		if err != nil {
			return fmt.Errorf("user namespace: %w", err)
		}
		return c.follow(p, owners, host)
	}
	switch asked {
	case "":
		return c.defaultUser(owners, host)
	case spec.Host:
		c.Modes.User = spec.Host
		return nil
	case spec.Own:
		return c.ownUser(owners, host)
	}
	return badMode("user", asked, "not possible for a sandbox")
}

// defaultUser is the user namespace of a sandbox that did not ask for one: its own,
// unless other kinds belong to a container or the host; then it follows those.
func (c *Choice) defaultUser(owners []Peer, host []string) error {
	foreign := c.foreign(host)
	switch {
	case len(owners)+len(host) == 0:
		return c.ownUser(nil, nil)
	case len(owners) > 0 && len(foreign) == 0:
		return c.follow(owners[0], owners, host)
	case len(owners) > 0 && owners[0].IDs != (status.IDMapping{}):
		return unsupportedHost(foreign, "container "+owners[0].Title+"'s user namespace, which it has to share")
	}
	c.Modes.User = spec.Host
	return nil
}

func (c *Choice) ownUser(owners []Peer, host []string) error {
	if len(owners) > 0 {
		return fault.New(fault.Unsupported, "user namespace: own is not possible together with joining container "+owners[0].Title+": the kernel refuses namespaces of a foreign user namespace; leave user unset to share that container's, or take the host's")
	}
	if f := c.foreign(host); len(f) > 0 {
		return unsupportedHost(f, "a user namespace of its own")
	}
	c.Modes.User, c.Fresh = spec.Own, true
	return nil
}

// foreign returns those of the host's namespaces that cannot be used from another
// user namespace.
func (c *Choice) foreign(host []string) []string {
	return slices.DeleteFunc(slices.Clone(host), func(k string) bool { return k == "cgroup" || k == "uts" })
}

func unsupportedHost(kinds []string, with string) error {
	return fault.New(fault.Unsupported, fmt.Sprintf("%s namespace: the host's is not possible together with %s: the kernel lets only its owner mount sysfs, proc or mqueue for it; take the host's user namespace as well", strings.Join(kinds, ", "), with))
}

// follow puts the sandbox into p's user namespace.
func (c *Choice) follow(p Peer, owners []Peer, host []string) error {
	for _, o := range owners {
		if o.IDs != p.IDs && p.IDs != (status.IDMapping{}) {
			return fault.New(fault.Unsupported, fmt.Sprintf("user namespace: container %s's cannot join the namespaces of container %s, which belong to another user namespace", p.Title, o.Title))
		}
	}
	if p.IDs == (status.IDMapping{}) {
		c.Modes.User = spec.Host
		return nil
	}
	if f := c.foreign(host); len(f) > 0 {
		return unsupportedHost(f, "container "+p.Title+"'s user namespace")
	}
	c.Modes.User, c.IDs = spec.OfContainer(p.ID), p.IDs
	c.Peers["user"] = p.ID
	return nil
}

// Container decides where each namespace of a container comes from, given the
// effective modes and the mapping of its sandbox; see spec.Namespaces for the
// defaults.
func Container(asked, sandbox spec.Namespaces, ids status.IDMapping, find Finder) (Choice, error) {
	c := Choice{Modes: asked, Peers: map[string]string{}, IDs: ids}
	for _, kind := range spec.Kinds() {
		m := asked.Mode(kind).Or(containerDefault(kind, sandbox))
		var err error
		if name, joins := m.Container(); joins {
			m, err = c.join(kind, name, find)
		} else {
			m, err = c.containerMode(kind, m, sandbox)
		}
		if err != nil {
			return c, err
		}
		c.Modes = c.Modes.With(kind, m)
	}
	return c, nil
}

// join takes one kind from another container.
func (c *Choice) join(kind, name string, find Finder) (spec.Mode, error) {
	p, err := find(name)
	if err != nil {
		return "", fmt.Errorf("%s namespace: %w", kind, err)
	}
	if p.IDs != c.IDs && (kind == "user" || c.IDs != (status.IDMapping{})) {
		return "", fault.New(fault.Unsupported, fmt.Sprintf("%s namespace: container %s lives in another user namespace, the kernel does not let this pod's containers join", kind, p.Title))
	}
	if kind == "user" { // the very same
		return spec.OfPod, nil
	}
	c.Peers[kind] = p.ID
	return spec.OfContainer(p.ID), nil
}

// containerMode checks a mode that names no container.
func (c *Choice) containerMode(kind string, m spec.Mode, sandbox spec.Namespaces) (spec.Mode, error) {
	switch {
	case kind == "user":
		return spec.OfPod, containerUser(m, sandbox.User)
	case m == spec.Own:
		return m, nil
	case m == spec.OfPod:
		return ofPod(kind, sandbox)
	case m == spec.Host:
		return c.ofHost(kind, sandbox)
	case m == spec.None && (kind == "net" || kind == "ipc"):
		return m, nil
	}
	return "", badMode(kind, m, "unknown here (own, pod, host, container:NAME; net and ipc also none)")
}

func ofPod(kind string, sandbox spec.Namespaces) (spec.Mode, error) {
	switch {
	case kind == "cgroup":
		return containerDefault(kind, sandbox), nil
	case kind == "pid" && sandbox.PID == spec.Own:
		return "", badMode(kind, spec.OfPod, "the pod does not share a pid namespace (share it with pid: pod at the pod)")
	}
	return spec.OfPod, nil
}

func (c *Choice) ofHost(kind string, sandbox spec.Namespaces) (spec.Mode, error) {
	switch {
	case kind == "cgroup":
		return spec.Host, nil
	case sandbox.Mode(kind) == spec.Host:
		return spec.OfPod, nil
	case c.IDs != (status.IDMapping{}):
		return "", fault.New(fault.Unsupported, kind+" namespace: the host's is not possible in a pod with a user namespace of its own; give the pod the host's user namespace")
	}
	return spec.Host, nil
}

func containerDefault(kind string, sandbox spec.Namespaces) spec.Mode {
	switch kind {
	case "cgroup":
		if sandbox.Cgroup == "" {
			return spec.Own
		}
		return sandbox.Cgroup
	case "pid":
		if sandbox.PID == spec.Own || sandbox.PID == "" {
			return spec.Own
		}
	}
	return spec.OfPod
}

// containerUser checks the user mode of a container: a pod has one user namespace.
func containerUser(asked, sandbox spec.Mode) error {
	switch {
	case asked == spec.OfPod, asked == sandbox:
		return nil
	case asked == spec.Own:
		return fault.New(fault.Unsupported, "user namespace: own for one container is not possible, its pod has the host's or another container's; ask for it at the pod")
	case asked == spec.Host:
		return fault.New(fault.Unsupported, "user namespace: the host's is not possible in a pod that has one of its own; ask for it at the pod")
	}
	return badMode("user", asked, "unknown")
}

// ownsKind reports whether the sandbox's namespace of that kind is nobody else's.
func ownsKind(sandbox spec.Namespaces, kind string) bool {
	m := sandbox.Mode(kind)
	return m == spec.Own || m == spec.None || m == spec.OfPod
}

// ipcSysctls are the sysctls of an ipc namespace (ipc_namespaces(7)).
var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

// Sysctls accepts sysctls that are confined to a namespace which this sandbox
// alone owns; any other would change the host or a neighbour (CVE-2022-0532).
func Sysctls(asked map[string]string, sandbox spec.Namespaces) error {
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if err := checkSysctl(name, asked[name], sandbox); err != nil {
			return fmt.Errorf("sysctl %.100q: %w", name, err)
		}
	}
	return nil
}

func checkSysctl(name, value string, sandbox spec.Namespaces) error {
	for _, word := range strings.Split(name, ".") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			return fault.New(fault.Invalid, "not a sysctl's name (words of letters, digits, '_' and '-' with dots between)")
		}
	}
	if strings.ContainsAny(value, "\x00\n") {
		return fault.New(fault.Invalid, "the value holds a NUL or a new line")
	}
	var kind string
	switch {
	case strings.HasPrefix(name, "net."):
		kind = "net"
	case slices.Contains(ipcSysctls, name), strings.HasPrefix(name, "fs.mqueue."):
		kind = "ipc"
	case name == "kernel.hostname", name == "kernel.domainname":
		return fault.New(fault.Invalid, "set the hostname instead")
	default:
		return fault.New(fault.Invalid, "not confined to a namespace, it would change the host")
	}
	if !ownsKind(sandbox, kind) {
		return fault.New(fault.Invalid, "the pod does not have a "+kind+" namespace of its own, it would change somebody else's")
	}
	return nil
}
