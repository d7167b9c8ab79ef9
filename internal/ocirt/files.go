package ocirt

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/mount"
	"carob/internal/sys/ns"
	"carob/internal/sys/task"
	"carob/internal/world"
)

// fileList owns the files that a program is started with.
type fileList struct{ files []*os.File }

// add takes the file over and returns its place.
func (l *fileList) add(f *os.File) int {
	l.files = append(l.files, f)
	return len(l.files) - 1
}

func (l *fileList) close() { fd.CloseAll(l.files) }

// scene collects what a container's process is started with.
type scene struct {
	spec   *specs.Spec
	bundle string
	group  *cgroup.Group

	rootless bool

	passed fileList
	files  initstage.Files
	inner  map[string]world.Mapping // what mounts that the child makes are to be given, by the step
}

func (s *scene) close() {
	s.passed.close()
	for _, m := range s.inner {
		m.Users.Close()
	}
}

func noFiles() initstage.Files {
	return initstage.Files{Rootfs: -1, Dev: -1, Pts: -1, Slave: -1, Shm: -1, Group: -1, Mounts: map[int]int{}, Inner: map[int]initstage.Inner{}}
}

// prepare opens and makes everything.
func (s *scene) prepare() error {
	s.files, s.inner = noFiles(), map[string]world.Mapping{}
	if err := s.joins(); err != nil {
		return err
	}
	root, err := s.root()
	if err != nil {
		return fmt.Errorf("rootfs: %w", err)
	}
	if s.rootless {
		s.borrowDevices()
	}
	for i := range s.spec.Mounts {
		named := s.spec.Mounts[i].Destination
		err := s.aim(&s.spec.Mounts[i], root)
		if err == nil {
			err = s.mount(i, root)
		}
		if err != nil {
			return fmt.Errorf("mount %s: %w", named, err)
		}
	}
	s.tidy()
	s.nodes()
	if err := ownNull(s.files.Nodes, root); err != nil {
		return err
	}
	return s.enter()
}

// joins opens the namespaces that are given by path, the user namespace last: the host's
// root may join all of them, whomever they belong to, the root of that one may not.
func (s *scene) joins() error {
	all := slices.Clone(s.spec.Linux.Namespaces)
	slices.SortStableFunc(all, func(a, b specs.LinuxNamespace) int { return rank(a.Type) - rank(b.Type) })
	for _, n := range all {
		if n.Path == "" {
			continue
		}
		f, err := ns.OpenPath(n.Path, string(n.Type))
		if err != nil {
			return err
		}
		if why := ocispec.Changes(s.spec, n.Type); why != "" && isOwn(f, n.Type) {
			f.Close()
			return fault.New(fault.Invalid, "linux.namespaces: "+n.Path+": is the "+string(n.Type)+" namespace of the host, "+why)
		}
		if n.Type == specs.UserNamespace {
			if err := s.mappings(f); err != nil {
				f.Close()
				return err
			}
		}
		s.files.Joins = append(s.files.Joins, initstage.Join{File: s.passed.add(f), Type: initstage.NamespaceFlag(string(n.Type))})
	}
	return nil
}

// isOwn tells whether a namespace is this process's, or that of the first process.
func isOwn(namespace *os.File, kind specs.LinuxNamespaceType) bool {
	of, err := namespace.Stat()
	if err != nil {
		return true
	}
	file := map[specs.LinuxNamespaceType]string{specs.MountNamespace: "mnt", specs.NetworkNamespace: "net"}[kind]
	if file == "" {
		file = string(kind)
	}
	for _, process := range []string{"self", "1"} {
		if own, err := os.Stat("/proc/" + process + "/ns/" + file); err == nil && os.SameFile(of, own) {
			return true
		}
	}
	return false
}

// mappings learns those of a user namespace that is joined: what is made for the container
// must belong to its root. The kernel knows them better than a configuration.
func (s *scene) mappings(users *os.File) error {
	u, g, err := ns.Mappings(users)
	if err != nil {
		return err
	}
	l := *s.spec.Linux
	l.UIDMappings, l.GIDMappings = idMappings(u), idMappings(g)
	s.spec.Linux = &l
	return nil
}

func idMappings(all ns.Ranges) (out []specs.LinuxIDMapping) {
	for _, r := range all {
		out = append(out, specs.LinuxIDMapping{ContainerID: r[0], HostID: r[1], Size: r[2]})
	}
	return out
}

func rank(kind specs.LinuxNamespaceType) int {
	if kind == specs.UserNamespace {
		return 1
	}
	return 0
}

// root clones the root file system's mount, with all below it. Where it is mounted from
// must not hear of what the container mounts.
func (s *scene) root() (*os.File, error) {
	dir, err := fd.OpenPath(s.rootPath())
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if info, err := dir.Stat(); err != nil || !info.IsDir() {
		return nil, fault.New(fault.Invalid, s.rootPath()+": not a directory")
	}
	f, err := mount.Clone(dir, "", true)
	if err != nil {
		return nil, err
	}
	s.files.Rootfs = s.passed.add(f)
	kind := "slave"
	if p := strings.TrimPrefix(s.spec.Linux.RootfsPropagation, "r"); p == "private" || p == "unbindable" {
		kind = "private"
	}
	return f, mount.SetAttributes(f, mount.Attributes{Propagation: kind, Recursive: true})
}

func (s *scene) rootPath() string {
	if filepath.IsAbs(s.spec.Root.Path) {
		return s.spec.Root.Path
	}
	return filepath.Join(s.bundle, s.spec.Root.Path)
}

// owner is the host's id of the container's id 0, which owns what is made for it.
func (s *scene) owner() int {
	return int(outside(s.spec.Linux.UIDMappings, 0))
}

// outside maps a container's id to the host's.
func outside(mappings []specs.LinuxIDMapping, id uint32) uint32 {
	for _, m := range mappings {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + id - m.ContainerID
		}
	}
	return id
}

// mount prepares the i-th mount. proc, sysfs and mqueue belong to namespaces that the
// process will have: it makes them itself.
func (s *scene) mount(i int, root *os.File) error {
	m := &s.spec.Mounts[i]
	o, err := mountopt.Parse(m.Options)
	if err != nil {
		return err
	}
	switch {
	case o.Remount:
		m.Type = initstage.Remount
		return nil
	case m.Type == "bind" || o.Bind || o.Tree:
		return s.bind(i, o)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		m.Type = "cgroup"
		return s.cgroupDirs(o)
	case slices.Contains([]string{"proc", "sysfs", "mqueue"}, m.Type):
		return nil
	}
	inherit(m, o, root)
	f, err := s.fileSystem(*m, o)
	if err != nil {
		return err
	}
	s.files.Mounts[i] = s.passed.add(f)
	if o.CopyUp {
		return world.CopyUp(root, m.Destination, f)
	}
	return s.special(*m, s.files.Mounts[i])
}

// special fills a /dev, and remembers where terminals come from.
func (s *scene) special(m specs.Mount, n int) error {
	switch m.Destination + " " + m.Type {
	case "/dev tmpfs":
		s.files.Dev = n
		if s.rootless {
			return mount.FillDevBare(s.passed.files[n], s.owner())
		}
		return mount.FillDev(s.passed.files[n], s.owner(), world.Devices(s.outsideDevices(), s.owner()))
	case "/dev/pts devpts":
		s.files.Pts = n
	}
	return nil
}

// fileSystem makes a file system with the ids among its options as the host has them:
// it belongs to the host's user namespace.
func (s *scene) fileSystem(m specs.Mount, o mountopt.Options) (*os.File, error) {
	m.Options = slices.Clone(m.Options)
	owner := uint32(s.owner())
	for i, word := range m.Options {
		key, value, _ := strings.Cut(word, "=")
		id, err := strconv.ParseUint(value, 10, 32)
		if err != nil || key != "uid" && key != "gid" {
			continue
		}
		mapping := s.spec.Linux.UIDMappings
		if key == "gid" {
			mapping = s.spec.Linux.GIDMappings
		}
		m.Options[i] = key + "=" + strconv.Itoa(int(outside(mapping, uint32(id))))
		owner = 0
	}
	if m.Destination == "/dev" || o.CopyUp { // has to be filled yet; tidy adds what makes it read-only
		m.Options = slices.DeleteFunc(m.Options, func(w string) bool { return w == "ro" || w == "rro" })
	}
	return world.FileSystem(m, owner, s.spec.Linux.MountLabel)
}

// outsideDevices are the devices with the host's ids.
func (s *scene) outsideDevices() *specs.Spec {
	l := *s.spec.Linux
	l.Devices = ocispec.OwnDevices(l.Devices)
	for i := range l.Devices {
		d := &l.Devices[i]
		if d.UID != nil {
			id := outside(l.UIDMappings, *d.UID)
			d.UID = &id
		}
		if d.GID != nil {
			id := outside(l.GIDMappings, *d.GID)
			d.GID = &id
		}
	}
	return &specs.Spec{Linux: &l}
}

func ranges(mappings []specs.LinuxIDMapping) (out []task.Range) {
	for _, m := range mappings {
		out = append(out, task.Range{Inside: m.ContainerID, Outside: m.HostID, Size: m.Size})
	}
	return out
}

func (s *scene) cgroupDirs(o mountopt.Options) error {
	if s.group == nil { // rootless: there is none to show
		f, err := mount.Empty(nil, s.spec.Linux.MountLabel)
		if err == nil {
			s.files.CgroupDirs = append(s.files.CgroupDirs, initstage.NamedFile{File: s.passed.add(f)})
		}
		return err
	}
	dirs, err := world.CgroupDirs(s.group, o.Set&mountopt.ReadOnly == 0, s.spec.Linux.MountLabel)
	for _, d := range dirs {
		s.files.CgroupDirs = append(s.files.CgroupDirs, initstage.NamedFile{Name: d.Name, File: s.passed.add(d.File)})
	}
	return err
}

// nodes are the devices for which no /dev has been prepared. A /dev that is mounted from
// the host has what it has.
func (s *scene) nodes() {
	foreign := slices.ContainsFunc(s.spec.Mounts, func(m specs.Mount) bool {
		return m.Destination == "/dev" && m.Type != initstage.Remount
	})
	devices := ocispec.OwnDevices(s.spec.Linux.Devices)
	if !foreign {
		if !s.rootless {
			devices = withDefaults(devices)
		}
		for name, to := range mount.DefaultLinks() {
			s.files.Links = append(s.files.Links, [2]string{"/dev/" + name, to})
		}
	}
	for _, d := range devices {
		if foreign && strings.HasPrefix(d.Path, "/dev/") {
			continue
		}
		s.files.Nodes = append(s.files.Nodes, node(d))
	}
}

func withDefaults(devices []specs.LinuxDevice) []specs.LinuxDevice {
	for name, n := range mount.DefaultDevices() {
		at := "/dev/" + name
		if slices.ContainsFunc(devices, func(d specs.LinuxDevice) bool { return d.Path == at }) {
			continue
		}
		devices = append(devices, specs.LinuxDevice{Path: at, Type: "c", Major: int64(n[0]), Minor: int64(n[1])})
	}
	return devices
}

// borrowDevices mounts the host's devices where the kernel lets nobody make any: outside
// of the first user namespace.
func (s *scene) borrowDevices() {
	whole := slices.ContainsFunc(s.spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev" && m.Type != "tmpfs" })
	l := *s.spec.Linux
	for _, d := range withDefaults(ocispec.OwnDevices(l.Devices)) {
		if !whole || !strings.HasPrefix(d.Path, "/dev/") {
			s.spec.Mounts = append(s.spec.Mounts, specs.Mount{Destination: d.Path, Type: "bind", Source: d.Path, Options: []string{"bind"}})
		}
	}
	l.Devices = nil
	s.spec.Linux = &l
}

func node(d specs.LinuxDevice) initstage.Node {
	n := initstage.Node{Path: path.Clean(d.Path), Mode: 0o666, Major: uint32(d.Major), Minor: uint32(d.Minor)}
	if d.FileMode != nil {
		n.Mode = uint32(d.FileMode.Perm())
	}
	n.Mode |= world.DeviceType(d.Type)
	if d.UID != nil {
		n.UID = *d.UID
	}
	if d.GID != nil {
		n.GID = *d.GID
	}
	return n
}

// enter opens the way into the cgroup.
func (s *scene) enter() error {
	if s.group == nil {
		return nil
	}
	entry, err := s.group.Entry()
	if err != nil {
		return err
	}
	s.enterBy(entry)
	return nil
}

// enterBy takes over the files of a way into a cgroup.
func (s *scene) enterBy(entry cgroup.Entry) {
	for _, f := range entry.Files {
		s.files.Cgroups = append(s.files.Cgroups, s.passed.add(f))
	}
	if entry.Dir != nil {
		s.files.Group = s.passed.add(entry.Dir)
	}
	if ocispec.Scant(s.spec) {
		s.files.Group = -1
	}
}
