package pod

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/spec"
	"carob/internal/status"
)

// peer is a container whose namespaces another one takes.
type peer struct {
	id, title string
	// ids identifies its user namespace: ranges never overlap, so two pods have one
	// mapping exactly when they share the namespace. Zero is the host's.
	ids status.IDMapping
}

// finder resolves the NAME of container:NAME.
type finder func(ref string) (peer, error)

// choice is the outcome of planning namespaces: a mode for every kind, and the
// containers, by ID, that kinds are taken from.
type choice struct {
	modes spec.Namespaces
	peers map[string]string
	// ids is the mapping to use; fresh asks for a new range instead.
	ids   status.IDMapping
	fresh bool
}

func badMode(kind string, m spec.Mode, why string) error {
	return fault.New(fault.Invalid, fmt.Sprintf("%s namespace: mode %q: %s", kind, m, why))
}

// planPod decides where each namespace of a sandbox comes from; see spec.Namespaces
// for the defaults.
//
// A user namespace owns the net, ipc, uts and pid namespaces that are made in it, and
// the kernel lets only processes of that user namespace or of an ancestor enter them
// (namespaces(7), setns(2) EPERM); mounting sysfs and proc needs the owner as well.
// So a pod that takes another's namespaces lives in its user namespace or in the
// host's.
func planPod(asked spec.Namespaces, find finder) (choice, error) {
	c := choice{modes: asked, peers: map[string]string{}}
	var owners []peer
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
			m = spec.OfContainer(p.id)
			c.peers[kind] = p.id
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
		c.modes = c.modes.With(kind, m)
	}
	return c, c.planUser(asked.User, owners, host, find)
}

func (c *choice) planUser(asked spec.Mode, owners []peer, host []string, find finder) error {
	for _, o := range owners[min(1, len(owners)):] {
		if o.ids != owners[0].ids {
			return fault.New(fault.Unsupported, fmt.Sprintf("namespaces: containers %s and %s live in different user namespaces, the kernel lets nobody join both", owners[0].title, o.title))
		}
	}
	name, joins := asked.Container()
	switch {
	case joins:
		p, err := find(name)
		if err != nil {
			return fmt.Errorf("user namespace: %w", err)
		}
		return c.follow(p, owners, host)
	case asked == "" && len(owners) > 0 && len(c.foreign(host)) == 0:
		return c.follow(owners[0], owners, host)
	case asked == "" && len(owners)+len(host) > 0, asked == spec.Host:
		c.modes.User = spec.Host
		if asked == "" && len(owners) > 0 && owners[0].ids != (status.IDMapping{}) {
			return unsupportedHost(c.foreign(host), "container "+owners[0].title+"'s user namespace, which it has to share")
		}
		return nil
	case asked == "" || asked == spec.Own:
		if len(owners) > 0 {
			return fault.New(fault.Unsupported, "user namespace: own is not possible together with joining container "+owners[0].title+": the kernel refuses namespaces of a foreign user namespace; leave user unset to share that container's, or take the host's")
		}
		if f := c.foreign(host); len(f) > 0 {
			return unsupportedHost(f, "a user namespace of its own")
		}
		c.modes.User, c.fresh = spec.Own, true
		return nil
	}
	return badMode("user", asked, "not possible for a sandbox")
}

// foreign returns those of the host's namespaces that cannot be used from another
// user namespace.
func (c *choice) foreign(host []string) []string {
	return slices.DeleteFunc(slices.Clone(host), func(k string) bool { return k == "cgroup" || k == "uts" })
}

func unsupportedHost(kinds []string, with string) error {
	return fault.New(fault.Unsupported, fmt.Sprintf("%s namespace: the host's is not possible together with %s: the kernel lets only its owner mount sysfs, proc or mqueue for it; take the host's user namespace as well", strings.Join(kinds, ", "), with))
}

// follow puts the sandbox into p's user namespace.
func (c *choice) follow(p peer, owners []peer, host []string) error {
	for _, o := range owners {
		if o.ids != p.ids && p.ids != (status.IDMapping{}) {
			return fault.New(fault.Unsupported, fmt.Sprintf("user namespace: container %s's cannot join the namespaces of container %s, which belong to another user namespace", p.title, o.title))
		}
	}
	if p.ids == (status.IDMapping{}) {
		c.modes.User = spec.Host
		return nil
	}
	if f := c.foreign(host); len(f) > 0 {
		return unsupportedHost(f, "container "+p.title+"'s user namespace")
	}
	c.modes.User, c.ids = spec.OfContainer(p.id), p.ids
	c.peers["user"] = p.id
	return nil
}

// planContainer decides where each namespace of a container comes from, given what
// its sandbox has.
func planContainer(asked, sandbox spec.Namespaces, ids status.IDMapping, find finder) (choice, error) {
	c := choice{modes: asked, peers: map[string]string{}, ids: ids}
	hostUser := ids == (status.IDMapping{})
	for _, kind := range spec.Kinds() {
		m := asked.Mode(kind).Or(containerDefault(kind, sandbox))
		name, joins := m.Container()
		switch {
		case joins:
			p, err := find(name)
			if err != nil {
				return c, fmt.Errorf("%s namespace: %w", kind, err)
			}
			if p.ids != ids && (kind == "user" || !hostUser) {
				return c, fault.New(fault.Unsupported, fmt.Sprintf("%s namespace: container %s lives in another user namespace, the kernel does not let this pod's containers join", kind, p.title))
			}
			if kind == "user" {
				m = spec.OfPod // the same namespace
				break
			}
			m, c.peers[kind] = spec.OfContainer(p.id), p.id
		case kind == "user":
			if err := containerUser(m, sandbox.User); err != nil {
				return c, err
			}
			m = spec.OfPod
		case m == spec.OfPod && kind == "cgroup":
			m = containerDefault(kind, sandbox)
		case m == spec.OfPod && kind == "pid" && sandbox.PID == spec.Own:
			return c, badMode(kind, m, "the pod does not share a pid namespace (share it with pid: pod at the pod)")
		case m == spec.Host && kind != "cgroup" && sandbox.Mode(kind) == spec.Host:
			m = spec.OfPod
		case m == spec.Host && kind != "cgroup" && !hostUser:
			return c, fault.New(fault.Unsupported, kind+" namespace: the host's is not possible in a pod with a user namespace of its own; give the pod the host's user namespace")
		case m == spec.None && kind != "net" && kind != "ipc":
			return c, badMode(kind, m, "only net and ipc can be none")
		case m == spec.OfPod, m == spec.Own, m == spec.Host, m == spec.None:
		default:
			return c, badMode(kind, m, "unknown")
		}
		c.modes = c.modes.With(kind, m)
	}
	return c, nil
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

// checkSysctls accepts sysctls that are confined to a namespace which this sandbox
// alone owns; any other would change the host or a neighbour (CVE-2022-0532).
func checkSysctls(asked map[string]string, sandbox spec.Namespaces) error {
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
