package oci

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/spec"
)

// What a mount of the plan says beyond the OCI's words; handlers resolve these.
const (
	// ShmSource as the source of a bind stands for the /dev/shm of the IPC namespace
	// that the container joins: the sandbox's, or another container's.
	ShmSource = "carob:shm"
	// OwnOption starts every option that no runtime but carob knows.
	OwnOption = "carob:"
	// SubPathOption starts the option that names a path below the source. It is to be
	// opened without leaving the source, because the container can change what lies
	// there (CVE-2021-25741).
	SubPathOption = "carob:subpath="
	// CreateOption starts the option that asks for a missing source to be made:
	// "dir" or "file".
	CreateOption = "carob:create="
	// TopOption confines a bind's "ro" to the source's own mount.
	TopOption = "carob:ro-top"
	// RelabelOption starts the option that has the source, and all in it, given an SELinux
	// label beforehand; LabelOption does so only where the source itself has another.
	RelabelOption = "carob:relabel="
	LabelOption   = "carob:label="
)

// defaultShmSize is Docker's and Kubernetes' size of /dev/shm in bytes.
const defaultShmSize = 64 << 20

// maxPath is the kernel's PATH_MAX without the final NUL.
const maxPath = 4095

// tree plans what the container sees in its file system.
type tree struct{ *planner }

// mounts returns every mount in the order in which they are made.
func (t tree) mounts() ([]specs.Mount, error) {
	asked, err := t.askedMounts()
	if err != nil {
		return nil, err
	}
	taken := make(map[string]bool, len(asked))
	for _, m := range asked {
		taken[m.Destination] = true
	}
	files, err := t.fileMounts(taken)
	if err != nil {
		return nil, err
	}
	out := slices.DeleteFunc(t.kernelMounts(), func(m specs.Mount) bool {
		// Who brings a /dev of his own brings what is in it.
		return taken[m.Destination] || (taken["/dev"] && strings.HasPrefix(m.Destination, "/dev/"))
	})
	rest := append(files, asked...)
	slices.SortStableFunc(rest, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return append(out, rest...), nil
}

// kernelMounts are the kernel's own file systems.
func (t tree) kernelMounts() []specs.Mount {
	sys, cgroup := "ro", "ro"
	if t.privileged {
		cgroup = "rw"
		if !t.c.Security.ReadOnlyRootfs {
			sys = "rw"
		}
	}
	out := make([]specs.Mount, 0, 8+len(t.r.Files)+len(t.c.Mounts)+len(t.r.Volumes))
	out = append(out,
		specs.Mount{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		specs.Mount{Destination: "/dev/pts", Type: "devpts", Source: "devpts",
			Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
	)
	out = append(out, t.ipcMounts()...)
	return append(out,
		specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", sys}},
		specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{cgroup, "nosuid", "noexec", "nodev", "relatime"}},
	)
}

func (t tree) ipcMounts() []specs.Mount {
	shm := specs.Mount{Destination: "/dev/shm", Type: "bind", Source: ShmSource,
		Options: []string{"bind", "rw", "rprivate", "nosuid", "noexec", "nodev"}}
	switch t.ipc() {
	case spec.None:
		return nil
	case spec.Host:
		shm.Source = "/dev/shm"
	case spec.Own:
		size := t.pod.ShmSize
		if size <= 0 {
			size = defaultShmSize
		}
		shm = specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
			Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(size, 10)}}
	}
	return []specs.Mount{shm,
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}}}
}

// ipc is whose IPC namespace it is in the end: a container in the pod's has the
// host's when the pod has.
func (t tree) ipc() spec.Mode {
	m := t.r.Namespaces.IPC
	if m != spec.OfPod {
		return m
	}
	switch of := t.pod.Namespaces.IPC; of {
	case spec.Host, spec.None:
		return of
	}
	return m
}

// fileMounts binds the files that carob itself writes, where the request does not
// bring its own.
func (t tree) fileMounts(taken map[string]bool) ([]specs.Mount, error) {
	out := make([]specs.Mount, 0, len(t.r.Files))
	for target, source := range t.r.Files {
		at, err := Target(target)
		if err != nil {
			return nil, err
		}
		if !taken[at] {
			out = append(out, t.bind(at, source, t.label(LabelOption, t.labels.Mount, "rbind", readOnly(t.c.Security.ReadOnlyRootfs), "rprivate")))
		}
	}
	byTarget(out)
	return out, nil
}

// askedMounts are the request's mounts, then the image's volumes that none of them
// covers.
func (t tree) askedMounts() ([]specs.Mount, error) {
	seen := make(map[string]bool, len(t.c.Mounts)+len(t.r.Volumes))
	volumes, err := t.volumes()
	if err != nil {
		return nil, err
	}
	out := make([]specs.Mount, 0, len(t.c.Mounts)+len(volumes))
	for i := range t.c.Mounts {
		m := &t.c.Mounts[i]
		target, err := Target(m.Target)
		if err != nil {
			return nil, err
		}
		if seen[target] {
			return nil, fault.New(fault.Invalid, "mount "+clip(target)+": asked for twice")
		}
		seen[target] = true
		planned, err := t.mount(m, target, volumes[target])
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", clip(target), err)
		}
		out = append(out, planned)
	}
	image := make([]specs.Mount, 0, len(volumes))
	for target, source := range volumes {
		if seen[target] {
			continue
		}
		if !path.IsAbs(source) {
			return nil, fault.New(fault.Invalid, "mount "+clip(target)+": source \""+clip(source)+"\" is not an absolute path")
		}
		image = append(image, t.bind(target, source, t.label(LabelOption, t.labels.Shared(), "rbind", "rw", "rprivate")))
	}
	byTarget(image)
	return append(out, image...), nil
}

// volumes is Request.Volumes with clean targets.
func (t tree) volumes() (map[string]string, error) {
	out := make(map[string]string, len(t.r.Volumes))
	for target, source := range t.r.Volumes {
		at, err := Target(target)
		if err != nil {
			return nil, err
		}
		if old, twice := out[at]; twice && old != source {
			return nil, fault.New(fault.Invalid, "mount "+clip(at)+": two volumes")
		}
		out[at] = source
	}
	return out, nil
}

func byTarget(m []specs.Mount) {
	slices.SortFunc(m, func(a, b specs.Mount) int { return strings.Compare(a.Destination, b.Destination) })
}

// mount plans one mount of the request.
func (t tree) mount(m *spec.Mount, target, volume string) (specs.Mount, error) {
	switch m.Type {
	case spec.Tmpfs:
		return tmpfs(m, target)
	case spec.Image:
		return t.image(m, target, volume)
	case spec.Bind, spec.Volume:
	default:
		return specs.Mount{}, fault.New(fault.Invalid, "type \""+clip(string(m.Type))+"\" is none of bind, volume, tmpfs, image")
	}
	source := m.Source
	if m.Type == spec.Volume {
		if source = volume; source == "" {
			return specs.Mount{}, fault.New(fault.Internal, "volume \""+clip(m.Source)+"\" has no directory")
		}
	}
	if !path.IsAbs(source) || !plainPath(source) {
		return specs.Mount{}, fault.New(fault.Invalid, "source \""+clip(source)+"\" is not an absolute path")
	}
	if m.Size != 0 || m.Mode != 0 {
		return specs.Mount{}, fault.New(fault.Invalid, "size and mode are for tmpfs")
	}
	options, err := bindOptions(m)
	if err == nil {
		options, err = t.relabel(m, options)
	}
	if err != nil {
		return specs.Mount{}, err
	}
	return t.bind(target, source, options), nil
}

// label adds an option about a label, if there is one.
func (t tree) label(option, label string, options ...string) []string {
	if label == "" {
		return options
	}
	return append(options, option+label)
}

// relabel adds what becomes of the source's files. A volume is for all containers, so that
// the next one can use it.
func (t tree) relabel(m *spec.Mount, options []string) ([]string, error) {
	own := t.labels.Mount
	switch m.Relabel {
	case "":
		if m.Type == spec.Volume {
			options = t.label(LabelOption, t.labels.Shared(), options...)
		}
		return options, nil
	case spec.RelabelShared:
		own = t.labels.Shared()
	case spec.RelabelPrivate:
	default:
		return nil, fault.New(fault.Invalid, "relabel \""+clip(string(m.Relabel))+"\" is neither shared nor private")
	}
	if own == "" && t.r.Facts.SELinux {
		return nil, fault.New(fault.Unsupported, "relabel: this host's SELinux policy has no label for files of containers (container-selinux has)")
	}
	return t.label(RelabelOption, own, options...), nil
}

// image plans a read-only overlay of an image's layers, whose lowerdir is. Flags for
// devices and set-user-ID programs are there whatever the options say: an image that is
// mounted is data.
func (t tree) image(m *spec.Mount, target, lowerdir string) (specs.Mount, error) {
	if lowerdir == "" {
		return specs.Mount{}, fault.New(fault.Internal, "image \""+clip(m.Source)+"\" has no layers")
	}
	if m.Size != 0 || m.Mode != 0 || m.Create+m.Propagation+string(m.Relabel) != "" || m.NonRecursive {
		return specs.Mount{}, fault.New(fault.Invalid, "an image takes a subpath and mount flags, nothing else")
	}
	asked, err := bindOptions(m)
	if err != nil {
		return specs.Mount{}, err
	}
	options := []string{"ro", "nosuid", "nodev", "lowerdir=" + lowerdir}
	for _, o := range asked[3:] { // after rbind, rw and rprivate
		if o != "rw" && o != "suid" && o != "dev" {
			options = append(options, o)
		}
	}
	return specs.Mount{Destination: target, Type: "overlay", Source: "overlay", Options: options}, nil
}

// bind maps the owners of the files into the pod's user namespace, so that what
// belongs to root on the host belongs to root in the pod.
func (t tree) bind(target, source string, options []string) specs.Mount {
	return specs.Mount{Destination: target, Type: "bind", Source: source, Options: options, UIDMappings: t.idMappings(), GIDMappings: t.idMappings()}
}

func bindOptions(m *spec.Mount) ([]string, error) {
	how := "rbind"
	if m.NonRecursive {
		how = "bind"
	}
	propagation := m.Propagation
	switch propagation {
	case "":
		propagation = "rprivate"
	case "private", "rprivate", "slave", "rslave", "shared", "rshared":
	default:
		return nil, fault.New(fault.Invalid, "propagation \""+clip(propagation)+"\" is none of private, slave, shared, rprivate, rslave, rshared")
	}
	out := []string{how, readOnly(m.ReadOnly), propagation}
	for _, o := range m.Options {
		if !isMountFlag(o) {
			return nil, fault.New(fault.Invalid, "option \""+clip(o)+"\" is not a flag of a bind mount")
		}
		out = append(out, o)
	}
	if m.ReadOnly && m.ReadOnlyTop {
		out = append(out, TopOption)
	}
	if m.SubPath != "" {
		sub, err := subPath(m.SubPath)
		if err != nil {
			return nil, err
		}
		out = append(out, sub...)
	}
	switch m.Create {
	case "":
	case "dir", "file":
		out = append(out, CreateOption+m.Create)
	default:
		return nil, fault.New(fault.Invalid, "create \""+clip(m.Create)+"\" is neither dir nor file")
	}
	return out, nil
}

func subPath(unsafePath string) ([]string, error) {
	if path.IsAbs(unsafePath) || !plainPath(unsafePath) {
		return nil, fault.New(fault.Invalid, "subpath \""+clip(unsafePath)+"\" leaves the source")
	}
	if sub := path.Clean(unsafePath); sub != "." {
		return []string{SubPathOption + sub}, nil
	}
	return nil, nil
}

// tmpfs has Docker's noexec, nosuid and nodev unless the options say otherwise.
func tmpfs(m *spec.Mount, target string) (specs.Mount, error) {
	if err := checkTmpfs(m); err != nil {
		return specs.Mount{}, err
	}
	flags := make([]string, 0, 4+len(m.Options))
	for _, flag := range []string{"noexec", "nosuid", "nodev"} {
		if !slices.Contains(m.Options, flag[len("no"):]) {
			flags = append(flags, flag)
		}
	}
	mode := m.Mode
	if mode == 0 {
		mode = 0o1777
	}
	data := []string{"mode=" + strconv.FormatUint(uint64(mode), 8)}
	if m.Size > 0 {
		data = append(data, "size="+strconv.FormatInt(m.Size, 10))
	}
	for _, o := range m.Options {
		key, _, isData := strings.Cut(o, "=")
		switch {
		case isData: // as it was written it stands above the field
			data = append(slices.DeleteFunc(data, func(s string) bool { return strings.HasPrefix(s, key+"=") }), o)
		case !slices.Contains(flags, o):
			flags = append(flags, o)
		}
	}
	flags = append(flags, readOnly(m.ReadOnly))
	return specs.Mount{Destination: target, Type: "tmpfs", Source: "tmpfs", Options: append(flags, data...)}, nil
}

func checkTmpfs(m *spec.Mount) error {
	switch {
	case m.Source != "" || m.SubPath != "" || m.Create != "" || m.Relabel != "":
		return fault.New(fault.Invalid, "a tmpfs has no source")
	case m.Propagation != "" || m.NonRecursive:
		return fault.New(fault.Invalid, "a tmpfs has no propagation")
	case m.Size < 0:
		return fault.New(fault.Invalid, "size "+strconv.FormatInt(m.Size, 10)+" is negative")
	case m.Mode > 0o7777:
		return fault.New(fault.Invalid, "mode "+strconv.FormatUint(uint64(m.Mode), 8)+" is not a file mode")
	}
	return checkTmpfsOptions(m.Options)
}

func checkTmpfsOptions(options []string) error {
	for _, o := range options {
		if key, _, data := strings.Cut(o, "="); (data && !isTmpfsKey(key)) || (!data && !isMountFlag(o)) || strings.Contains(o, ",") {
			return fault.New(fault.Invalid, "option \""+clip(o)+"\" is not one of tmpfs")
		}
	}
	return nil
}

func readOnly(yes bool) string {
	if yes {
		return "ro"
	}
	return "rw"
}

// isMountFlag tells the per-mount flags that mount_setattr(2) can set. Read-only,
// propagation and binding have fields of their own.
func isMountFlag(o string) bool {
	switch o {
	case "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nosymfollow", "symfollow",
		"noatime", "atime", "relatime", "norelatime", "strictatime", "nostrictatime", "nodiratime", "diratime":
		return true
	}
	return false
}

func isTmpfsKey(k string) bool {
	switch k {
	case "size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge":
		return true
	}
	return false
}

// Target checks and cleans the path at which a container mount is asked for: it is
// absolute, has no "..", and is neither the root nor the kernel's /proc and /sys,
// where a file of someone's own would forge what the kernel says (CVE-2019-16884,
// CVE-2019-19921). A path is resolved inside the root file system when it is used.
// The error is Invalid and names the path.
func Target(unsafePath string) (string, error) {
	bad := func(cause string) (string, error) {
		return "", fault.New(fault.Invalid, "mount \""+clip(unsafePath)+"\": "+cause)
	}
	if !path.IsAbs(unsafePath) {
		return bad("the target is not an absolute path")
	}
	if !plainPath(unsafePath) {
		return bad("the target holds \"..\", a NUL or too much")
	}
	switch t := path.Clean(unsafePath); {
	case t == "/":
		return bad("nothing mounts over the root")
	case t == "/proc" || t == "/sys" || strings.HasPrefix(t, "/proc/"):
		return bad("the kernel's own files stay visible; choose another target")
	default:
		return t, nil
	}
}

// plainPath is false for what no caller means: "..", NUL, or more than the
// kernel takes.
func plainPath(s string) bool {
	if s == "" || len(s) > maxPath || strings.ContainsRune(s, 0) {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == ".." {
			return false
		}
	}
	return true
}
