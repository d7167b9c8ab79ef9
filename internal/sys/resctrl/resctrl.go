// Package resctrl puts containers' processes into groups of the resctrl file system, by
// which the kernel shares caches and memory bandwidth out and counts their use (Intel RDT,
// AMD QoS, Arm MPAM; Documentation/filesystems/resctrl.rst). What is asked for is
// linux.intelRdt of the runtime specification, checked by package ocispec.
//
// A control group is a directory, and so is a monitoring group, below a control group's
// mon_groups. The kernel fills what is made and empties what is removed. schemata says
// what a control group's tasks have, tasks lists them; a process's children begin in its
// groups. Who changes more than one thing holds a flock on the root, as the kernel's document
// has it.
package resctrl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
)

// FS is a mounted resctrl file system.
type FS struct {
	// Root is where it is mounted.
	Root string
	// Mkdir makes a group and Rmdir removes one. Nil is the kernel: the directories of a test
	// are not filled and emptied by themselves.
	Mkdir, Rmdir func(dir string) error
}

// Find looks for the file system in this process's mount namespace. Unsupported says that
// it is not mounted, as it is nowhere by itself.
func Find() (FS, error) {
	found, err := mount.Find("resctrl", "")
	if err == nil && len(found) == 0 {
		err = fault.New(fault.Unsupported, "linux.intelRdt: no resctrl file system is mounted (mount -t resctrl resctrl /sys/fs/resctrl, on a processor that has it)")
	}
	if err != nil {
		return FS{}, err
	}
	return FS{Root: found[0].Target, Mkdir: mkdir, Rmdir: syscall.Rmdir}, nil
}

func mkdir(dir string) error { return os.Mkdir(dir, 0o755) }

// Group is where a container's processes are.
type Group struct {
	fs FS
	// name is of the control group, class says that it has been named by linux.intelRdt.closID
	// and does not end with the container.
	name    string
	class   bool
	monitor string   // directory of the monitoring group, "" is none
	made    []string // directories, by Make
}

// Of is the group of the container with this id. Nothing is looked at yet.
func Of(fsys FS, rdt *specs.LinuxIntelRdt, id string) *Group {
	g := &Group{fs: fsys, name: rdt.ClosID, class: rdt.ClosID != ""}
	if !g.class {
		g.name = id
	}
	if rdt.EnableMonitoring {
		g.monitor = filepath.Join(g.control(), "mon_groups", id)
	}
	return g
}

func (g *Group) control() string { return filepath.Join(g.fs.Root, g.name) }

// Make makes what the specification wants to be made, and sets the schemata. A class that
// is there already must have what is asked for (Conflict); one that is not is NotFound if
// nothing is asked for. On an error nothing of it remains.
func (g *Group) Make(rdt *specs.LinuxIntelRdt) (err error) {
	lock, err := fd.LockDir(g.fs.Root)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Undo())
		}
	}()
	asked := []schema{{"l3CacheSchema", lines(rdt.L3CacheSchema)}, {"memBwSchema", lines(rdt.MemBwSchema)}, {"schemata", rdt.Schemata}}
	fresh, err := g.makeControl(slices.ContainsFunc(asked, func(s schema) bool { return len(s.lines) > 0 }))
	if err != nil {
		return err
	}
	for i, s := range asked {
		switch {
		case len(s.lines) == 0:
		case fresh || i == len(asked)-1: // schemata is written in any case
			err = g.write(s)
		default:
			err = g.compare(s)
		}
		if err != nil {
			return err
		}
	}
	if g.monitor == "" {
		return nil
	}
	return g.mkdir("enableMonitoring", g.monitor)
}

// makeControl makes the control group unless it is a class that is there. asked says that
// there is something to make one with.
func (g *Group) makeControl(asked bool) (fresh bool, err error) {
	dir := g.control()
	if !g.class {
		return true, g.mkdir("closID", dir)
	}
	_, err = os.Stat(filepath.Join(dir, "tasks"))
	switch {
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, g.refused("closID", g.name, err)
	case !asked:
		return false, fault.New(fault.NotFound, "linux.intelRdt.closID: "+g.name+": is no class that there is, and no schemata are given to make it with")
	}
	return true, g.mkdir("closID", dir)
}

func (g *Group) mkdir(field, dir string) error {
	if err := g.fs.Mkdir(dir); err != nil {
		return g.refused(field, "make "+dir, err)
	}
	g.made = append(g.made, dir)
	return nil
}

// Add moves a process, which must have one thread, into the groups.
func (g *Group) Add(pid int) error {
	dirs := []string{g.control()}
	if g.monitor != "" { // only what is in the control group can be in one below it
		dirs = append(dirs, g.monitor)
	}
	for _, dir := range dirs {
		if err := put(filepath.Join(dir, "tasks"), strconv.Itoa(pid)+"\n"); err != nil {
			return g.refused("closID", "tasks of "+dir, err)
		}
	}
	return nil
}

// Undo removes what Make has made.
func (g *Group) Undo() (err error) {
	for _, dir := range slices.Backward(g.made) {
		err = errors.Join(err, g.rmdir(dir))
	}
	g.made = nil
	return err
}

// Remove removes what ends with the container: not a class.
func (g *Group) Remove() (err error) {
	if g.monitor != "" {
		err = g.rmdir(g.monitor)
	}
	if !g.class {
		err = errors.Join(err, g.rmdir(g.control()))
	}
	return err
}

func (g *Group) rmdir(dir string) error {
	err := g.fs.Rmdir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fault.Wrap(fault.Internal, "linux.intelRdt: remove "+dir, err)
}

func (g *Group) write(s schema) error {
	text := strings.Join(s.lines, "\n") + "\n"
	return g.refused(s.field, fmt.Sprintf("%.80q", text), put(filepath.Join(g.control(), "schemata"), text))
}

func (g *Group) compare(s schema) error {
	f, err := os.Open(filepath.Join(g.control(), "schemata"))
	if err != nil {
		return g.refused(s.field, g.name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText))
	if err != nil {
		return g.refused(s.field, g.name, err)
	}
	if at := differs(string(text), s.lines); at != "" {
		return fault.New(fault.Conflict, "linux.intelRdt."+s.field+": the class "+g.name+" is there already, with other schemata: "+at)
	}
	return nil
}

// refused says which field it was, and what the kernel has left to say (since Linux 4.15).
func (g *Group) refused(field, step string, err error) error {
	if err == nil {
		return nil
	}
	kind := fault.KindOf(err)
	var errno fd.Errno
	switch {
	case errors.Is(err, fs.ErrExist):
		kind = fault.Exists
	case errors.Is(err, syscall.ENOSPC):
		kind = fault.Unavailable
	case errors.As(err, &errno):
		kind = fd.KindOf(errno)
	}
	text := "linux.intelRdt." + field + ": " + step
	if f, err := os.Open(filepath.Join(g.fs.Root, "info/last_cmd_status")); err == nil {
		said, _ := io.ReadAll(io.LimitReader(f, maxText)) // it only explains
		f.Close()
		if said := strings.TrimSpace(string(said)); said != "" && said != "ok" {
			text += ": " + said
		}
	}
	return fault.Wrap(kind, text, err)
}

// maxText bounds what is read, in bytes; a line is a resource, with some ten bytes for
// each cache.
const maxText = 1 << 20

// put writes to a file in one call, which is all or nothing. The kernel's files have no
// place to write to: what is appended is what they are told.
func put(file, text string) error {
	if len(text) > os.Getpagesize() {
		return fault.New(fault.Invalid, "is more than the kernel takes at once")
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
