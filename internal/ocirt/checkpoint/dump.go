// Package checkpoint writes carob-oci's containers down with CRIU and makes them again, as
// `runc checkpoint` and `runc restore` do: with their flags, and a directory of images that
// either can read. What belongs to a container and is no process, package ocirt keeps.
package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/criu"
	"carob/internal/fault"
	"carob/internal/ocirt"
	"carob/internal/plan/mountopt"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/ns"
)

// Options are a checkpoint's or a restore's. What the embedded options say of
// files, mounts, namespaces and cgroups is filled in.
type Options struct {
	criu.Options
	// Criu is the program, "" the one in PATH.
	Criu string
	// ImagePath and WorkPath are directories, made if they are missing; WorkPath "" is
	// ImagePath.
	ImagePath, WorkPath string
	// PreDump writes the memory down and lets the container run.
	PreDump bool
	// StatusFile gets a byte when a dump with LazyPages serves pages; nil is none.
	StatusFile *os.File
}

// ownGroup is how cgroups are managed unless somebody asks for more: everything that is
// restored is in the container's group, whatever groups there were below. Criu's own default
// writes down, and restores, the whole hierarchy below the group of a process: where that is
// the root, as in the unified hierarchy of a hybrid host, it is the host's.
const ownGroup = "ignore"

// Dump writes a running container down. Unless it is left running it is removed then.
func Dump(ctx context.Context, c *ocirt.Container, o Options) error {
	return c.Hold(ctx, func(spec *specs.Spec, group *cgroup.Group) (gone bool, err error) {
		if err := o.open(); err != nil {
			return false, err
		}
		defer o.close()
		return !o.LeaveRunning && !o.PreDump, o.dump(c, spec, group)
	})
}

func (o *Options) open() (err error) {
	if filepath.IsAbs(o.Parent) {
		return fault.New(fault.Invalid, "--parent-path must be relative")
	}
	for _, d := range []struct {
		path string
		to   **os.File
	}{{o.ImagePath, &o.Images}, {o.WorkPath, &o.Work}} {
		if d.path == "" {
			continue
		}
		if err := os.MkdirAll(d.path, 0o700); err != nil { // a restore has looked for its images
			return err
		}
		path, err := filepath.Abs(d.path)
		if err != nil {
			return err
		}
		if *d.to, err = os.Open(path); err != nil {
			return err
		}
	}
	if o.Parent == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Join(o.ImagePath, o.Parent)); err != nil || !info.IsDir() {
		return fault.New(fault.Invalid, "--parent-path: "+o.Parent+": not a directory below the images'")
	}
	return nil
}

func (o *Options) close() { fd.CloseAll([]*os.File{o.Images, o.Work}) }

func (o *Options) dump(c *ocirt.Container, spec *specs.Spec, group *cgroup.Group) error {
	swrk := criu.Command(o.Criu)
	o.Freezer = criu.Freezer(group)
	o.Root, o.EmptyNet = c.Rootfs, true
	o.GroupMode = cmp.Or(o.GroupMode, ownGroup)
	if err := o.external(spec); err != nil {
		return err
	}
	if o.PreDump {
		return criu.PreDump(swrk, c.Init.Pid, o.Options)
	}
	root, err := ns.Root(c.Init.Pid)
	if err != nil {
		return err
	}
	defer root.Close()
	var binds []string
	for inside := range bindsOf(spec, c.Bundle, root) {
		binds = append(binds, inside)
	}
	if err := o.Describe(c.Init.Pid, binds); err != nil {
		return err
	}
	return criu.Dump(swrk, c.Init.Pid, o.Options, criu.Hooks{Ready: o.ready})
}

// ready tells whoever waits for it that pages are served.
func (o *Options) ready() error {
	if o.StatusFile == nil {
		return nil
	}
	_, err := o.StatusFile.Write([]byte{0})
	return errors.Join(err, o.StatusFile.Close())
}

// externalKeys are runc's keys of namespaces that belong to somebody else.
func externalKeys() map[specs.LinuxNamespaceType][2]string {
	return map[specs.LinuxNamespaceType][2]string{
		specs.NetworkNamespace: {"net", "extRootNetNS"}, specs.PIDNamespace: {"pid", "extRootPidNS"},
	}
}

// external names the namespaces of a dump that are somebody else's. Those that are not
// among the keys are written down all the same: a restore joins what its configuration says.
func (o *Options) external(spec *specs.Spec) error {
	for kind, key := range externalKeys() {
		path := pathOf(spec, kind)
		if path == "" {
			continue
		}
		f, err := ns.OpenPath(path, string(kind))
		if err != nil {
			return err
		}
		info, err := f.Stat()
		f.Close()
		if err != nil {
			return err
		}
		_, inode, _ := fd.Link(info)
		o.External = append(o.External, fmt.Sprintf("%s[%d]:%s", key[0], inode, key[1]))
	}
	return nil
}

func pathOf(spec *specs.Spec, kind specs.LinuxNamespaceType) string {
	for _, n := range spec.Linux.Namespaces {
		if n.Type == kind {
			return n.Path
		}
	}
	return ""
}

// bindsOf are the bind mounts of a configuration: where they are inside, with all links
// followed, and what is mounted there.
func bindsOf(spec *specs.Spec, bundle string, root *os.File) map[string]string {
	out := map[string]string{}
	for _, m := range spec.Mounts {
		o, err := mountopt.Parse(m.Options)
		if err != nil || m.Type != "bind" && !o.Bind && !o.Tree || o.Remount {
			continue
		}
		source := m.Source
		if !filepath.IsAbs(source) {
			source = filepath.Join(bundle, source)
		}
		out[fd.Follow(root, m.Destination)] = source
	}
	return out
}
