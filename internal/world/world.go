// Package world prepares what a container's mount namespace is made of: detached
// mounts, to be moved to their places by the init stage (package initstage). It knows
// nothing of pods or containers: the native handler and carob-oci both call it. Files it
// returns are the caller's. Paths of the host are opened once; nothing below the
// container's root is touched, except by CopyUp, which reads it through a descriptor.
package world

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
)

// FileSystem makes a file system of the mount's type, with its source and options. owner
// is the host's id of the container's root: a tmpfs without uid or gid is given to it.
// label is the SELinux label of its files, "" for none; an option context stands above it.
func FileSystem(m specs.Mount, owner uint32, label string) (*os.File, error) {
	o, err := mountopt.Parse(m.Options)
	if err != nil {
		return nil, err
	}
	var options []mount.Option
	if m.Source != "" {
		options = append(options, mount.Option{Key: "source", Value: m.Source})
	}
	for _, d := range o.Data {
		key, value, _ := strings.Cut(d, "=")
		options = append(options, mount.Option{Key: key, Value: value})
	}
	if owner > 0 && m.Type == "tmpfs" {
		id := fmt.Sprint(owner)
		options = append(options, mount.Option{Key: "uid", Value: id}, mount.Option{Key: "gid", Value: id})
	}
	if !slices.ContainsFunc(options, func(o mount.Option) bool { return o.Key == "context" }) {
		options = append(options, mount.Context(label)...)
	}
	f, err := mount.New(m.Type, mount.Flags(o.Set|o.SetTree), options...)
	if err != nil {
		return nil, err
	}
	if err := propagate(f, o, false); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// propagate sets the type of propagation; tree carries what is recursive further down.
func propagate(f *os.File, o mountopt.Options, tree bool) error {
	if o.PropagationTree != "" {
		if err := mount.SetAttributes(f, mount.Attributes{Propagation: o.PropagationTree, Recursive: tree}); err != nil {
			return err
		}
	}
	return mount.SetAttributes(f, mount.Attributes{Propagation: o.Propagation})
}

// Mapping is how a bind mount takes on a user namespace's mapping.
type Mapping struct {
	// Users is the namespace, nil for none.
	Users *os.File
	// Tree maps what is mounted below, too.
	Tree bool
	// Optional leaves the mount as it is where its file system cannot be mapped.
	Optional bool
	// Whole gives what the options say also to what is mounted below, and takes nothing
	// away that the source has ("rw" of what is mounted read-only): carob's own words mean
	// that. In those of the OCI specification an "r" before them does.
	Whole bool
	// Top is Whole without "ro", which is then for the source's own mount alone.
	Top bool
}

// Bind clones the mount that the open source is in and gives it the mount's attributes.
func Bind(source *os.File, m specs.Mount, users Mapping) (*os.File, error) {
	o, err := mountopt.Parse(m.Options)
	if err != nil {
		return nil, err
	}
	tree := o.Tree || !o.Bind
	f, err := mount.Clone(source, "", tree)
	if err != nil {
		return nil, err
	}
	if err := attributes(f, o, users, tree); err != nil {
		f.Close()
		return nil, fmt.Errorf("source %s: %w", m.Source, err)
	}
	return f, nil
}

// attributes sets flags, and the mapping apart from them, so that a file system that
// cannot be mapped is told from the rest.
func attributes(f *os.File, o mountopt.Options, users Mapping, tree bool) error {
	if users.Whole {
		below := o.Set
		if users.Top {
			below &^= mountopt.ReadOnly
		}
		o.SetTree, o.Clear = o.SetTree|below, 0
		if o.PropagationTree == "" {
			o.PropagationTree = o.Propagation
		}
	}
	flags := []mount.Attributes{
		{Set: mount.Flags(o.SetTree), Clear: mount.Flags(o.ClearTree), Recursive: true},
		{Set: mount.Flags(o.Set), Clear: mount.Flags(o.Clear)},
	}
	for _, a := range flags {
		if err := mount.SetAttributes(f, a); err != nil {
			return err
		}
	}
	if err := propagate(f, o, tree); err != nil || users.Users == nil {
		return err
	}
	err := mount.SetAttributes(f, mount.Attributes{Users: users.Users, Recursive: users.Tree})
	if err == nil || users.Optional {
		return nil
	}
	return fault.Wrap(fault.Unsupported, "its file system ("+mount.FSType(fd.Path(f))+
		") cannot be id-mapped for the user namespace on this kernel (use --userns host, or another volume)", err)
}

// Devices are the specification's devices below /dev, in the edge's terms; their users
// are the host's ids. A device without belongs to owner.
func Devices(s *specs.Spec, owner int) []mount.Device {
	var out []mount.Device
	for _, d := range s.Linux.Devices {
		below, ok := strings.CutPrefix(d.Path, "/dev/")
		if !ok {
			continue
		}
		dev := mount.Device{Path: below, Mode: 0o666, Major: uint32(d.Major), Minor: uint32(d.Minor), UID: owner, GID: owner}
		if d.FileMode != nil {
			dev.Mode = uint32(d.FileMode.Perm())
		}
		if d.UID != nil {
			dev.UID = int(*d.UID)
		}
		if d.GID != nil {
			dev.GID = int(*d.GID)
		}
		dev.Mode |= DeviceType(d.Type)
		out = append(out, dev)
	}
	return out
}

// DeviceType returns the file type bits of a device's mode.
func DeviceType(kind string) uint32 {
	switch kind {
	case "b":
		return fd.ModeBlock
	case "p":
		return fd.ModeFIFO
	}
	return fd.ModeChar
}

// Named is a detached mount for a name below a directory, "" for the directory itself.
type Named struct {
	Name string
	File *os.File
}

// CgroupDirs prepares /sys/fs/cgroup: the group and nothing above it (CVE-2023-25809).
// label is the SELinux label of the directory that holds hierarchies. On an error what was
// made until then is returned, too.
func CgroupDirs(g *cgroup.Group, writable bool, label string) (out []Named, err error) {
	dirs := g.Dirs()
	names := make([]string, 0, len(dirs))
	for name := range dirs {
		names = append(names, name)
	}
	sort.Strings(names)
	flags := mount.NoSuid | mount.NoDev | mount.NoExec
	if !writable {
		flags |= mount.ReadOnly
	}
	if names[0] != "" {
		base, err := mount.Empty(names, label)
		if err != nil {
			return nil, err
		}
		out = append(out, Named{File: base})
		if err := mount.SetAttributes(base, mount.Attributes{Set: flags}); err != nil {
			return out, err
		}
	}
	for _, name := range names {
		f, err := mount.Clone(nil, dirs[name], false)
		if err != nil {
			return out, err
		}
		out = append(out, Named{name, f})
		if err := mount.SetAttributes(f, mount.Attributes{Set: flags}); err != nil {
			return out, err
		}
	}
	return out, nil
}
