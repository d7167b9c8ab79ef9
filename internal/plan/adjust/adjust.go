// Package adjust changes what is asked of a container by what neither its request nor its
// image says: the devices that CDI specifications describe, the wishes of NRI plugins. Both
// speak in terms of the OCI specification; here they become a request, so that what checks
// requests checks them, too. What a request has no word for is refused by its name. The
// package is pure, and changes nothing of what it is given.
package adjust

import (
	"fmt"
	"path"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/cgroup"
	"carob/internal/spec"
	"carob/internal/status"
)

// Mount translates a mount of an OCI specification. The errors name it.
func Mount(m specs.Mount) (spec.Mount, error) {
	out := spec.Mount{Type: spec.Bind, Source: m.Source, Target: m.Destination}
	switch m.Type {
	case "", "bind", "none":
		out.NonRecursive = !slices.Contains(m.Options, "rbind")
	case "tmpfs":
		out.Type, out.Source = spec.Tmpfs, ""
	default:
		return out, fault.New(fault.Unsupported, fmt.Sprintf("mount %.200q: type %.40q: neither a bind nor a tmpfs", m.Destination, m.Type))
	}
	for _, o := range m.Options {
		switch o {
		case "bind", "rbind", "idmap", "ridmap": // a pod with a user namespace has all its mounts mapped
		case "rw":
			out.ReadOnly, out.ReadOnlyTop = false, false
		case "ro": // of the mount itself, and of none below it
			out.ReadOnly, out.ReadOnlyTop = true, out.Type == spec.Bind
		case "rro":
			out.ReadOnly, out.ReadOnlyTop = true, false
		case "private", "rprivate", "slave", "rslave", "shared", "rshared":
			out.Propagation = o
		default:
			out.Options = append(out.Options, o)
		}
	}
	return out, nil
}

// Limits notes new limits of a container: asked are the client's, set are those that count.
func Limits(c *status.Container, asked, set *specs.LinuxResources) {
	if c.Adjusted != nil || set != asked {
		adjusted := *c.Wish()
		adjusted.Resources = cgroup.Merge(adjusted.Resources, set)
		c.Adjusted = &adjusted
	}
	c.Spec.Resources = cgroup.Merge(c.Spec.Resources, asked)
}

// PutMount adds m in the place of what c has at its target.
func PutMount(c *spec.Container, m spec.Mount) {
	DropMount(c, m.Target)
	c.Mounts = append(c.Mounts, m)
}

// DropMount takes away what c mounts at a target, and tells whether there was something.
func DropMount(c *spec.Container, target string) bool {
	target = path.Clean(target)
	n := len(c.Mounts)
	c.Mounts = slices.DeleteFunc(slices.Clone(c.Mounts), func(o spec.Mount) bool { return path.Clean(o.Target) == target })
	return len(c.Mounts) < n
}

// PutDevice adds a node in the place of what c has at its path. access is made of "rwm", or
// spec.NoAccess.
func PutDevice(c *spec.Container, d specs.LinuxDevice, access string) {
	DropDevice(c, d.Path)
	c.Devices = append(c.Devices, spec.Device{Source: d.Path, Access: access, Node: &d})
}

// Node is the node that d describes, with an owner of the host's: the description's owner, root
// if it names none, is one inside the container. Without a description it is nothing.
func Node(d spec.Device, ids status.IDMapping) (specs.LinuxDevice, error) {
	if d.Node == nil {
		return specs.LinuxDevice{}, nil
	}
	n := *d.Node
	for _, id := range []**uint32{&n.UID, &n.GID} {
		var on uint32
		if *id != nil {
			on = **id
		}
		if ids.Size > 0 && on >= ids.Size {
			return n, fault.New(fault.Invalid, fmt.Sprintf("owner %d: the pod's user namespace has %d ids", on, ids.Size))
		}
		on += ids.HostID
		*id = &on
	}
	return n, nil
}

// DropDevice takes away what c has at a path, and tells whether there was something.
func DropDevice(c *spec.Container, at string) bool {
	at = path.Clean(at)
	n := len(c.Devices)
	c.Devices = slices.DeleteFunc(slices.Clone(c.Devices), func(o spec.Device) bool {
		return path.Clean(o.Target) == at || o.Target == "" && path.Clean(o.Source) == at
	})
	return len(c.Devices) < n
}

// PutHooks adds h behind the hooks that c has.
func PutHooks(c *spec.Container, h *specs.Hooks) {
	if h == nil {
		return
	}
	var all specs.Hooks
	if c.Hooks != nil {
		all = *c.Hooks
	}
	//lint:ignore SA1019 a deprecated field must still be honoured
	all.Prestart = slices.Concat(all.Prestart, h.Prestart)
	all.CreateRuntime = slices.Concat(all.CreateRuntime, h.CreateRuntime)
	all.CreateContainer = slices.Concat(all.CreateContainer, h.CreateContainer)
	all.StartContainer = slices.Concat(all.StartContainer, h.StartContainer)
	all.Poststart = slices.Concat(all.Poststart, h.Poststart)
	all.Poststop = slices.Concat(all.Poststop, h.Poststop)
	c.Hooks = &all
}

// Edits applies an OCI specification in which nothing stands but additions, as the CDI
// library makes it out of a device's.
func Edits(c *spec.Container, e *specs.Spec) error {
	if p := e.Process; p != nil {
		c.Env = slices.Concat(c.Env, p.Env)
		for _, gid := range p.User.AdditionalGids {
			c.Groups = append(slices.Clip(c.Groups), strconv.FormatUint(uint64(gid), 10))
		}
	}
	for _, m := range e.Mounts {
		one, err := Mount(m)
		if err != nil {
			return err
		}
		PutMount(c, one)
	}
	PutHooks(c, e.Hooks)
	l := e.Linux
	switch {
	case l == nil:
		return nil
	case l.IntelRdt != nil:
		return fault.New(fault.Unsupported, "intelRdt: carob does not manage resctrl groups")
	case len(l.NetDevices) > 0:
		return fault.New(fault.Unsupported, "netDevices: a container has the network of its pod")
	}
	for _, d := range l.Devices {
		PutDevice(c, d, accessOf(d, l.Resources))
	}
	return nil
}

// accessOf is what the rules, of which the last decides, allow with a device.
func accessOf(d specs.LinuxDevice, r *specs.LinuxResources) string {
	access := spec.NoAccess
	if r == nil {
		return access
	}
	same := func(have *int64, n int64) bool { return have != nil && *have == n }
	for _, rule := range r.Devices {
		if rule.Allow && rule.Access != "" && rule.Type == d.Type && same(rule.Major, d.Major) && same(rule.Minor, d.Minor) {
			access = rule.Access
		}
	}
	return access
}
