package world

import (
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/mountopt"
	"carob/internal/sys/fd"
	"carob/internal/sys/mount"
)

// Layers is how Overlay mounts.
type Layers struct {
	Users *os.File
	Label string
}

// Overlay mounts layers (the option lowerdir) read-only, each of them mapped for users,
// or a path in what they make together, with an SELinux label unless that is empty. dir
// tells whether it is a directory.
func Overlay(m specs.Mount, sub string, how Layers) (f *os.File, dir bool, err error) {
	o, err := mountopt.Parse(m.Options)
	if err != nil {
		return nil, false, err
	}
	l := mount.Layers{Users: how.Users, Label: how.Label}
	for _, d := range o.Data {
		value, ok := strings.CutPrefix(d, "lowerdir=")
		if !ok {
			return nil, false, fault.New(fault.Unsupported, "overlay: option "+d)
		}
		l.Lower = mount.SplitLower(value)
	}
	f, layers, err := mount.Overlay(l)
	fd.CloseAll(layers)
	if err == nil && sub != "" {
		f, err = mount.Below(f, sub)
	}
	if err != nil {
		return nil, false, err
	}
	info, err := f.Stat()
	if err == nil {
		err = mount.SetAttributes(f, mount.Attributes{Set: mount.Flags(o.Set) | mount.ReadOnly, Propagation: "private"})
	}
	if err != nil {
		f.Close()
		return nil, false, err
	}
	return f, info.IsDir(), nil
}
