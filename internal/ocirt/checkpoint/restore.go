package checkpoint

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/criu"
	"carob/internal/fault"
	"carob/internal/ocirt"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/mount"
	"carob/internal/sys/ns"
	"carob/internal/sys/task"
)

// Restore makes a container from a checkpoint: it runs at once. Its rights, limits of
// processes, filters and open files are what the checkpoint says; mounts from outside,
// namespaces by path and cgroups what the bundle says. On an error nothing of it remains.
func Restore(ctx context.Context, r *ocirt.Runtime, c ocirt.CreateOptions, o Options) (*ocirt.Container, error) {
	b := rebirth{o: o}
	defer b.closeFiles()
	var err error
	if b.o.Streams, err = criu.Descriptors(o.ImagePath); err != nil {
		return nil, err
	}
	return r.Rebuild(ctx, c, func(m ocirt.Making) (pid int, err error) {
		b.Making = m
		return b.restore()
	})
}

// rebirth is a restore under way.
type rebirth struct {
	ocirt.Making
	o     Options
	files []*os.File // namespaces that are given to criu
}

func (b *rebirth) closeFiles() { fd.CloseAll(b.files) }

// rootDir is where the root file system is mounted for criu, in a mount namespace that
// nobody else sees: criu wants a mount of its own.
const rootDir = "root"

func (b *rebirth) restore() (pid int, err error) {
	root, err := fd.OpenPath(b.Rootfs)
	if err != nil {
		return 0, fmt.Errorf("rootfs: %w", err)
	}
	defer root.Close()
	for _, step := range []func(*os.File) error{b.targets, b.mounts, b.namespaces, b.groups} {
		if err := step(root); err != nil {
			return 0, err
		}
	}
	b.o.GroupMode = cmp.Or(b.o.GroupMode, ownGroup)
	b.o.EmptyNet, b.o.Sibling, b.o.Root = true, true, filepath.Join(b.Dir, rootDir)
	if err := os.Mkdir(b.o.Root, 0o700); err != nil {
		return 0, err
	}
	defer os.Remove(b.o.Root)
	err = ns.Apart(func() (err error) {
		if err = b.mountRoot(); err != nil {
			return fmt.Errorf("rootfs: %w", err)
		}
		if err := b.o.open(); err != nil { // here: criu's working directory must be in its own mount namespace
			return err
		}
		defer b.o.close()
		pid, err = criu.Restore(b, b.o.Options, criu.Hooks{
			Namespaces: func(pid int) error {
				said := make(chan error, 1)
				go func() { said <- b.Hooks(pid) }() // which mount for the host, on a thread that sees it
				return <-said
			},
			Terminal: b.Terminal,
		})
		return err
	})
	return pid, err
}

// mountRoot opens the root file system anew: a mount of another namespace cannot be cloned.
func (b *rebirth) mountRoot() error {
	root, err := fd.OpenPath(b.Rootfs)
	if err != nil {
		return err
	}
	defer root.Close()
	m, err := mount.Clone(root, "", true)
	if err != nil {
		return err
	}
	defer m.Close()
	return mount.Attach(m, b.o.Root)
}

// targets makes what is mounted on.
func (b *rebirth) targets(root *os.File) error {
	binds, files := bindsOf(b.Spec, b.Bundle, root), map[string]bool{}
	var points []string
	for _, m := range b.Spec.Mounts {
		points = append(points, m.Destination)
		info, err := os.Stat(binds[fd.Follow(root, m.Destination)])
		files[m.Destination] = err == nil && !info.IsDir()
	}
	return criu.Targets(root, points, files)
}

// mounts says what belongs outside for everything that may have been external to the dump.
func (b *rebirth) mounts(root *os.File) error {
	b.o.Mounts = bindsOf(b.Spec, b.Bundle, root)
	for _, m := range b.Spec.Mounts {
		if m.Type != "cgroup" && m.Type != "cgroup2" {
			continue
		}
		for name, dir := range b.Group.Dirs() {
			b.o.Mounts[path.Join(m.Destination, name)] = dir
		}
	}
	for _, p := range b.Spec.Linux.MaskedPaths {
		b.o.Mounts[p] = os.DevNull
	}
	for _, d := range b.Spec.Linux.Devices {
		b.o.Mounts[d.Path] = d.Path
	}
	return nil
}

// namespaces gives criu those that the configuration names.
func (b *rebirth) namespaces(*os.File) error {
	b.o.Inherit, b.o.Join = map[string]*os.File{}, map[string]string{}
	for _, n := range b.Spec.Linux.Namespaces {
		if n.Path == "" {
			continue
		}
		f, err := ns.OpenPath(n.Path, string(n.Type))
		if err != nil {
			return err
		}
		b.files = append(b.files, f)
		key, external := externalKeys()[n.Type]
		switch {
		case external:
			b.o.Inherit[key[1]] = f
		case n.Type == specs.IPCNamespace || n.Type == specs.UTSNamespace || n.Type == specs.UserNamespace:
			b.o.Join[string(n.Type)] = n.Path
		default:
			return fault.New(fault.Unsupported, "linux.namespaces: criu cannot restore into a given "+string(n.Type)+" namespace")
		}
	}
	return nil
}

// groups says where in every hierarchy the container's cgroup is.
func (b *rebirth) groups(*os.File) error {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	b.o.Groups = map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(line, ":", 3)
		if len(f) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(f[1], ",") {
			b.o.Groups[controller] = b.Cgroup
		}
	}
	return nil
}

// First is the number of a worker's first file.
func (b *rebirth) First() int { return initstage.WorkerFile }

// Start starts criu in the container's cgroup, with this process's streams.
func (b *rebirth) Start(files []*os.File) (ended func() error, err error) {
	program, err := criu.Find(b.o.Criu)
	if err != nil {
		return nil, err
	}
	entry, err := b.Group.Entry()
	if err != nil {
		return nil, err
	}
	defer entry.Close()
	passed := slices.Clone(entry.Files)
	w := initstage.Worker{Args: []string{program, "swrk", strconv.Itoa(b.First())}, Env: os.Environ(), Mounts: -1}
	for i := range entry.Files {
		w.Cgroups = append(w.Cgroups, i)
	}
	for _, f := range files {
		w.Files, passed = append(w.Files, len(passed)), append(passed, f)
	}
	pid, err := ocirt.Launch(w.Program(), passed)
	if err != nil {
		return nil, err
	}
	return func() error {
		code, err := task.Wait(pid)
		if err == nil && code != 0 {
			err = fault.New(fault.Internal, fmt.Sprintf("criu: ended with status %d", code))
		}
		return err
	}, nil
}
