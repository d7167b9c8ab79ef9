package mount

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Layers is a root file system made of directories.
type Layers struct {
	// Lower are the read-only layers, the top one first.
	Lower []string
	// Upper takes the changes; Work is overlayfs' scratch directory beside it.
	Upper, Work string
	// Users is the user namespace that will see the file system, nil for the
	// host's; Owner is the host's id of its root.
	Users *os.File
	Owner int
}

// Overlay mounts the layers over one another, detached. With a user namespace the
// layers are id-mapped one by one: the kernel refuses to map an overlay itself
// (EINVAL), and an id-mapped upper layer turns silently read-only for the mapped
// root, so upper and work are given to that root instead. The mount is volatile:
// it is never synced, for a container's changes need not survive a power cut.
func Overlay(l Layers) (*os.File, error) {
	if err := own(l); err != nil {
		return nil, err
	}
	// A volatile mount leaves this mark and refuses to be mounted again with it.
	if err := os.RemoveAll(l.Work + "/work/incompat"); err != nil {
		return nil, err
	}
	var options []Option
	for _, dir := range l.Lower {
		layer, err := Clone(nil, dir, false)
		if err != nil {
			return nil, err
		}
		defer layer.Close()
		if err := mapLayer(layer, l.Users); err != nil {
			return nil, err
		}
		options = append(options, Option{Key: "lowerdir+", File: layer})
	}
	options = append(options, Option{Key: "upperdir", Value: l.Upper}, Option{Key: "workdir", Value: l.Work}, Option{Key: "volatile"})
	m, err := New("overlay", 0, options...)
	if err != nil && noFileLayers(err) {
		// Before Linux 6.13 layers cannot be given as files, but a path may lead to one.
		return New("overlay", 0, byPath(l, options)...)
	}
	return m, err
}

// own gives the writable layer to the container's root, once.
func own(l Layers) error {
	if l.Users == nil {
		return nil
	}
	for _, dir := range []string{l.Upper, l.Work} {
		if err := os.Lchown(dir, l.Owner, l.Owner); err != nil {
			return err
		}
	}
	return nil
}

func mapLayer(layer, users *os.File) error {
	if users == nil {
		return nil
	}
	err := SetAttributes(layer, Attributes{Users: users})
	if err == nil {
		return nil
	}
	return fault.Wrap(fault.Unsupported, "user namespace: the image store's "+FSType(layer.Name())+
		" cannot be id-mapped on this kernel (use --userns host)", err)
}

func noFileLayers(err error) bool {
	e, ok := unwrap(err)
	return ok && e.Call == "fsconfig lowerdir+" && (e.Errno == unix.EINVAL || e.Errno == unix.EOPNOTSUPP)
}

func unwrap(err error) (*Error, bool) {
	for err != nil {
		if e, ok := err.(*Error); ok {
			return e, true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return nil, false
		}
		err = u.Unwrap()
	}
	return nil, false
}

func byPath(l Layers, options []Option) []Option {
	lower := ""
	for _, o := range options[:len(l.Lower)] {
		if lower != "" {
			lower += ":"
		}
		lower += "/proc/self/fd/" + strconv.Itoa(int(o.File.Fd()))
	}
	return append([]Option{{Key: "lowerdir", Value: lower}}, options[len(l.Lower):]...)
}
