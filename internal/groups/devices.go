package groups

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// Device reads what device node the host has at a path.
func (g *Groups) Device(_ context.Context, path string) (specs.LinuxDevice, error) {
	info, err := os.Stat(path)
	if err != nil {
		return specs.LinuxDevice{}, fault.Wrap(fault.NotFound, "", err)
	}
	if info.Mode()&os.ModeDevice == 0 {
		return specs.LinuxDevice{}, fault.New(fault.Invalid, path+": not a device")
	}
	return device(path, info)
}

func device(path string, info fs.FileInfo) (specs.LinuxDevice, error) {
	major, minor, err := fd.Device(path)
	if err != nil {
		return specs.LinuxDevice{}, err
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

// own are the entries of /dev that every container has of its own.
func own() map[string]bool {
	return map[string]bool{
		"/dev/pts": true, "/dev/shm": true, "/dev/mqueue": true, "/dev/fd": true, "/dev/console": true, "/dev/ptmx": true,
		"/dev/null": true, "/dev/zero": true, "/dev/full": true, "/dev/random": true, "/dev/urandom": true, "/dev/tty": true,
	}
}

// HostDevices lists the device nodes below the host's /dev, without what every
// container has of its own. What vanishes meanwhile is left out.
func (g *Groups) HostDevices(context.Context) ([]specs.LinuxDevice, error) {
	var out []specs.LinuxDevice
	err := filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case own()[path] && entry.IsDir():
			return fs.SkipDir
		case own()[path] || entry.Type()&os.ModeDevice == 0:
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return nil
		}
		if d, err := device(path, info); err == nil {
			out = append(out, d)
		}
		return nil
	})
	return out, err
}
