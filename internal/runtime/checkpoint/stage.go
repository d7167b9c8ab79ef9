package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"carob/internal/criu"
	"carob/internal/fault"
	"carob/internal/plan/oci"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
	"carob/internal/sys/ns"
)

// stage is the mount namespace in which criu works: the host's file systems, read-only and
// without devices, and what it needs besides: a /dev, a /tmp, a /proc of its own, and the
// directory dir, with images, root file system and mounts.
type stage struct {
	*launch
	dir   string
	files []*os.File
	entry cgroup.Entry
	// program is criu's path.
	program string
	wish    criu.Wish
	own     string // what the namespace is called
}

func (s *stage) close() {
	s.entry.Close()
	fd.CloseAll(s.files)
}

func (s *stage) root() string { return filepath.Join(s.dir, "root") }

func (s *stage) restore(ctx context.Context) (pid int, err error) {
	// Before the thread leaves for where nothing can be written.
	if err := s.names(); err != nil {
		return 0, err
	}
	if s.program, err = criu.Find(""); err != nil {
		return 0, err
	}
	if s.entry, err = s.group.Entry(); err != nil {
		return 0, err
	}
	paths, err := s.places()
	if err != nil {
		return 0, err
	}
	err = ns.Apart(func() error {
		if err := s.set(); err != nil {
			return fmt.Errorf("mount namespace: %w", err)
		}
		o, err := s.options(paths)
		if err != nil {
			return err
		}
		pid, err = criu.Restore(worker{s, ctx}, o, criu.Hooks{
			Restored: func(pid int) error {
				said := make(chan error, 1)
				go func() { said <- s.admit(ctx, pid) }() // on a thread that may write to cgroups
				return <-said
			},
			Terminal: func(master *os.File) (err error) {
				s.terminal, err = fd.Dup(master)
				return err
			},
		})
		return err
	})
	return pid, err
}

// places makes where things are mounted, below dir: the root, and each mount from outside.
func (s *stage) places() (map[string]string, error) {
	shm, err := s.shm()
	if err != nil {
		return nil, fmt.Errorf("/dev/shm: %w", err)
	}
	if shm != nil {
		s.given = append(s.given, given{at: "/dev/shm", file: shm, dir: true})
	}
	if err := os.Mkdir(s.root(), 0o700); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for i, g := range s.given {
		at := filepath.Join(s.dir, "mount-"+strconv.Itoa(i))
		if g.dir {
			err = os.Mkdir(at, 0o700)
		} else {
			err = os.WriteFile(at, nil, 0o600)
		}
		if err != nil {
			return nil, err
		}
		out[at] = fd.Follow(s.p.Rootfs, g.at)
	}
	return out, nil
}

// names keeps criu from giving names and limits of other namespaces to those that are joined.
func (s *stage) names() error {
	ipc, _, err := s.namespaceOf("ipc")
	if err != nil {
		return err
	}
	defer ipc.Close()
	own, err := inodeOf("/proc/self/ns/ipc")
	if err != nil {
		return err
	}
	if there, err := inodeOf(fd.Path(ipc)); err != nil || there == own {
		return errors.Join(err, fault.New(fault.Unsupported, "ipc namespace: criu would set the host's limits to those of the checkpoint"))
	}
	uts, _, err := s.namespaceOf("uts")
	if err != nil {
		return err
	}
	defer uts.Close()
	host, domain, err := ns.Names(uts)
	if err != nil {
		return err
	}
	return criu.Rename(images(s.dir), host, domain)
}

// shm is the shared memory that goes with the container's IPC namespace.
func (s *stage) shm() (*os.File, error) {
	for _, m := range s.p.Spec.Mounts {
		if m.Source != oci.ShmSource {
			continue
		}
		if pid, joined := s.p.Join["ipc"]; joined {
			return mount.CloneFrom(pid, "/dev/shm")
		}
		return mount.CloneFrom(s.sb.Pid(), "/shm")
	}
	return nil, nil
}

// set makes the namespace. It runs in it.
func (s *stage) set() (err error) {
	keep := map[string]*os.File{}
	defer func() {
		for _, f := range keep {
			f.Close()
		}
	}()
	for _, p := range []string{s.dir, "/proc"} {
		if keep[p], err = mount.Clone(nil, p, true); err != nil {
			return err
		}
	}
	if keep["/dev"], err = mount.Dev(0, nil, ""); err != nil {
		return err
	}
	if keep["/tmp"], err = mount.New("tmpfs", mount.NoSuid|mount.NoDev); err != nil {
		return err
	}
	top, err := fd.OpenPath("/")
	if err != nil {
		return err
	}
	defer top.Close()
	if err := mount.SetAttributes(top, mount.Attributes{Set: mount.ReadOnly | mount.NoDev, Recursive: true}); err != nil {
		return err
	}
	for _, p := range []string{"/proc", "/dev", "/tmp", s.dir} { // dir last: it may be below /tmp
		if err := errors.Join(os.MkdirAll(p, 0o700), mount.Attach(keep[p], p)); err != nil {
			return err
		}
	}
	return s.fill()
}

// fill mounts the root file system and what is given to the container.
func (s *stage) fill() (err error) {
	if err := mount.Attach(s.p.Rootfs, s.root()); err != nil {
		return err
	}
	for i, g := range s.given {
		if err := mount.Attach(g.file, filepath.Join(s.dir, "mount-"+strconv.Itoa(i))); err != nil {
			return err
		}
	}
	s.mounts, err = os.Open("/proc/thread-self/ns/mnt")
	return err
}

// options say what is given to criu.
func (s *stage) options(paths map[string]string) (o criu.Options, err error) {
	dir, err := os.Open(images(s.dir))
	if err != nil {
		return o, fault.Wrap(fault.Invalid, "checkpoint archive", err)
	}
	s.files = append(s.files, dir)
	o = options(dir)
	o.Root, o.Sibling, o.Held = s.root(), true, true
	o.Mounts, o.Inherit, o.Join = map[string]string{}, map[string]*os.File{}, map[string]string{}
	if o.Streams, err = criu.Descriptors(images(s.dir)); err != nil {
		return o, err
	}
	for outside, inside := range paths {
		o.Mounts[inside] = outside
	}
	for name, dir := range s.group.Dirs() {
		for _, m := range s.p.Spec.Mounts {
			if m.Type == "cgroup" {
				o.Mounts[path.Join(m.Destination, name)] = dir
			}
		}
	}
	if a := s.p.Spec.Process.ApparmorProfile; a != "" {
		o.LSMProfile = "apparmor:" + a
	}
	for _, kind := range []string{"net", "ipc", "uts"} {
		f, name, err := s.namespaceOf(kind)
		if err != nil {
			return o, err
		}
		s.files = append(s.files, f)
		if kind == "net" {
			o.Inherit[netKey] = f
		} else {
			o.Join[kind] = name
		}
	}
	return o, s.wishes()
}

// wishes says what the container may be.
func (s *stage) wishes() (err error) {
	spec := *s.p.Spec
	spec.Mounts = slices.Clone(spec.Mounts)
	for i := range spec.Mounts {
		spec.Mounts[i].Destination = fd.Follow(s.p.Rootfs, spec.Mounts[i].Destination)
	}
	s.wish = criu.Wish{Spec: &spec, Cgroup: s.p.Cgroup, Namespaces: map[string]string{}, Not: map[string]string{}}
	for _, kind := range []string{"net", "ipc", "uts", "user"} {
		f, _, err := s.namespaceOf(kind)
		if err != nil {
			return err
		}
		s.files = append(s.files, f)
		if s.wish.Namespaces[kind], err = os.Readlink(fd.Path(f)); err != nil {
			return err
		}
	}
	for _, kind := range []string{"mnt", "pid"} {
		for _, process := range []string{"self", strconv.Itoa(s.sb.Pid()), "thread-self"} {
			link, err := os.Readlink("/proc/" + process + "/ns/" + kind)
			if err != nil {
				return err
			}
			s.wish.Not[kind+" of "+process] = link
		}
	}
	if s.own, err = os.Readlink("/proc/thread-self/ns/mnt"); err != nil {
		return err
	}
	s.wish.Devices, err = criu.Devices(s.dir)
	return err
}

// admit judges, and kills what is too much while it is stopped: it shall not run for an
// instant.
func (s *stage) admit(ctx context.Context, pid int) error {
	err := s.judge(ctx, pid)
	if err != nil {
		err = errors.Join(err, s.group.Kill(context.WithoutCancel(ctx), fd.SIGKILL))
	}
	return err
}

// judge holds every task in the container's cgroup against the request.
func (s *stage) judge(ctx context.Context, pid int) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Unavailable, "restore", context.Cause(ctx))
	}
	pids, err := s.group.Procs()
	if err != nil {
		return err
	}
	if !slices.Contains(pids, pid) {
		return fault.New(fault.Denied, "the checkpoint asks for more than the request: its first process is in another cgroup")
	}
	if err := s.absent(pid); err != nil {
		return err
	}
	makers := 0
	for _, p := range pids {
		seen, err := criu.See(p)
		if err != nil {
			return err
		}
		if seen[0].Namespaces["mnt"] == s.own { // criu itself: there is one, and only one
			if makers++; makers > 1 {
				return fault.New(fault.Denied, "the checkpoint asks for more than the request: criu's mount namespace")
			}
			continue
		}
		for _, one := range seen {
			if err := s.wish.Judge(one); err != nil {
				return err
			}
		}
	}
	return nil
}

// absent finds out which of the paths to be protected there are not.
func (s *stage) absent(pid int) error {
	root, err := ns.Root(pid)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, p := range s.wish.Protected() {
		f, err := fd.InRoot(root, p, false)
		if fault.Is(err, fault.NotFound) {
			s.wish.Absent = append(s.wish.Absent, p)
		}
		if err == nil {
			f.Close()
		}
	}
	return nil
}
