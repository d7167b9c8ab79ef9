package criu

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/mountinfo"
	"carob/internal/plan/checkpoint"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
)

// mountsOf reads the mounts that a process sees.
func mountsOf(pid int) ([]mountinfo.Mount, error) {
	return mountsIn(fmt.Sprintf("/proc/%d/mountinfo", pid))
}

func mountsIn(name string) ([]mountinfo.Mount, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, "mounts", err)
	}
	defer f.Close()
	return checkpoint.Mounts(f)
}

// streams reads what the standard streams of a process are.
func streams(pid int) (out [3]checkpoint.Stream, err error) {
	for n := range out {
		if out[n], err = stream(pid, n); err != nil {
			return out, fault.Wrap(fault.NotFound, "standard streams", err)
		}
	}
	return out, nil
}

func stream(pid, n int) (s checkpoint.Stream, err error) {
	name := fmt.Sprintf("/proc/%d/fd/%d", pid, n)
	if s.Link, err = os.Readlink(name); os.IsNotExist(err) {
		return checkpoint.Stream{Link: "anon_inode:closed"}, nil
	}
	if err != nil {
		return s, err
	}
	info, err := os.Stat(name)
	if err != nil {
		return s, err
	}
	_, s.Inode, _ = fd.Link(info)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, n))
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(text)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			s.Mount, err = strconv.Atoi(strings.TrimSpace(id))
		}
	}
	return s, err
}

// Freezer is the directory of the group whose freezer stops all its processes at once, "" on
// a host without one: there criu stops them one by one.
func Freezer(g *cgroup.Group) string {
	if dir := g.Path("freezer"); dir != "" {
		return dir
	}
	if dirs := g.Dirs(); len(dirs) == 1 {
		return dirs[""]
	}
	return ""
}

// descriptorsFile lists what the standard streams were, under the name and in the form of
// runc's.
const descriptorsFile = "descriptors.json"

// Describe says which of a process's mounts and standard streams belong to somebody else.
// binds are those of its mounts that do so for certain. What the streams are is written
// down beside the images.
func (o *Options) Describe(pid int, binds []string) error {
	mounts, err := mountsOf(pid)
	if err != nil {
		return err
	}
	o.Mounts = map[string]string{}
	for _, point := range checkpoint.External(mounts, binds) {
		o.Mounts[point] = point
	}
	all, err := streams(pid)
	if err != nil {
		return err
	}
	var said [len(all)]string
	for i, s := range all {
		said[i] = s.Link
		if key := s.Key(mounts); key != "" {
			said[i] = key
		}
		if s.External(mounts) {
			o.External = append(o.External, said[i])
		}
	}
	text, err := json.Marshal(said)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.Images.Name(), descriptorsFile), text, 0o600)
}

// maxDescriptors bounds what is read of the list of descriptors.
const maxDescriptors = 64 << 10

// Descriptors reads which standard streams a restore must be given, for Options.Streams.
func Descriptors(images string) (keys [3]string, err error) {
	f, err := os.Open(filepath.Join(images, descriptorsFile))
	if err != nil {
		return keys, fault.Wrap(fault.Invalid, "checkpoint", err)
	}
	defer f.Close()
	var said []string
	if err := json.NewDecoder(io.LimitReader(f, maxDescriptors)).Decode(&said); err != nil {
		return keys, fault.Wrap(fault.Invalid, "checkpoint: "+descriptorsFile, err)
	}
	for i, s := range said[:min(len(said), len(keys))] {
		if strings.HasPrefix(s, "pipe:") || strings.HasPrefix(s, "file[") {
			keys[i] = s
		}
	}
	return keys, nil
}

// Targets makes what is mounted on in a root file system, as a container's start does: one
// that has come with a checkpoint need not have it. files are those that are no
// directories. What is below another target was made with that.
func Targets(root *os.File, points []string, files map[string]bool) error {
	dir, err := os.OpenRoot(fd.Path(root))
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, point := range points {
		below := slices.ContainsFunc(points, func(p string) bool { return strings.HasPrefix(point, strings.TrimSuffix(p, "/")+"/") })
		at := strings.Trim(fd.Follow(root, point), "/")
		if at == "" || below {
			continue
		}
		make := func() error { return dir.MkdirAll(at, 0o755) }
		if files[point] {
			make = func() error { return touch(dir, at) }
		}
		if err := make(); err != nil && !errors.Is(err, fs.ErrExist) {
			return fault.Wrap(fault.Invalid, "mount "+point, err)
		}
	}
	return nil
}

func touch(dir *os.Root, at string) error {
	if err := dir.MkdirAll(path.Dir(at), 0o755); err != nil {
		return err
	}
	f, err := dir.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
