package runtime

import (
	"context"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/status"
	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
)

// MountRoot mounts a container's layers, detached.
func (n *Native) MountRoot(_ context.Context, r image.Rootfs, ids status.IDMapping) (*os.File, error) {
	users, err := n.users.get(ids)
	if err != nil {
		return nil, err
	}
	if users != nil {
		defer users.Close()
	}
	return mount.Overlay(mount.Layers{Lower: r.Lower, Upper: r.Upper, Work: r.Work, Users: users, Owner: int(ids.HostID)})
}

// OpenRoot returns the root directory that a running process sees.
func (n *Native) OpenRoot(_ context.Context, pid int) (*os.File, error) {
	return fd.OpenPath("/proc/" + strconv.Itoa(pid) + "/root")
}

// OpenFile opens a regular file below root for reading. A FIFO or device in its
// place is refused before it is opened for reading.
func (n *Native) OpenFile(root *os.File, unsafePath string) (*os.File, error) {
	at, err := fd.InRoot(root, unsafePath, true)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	info, err := at.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fault.New(fault.Invalid, unsafePath+": not a regular file")
	}
	return os.OpenFile(fd.Path(at), os.O_RDONLY|fd.NoBlock, 0)
}

// Device reads what device node the host has at a path.
func (n *Native) Device(_ context.Context, path string) (specs.LinuxDevice, error) {
	info, err := os.Stat(path)
	if err != nil {
		return specs.LinuxDevice{}, fault.Wrap(fault.NotFound, "device "+path, err)
	}
	major, minor, err := fd.Device(path)
	if err != nil {
		return specs.LinuxDevice{}, fault.Wrap(fault.Invalid, "device "+path, err)
	}
	d := specs.LinuxDevice{Path: path, Type: "b", Major: major, Minor: minor}
	if info.Mode()&os.ModeCharDevice != 0 {
		d.Type = "c"
	}
	mode := info.Mode().Perm()
	uid, gid := fd.Owner(info)
	d.FileMode, d.UID, d.GID = &mode, &uid, &gid
	return d, nil
}
