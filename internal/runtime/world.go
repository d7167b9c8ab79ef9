package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/oci"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/mount"
	"carob/internal/sys/ns"
	prepare "carob/internal/world"
)

// world collects what a process is started with: files to pass, and where each of
// them is. It owns every file in it until Close. That of a container is a pod.Launch.
type world struct {
	n      *Native
	sb     *supervisor.Sandbox
	p      pod.Process
	spec   *specs.Spec // p.Spec with mounts in the init stage's terms
	target string      // the process that is the program's target

	passed   fileList
	files    initstage.Files
	terminal mount.Terminal
	oom      *os.File
	sub      string

	joinReaper bool
}

// Close closes the files; what has been started keeps its own.
func (w *world) Close() {
	w.passed.close()
	w.terminal.Close()
	if w.oom != nil {
		w.oom.Close()
	}
}

func noFiles() initstage.Files {
	return initstage.Files{Rootfs: -1, Dev: -1, Pts: -1, Slave: -1, Shm: -1, Group: -1, Mounts: map[int]int{}}
}

// build opens and makes everything for a container but its root file system and its
// terminal.
func (w *world) build() error {
	s := *w.p.Spec
	s.Mounts = slices.Clone(s.Mounts)
	w.spec, w.files = &s, noFiles()
	if err := w.joins(); err != nil {
		return err
	}
	users, err := w.n.users.Get(w.p.IDs)
	if err != nil {
		return err
	}
	if users != nil {
		defer users.Close()
	}
	for i := range s.Mounts {
		if err := w.mount(i, users); err != nil {
			return fmt.Errorf("mount %s: %w", s.Mounts[i].Destination, err)
		}
	}
	return w.cgroup(true)
}

// complete adds what had to wait until the root file system and the user were known.
func (w *world) complete() error {
	s := *w.p.Spec
	s.Mounts = w.spec.Mounts
	w.spec = &s
	f, err := fd.Dup(w.p.Rootfs)
	if err != nil {
		return err
	}
	w.files.Rootfs = w.passed.add(f)
	if !s.Process.Terminal || w.files.Pts < 0 {
		return nil
	}
	return w.openTerminal(w.passed.files[w.files.Pts])
}

// joins opens the namespaces taken from other processes.
func (w *world) joins() error {
	for _, kind := range []string{"pid", "net", "ipc", "uts", "cgroup"} {
		pid, ok := w.p.Join[kind]
		if !ok {
			continue
		}
		if kind == "pid" && pid == w.sb.Reaper() {
			w.joinReaper = true
			continue
		}
		f, err := ns.Open(pid, kind)
		if err != nil {
			return err
		}
		w.files.Joins = append(w.files.Joins, initstage.Join{File: w.passed.add(f), Type: initstage.NamespaceFlag(kind)})
	}
	return nil
}

// mount prepares the i-th mount of the specification. proc, sysfs and mqueue belong
// to namespaces the process will have: it makes them itself.
func (w *world) mount(i int, users *os.File) error {
	m := &w.spec.Mounts[i]
	switch {
	case m.Destination == "/dev" && m.Type == "tmpfs", m.Type == "devpts":
		return w.devices(*m)
	case m.Source == oci.ShmSource:
		return w.shm()
	case m.Type == "cgroup":
		return w.cgroupDirs(slices.Contains(m.Options, "rw"))
	case m.Type == "tmpfs":
		f, err := prepare.FileSystem(*m, w.p.IDs.HostID, w.spec.Linux.MountLabel)
		if err != nil {
			return err
		}
		w.files.Mounts[i] = w.passed.add(f)
	case m.Type == "bind", m.Type == "overlay":
		f, dir, err := OpenSource(*m, Sources{Users: users, Own: strings.HasPrefix(m.Source, w.n.runDir+"/"), Label: w.spec.Linux.MountLabel})
		if err != nil {
			return err
		}
		if !dir {
			m.Type = initstage.BindFile
		}
		w.files.Mounts[i] = w.passed.add(f)
	}
	return nil
}

// devices makes /dev or /dev/pts.
func (w *world) devices(m specs.Mount) error {
	owner := int(w.p.IDs.HostID)
	if m.Type != "devpts" {
		f, err := mount.Dev(owner, prepare.Devices(w.spec, 0), w.spec.Linux.MountLabel)
		if err != nil {
			return err
		}
		w.files.Dev = w.passed.add(f)
		return nil
	}
	f, err := mount.Pts(owner, w.spec.Linux.MountLabel)
	if err != nil {
		return err
	}
	w.files.Pts = w.passed.add(f)
	return nil
}

// shm takes /dev/shm from whoever the IPC namespace is taken from; the sandbox's
// own the init stage finds in the supervisor's root.
func (w *world) shm() error {
	pid, joined := w.p.Join["ipc"]
	if !joined {
		return nil
	}
	f, err := mount.CloneFrom(pid, "/dev/shm")
	if err != nil {
		return err
	}
	w.files.Shm = w.passed.add(f)
	return nil
}

// Sources is how OpenSource opens what a container mounts.
type Sources struct {
	// Users is whose mapping the mount takes on, nil for the host's.
	Users *os.File
	// Own says that it is a file of carob's, which a container may also read as it is where
	// its file system cannot be mapped; anything else that cannot is an error.
	Own bool
	// Label is the container's SELinux label for files, for an image that is mounted.
	Label string
}

// OpenSource makes the mount that a bind or an overlay of the plan's asks for, detached.
// dir tells whether it is a directory. The file is the caller's to close.
func OpenSource(m specs.Mount, how Sources) (f *os.File, dir bool, err error) {
	if m.Type == "overlay" {
		return overlay(m, how)
	}
	return bind(m, how)
}

// bind clones a mount of the host.
func bind(m specs.Mount, how Sources) (f *os.File, dir bool, err error) {
	source, err := openSource(m.Source, m.Options)
	if err != nil {
		return nil, false, err
	}
	defer source.Close()
	info, err := source.Stat()
	if err == nil {
		err = relabel(source, m.Options)
	}
	if err != nil {
		return nil, false, err
	}
	mapping := prepare.Mapping{
		Users: how.Users, Tree: !slices.Contains(m.Options, "bind"), Optional: how.Own, Whole: true,
		Top: slices.Contains(m.Options, oci.TopOption),
	}
	f, err = prepare.Bind(source, m, mapping)
	return f, info.IsDir(), err
}

// relabel gives a source the SELinux label that the plan says.
func relabel(source *os.File, options []string) error {
	for _, o := range options {
		if label, ok := strings.CutPrefix(o, oci.RelabelOption); ok {
			return prepare.Relabel(source, label)
		}
		if label, ok := strings.CutPrefix(o, oci.LabelOption); ok {
			return prepare.Label(source, label)
		}
	}
	return nil
}

// overlay mounts layers read-only, mapped one by one, or a path in what they make
// together.
func overlay(m specs.Mount, how Sources) (f *os.File, dir bool, err error) {
	sub := ""
	m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool {
		path, ok := strings.CutPrefix(o, oci.SubPathOption)
		if ok {
			sub = path
		}
		return ok
	})
	return prepare.Overlay(m, sub, prepare.Layers{Users: how.Users, Label: how.Label})
}

// openSource opens what is to be mounted; a path below it is never let out of it.
func openSource(source string, options []string) (*os.File, error) {
	for _, o := range options {
		if kind, ok := strings.CutPrefix(o, oci.CreateOption); ok {
			if err := create(source, kind); err != nil {
				return nil, err
			}
		}
	}
	f, err := fd.OpenPath(source)
	if err != nil {
		return nil, err
	}
	for _, o := range options {
		if sub, ok := strings.CutPrefix(o, oci.SubPathOption); ok {
			below, err := fd.InRoot(f, sub, true)
			f.Close()
			return below, err
		}
	}
	return f, nil
}

func create(source, kind string) error {
	if _, err := os.Stat(source); err == nil {
		return nil
	}
	if kind == "dir" {
		return os.MkdirAll(source, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(source, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// group is the container's cgroup, or for an exec where the container's first process is.
// For an exec with a deadline it makes a group inside, in which everything that is started
// can be found again.
func (w *world) group(container bool) (*cgroup.Group, error) {
	if !container && w.p.Deadline.IsZero() { // systemd in a container has made that one a parent
		return cgroup.Home(w.n.layout, w.p.Cgroup, w.p.TargetPid)
	}
	g, err := w.n.layout.Open(w.p.Cgroup)
	if err != nil || container {
		return g, err
	}
	w.sub = supervisor.ExecGroup(w.p.ID)
	return g.Sub(w.sub)
}

// cgroup opens the group's files.
func (w *world) cgroup(container bool) error {
	g, err := w.group(container)
	if err != nil {
		return err
	}
	entry, err := g.Entry()
	if err != nil {
		return err
	}
	for _, f := range entry.Files {
		w.files.Cgroups = append(w.files.Cgroups, w.passed.add(f))
	}
	if entry.Dir != nil {
		w.files.Group = w.passed.add(entry.Dir)
	}
	if err := w.n.layout.Admit(g, int(w.p.IDs.HostID)); err != nil {
		return err
	}
	if container {
		w.oom, err = g.OOMFile()
		if fault.Is(err, fault.Unsupported) { // a host without memory cgroups has no OOM kills in them
			err = nil
		}
	}
	return err
}

// cgroupDirs prepares /sys/fs/cgroup: the container's own group and nothing above
// it, read-only unless the container is privileged (CVE-2023-25809).
func (w *world) cgroupDirs(writable bool) error {
	g, err := w.n.layout.Open(w.p.Cgroup)
	if err != nil {
		return err
	}
	dirs, err := prepare.CgroupDirs(g, writable, w.spec.Linux.MountLabel)
	for _, d := range dirs {
		w.files.CgroupDirs = append(w.files.CgroupDirs, initstage.NamedFile{Name: d.Name, File: w.passed.add(d.File)})
	}
	return err
}
