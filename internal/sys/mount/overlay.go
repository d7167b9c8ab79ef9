package mount

import (
	"cmp"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// Layers is a root file system made of directories.
type Layers struct {
	// Lower are the read-only layers, the top one first.
	Lower []string
	// Upper takes the changes; Work is overlayfs' scratch directory beside it. Without
	// them the file system is read-only.
	Upper, Work string
	// Source is what the mount table calls it, "overlay" when empty.
	Source string
	// Users is the user namespace that will see the file system, nil for the
	// host's; Owner is the host's id of its root.
	Users *os.File
	Owner int
	// Label is the SELinux label of every file in it, "" for what the layers say.
	Label string
}

// Overlay mounts the layers over one another, detached. With a user namespace the
// layers are id-mapped one by one: the kernel refuses to map an overlay itself
// (EINVAL), and an id-mapped upper layer turns silently read-only for the mapped
// root, so upper and work are given to that root instead. The mount is volatile:
// it is never synced, for a container's changes need not survive a power cut.
//
// layers are what the root was made of, the caller's to close, also after an error.
// The root does not need them; but closing one waits for an RCU grace period
// (0.1 ms, Linux 6.18), which nobody who waits for the root should.
func Overlay(l Layers) (root *os.File, layers []*os.File, err error) {
	if l.Upper != "" {
		if err := own(l); err != nil {
			return nil, nil, err
		}
		// A volatile mount leaves this mark and refuses to be mounted again with it.
		if err := os.RemoveAll(l.Work + "/work/incompat"); err != nil {
			return nil, nil, err
		}
	}
	if layers, err = l.clone(); err != nil {
		return nil, layers, err
	}
	if l.Upper == "" && len(layers) == 1 { // overlayfs wants two, and one needs none
		if l.Label == "" {
			return layers[0], nil, nil
		}
		nothing, err := Empty(nil, "")
		if err != nil {
			return nil, layers, err
		}
		layers = append(layers, nothing)
	}
	root, err = New("overlay", 0, l.options(layers)...)
	if err != nil && noFileLayers(err) {
		root, err = overlayInside(l, layers)
	}
	return root, layers, err
}

// clone returns a mapped copy of each lower layer, also those before an error.
func (l Layers) clone() ([]*os.File, error) {
	layers := make([]*os.File, 0, len(l.Lower))
	for _, dir := range l.Lower {
		layer, err := Clone(nil, dir, false)
		if err != nil {
			return layers, err
		}
		layers = append(layers, layer)
		if err := mapLayer(layer, l.Users); err != nil {
			return layers, err
		}
	}
	return layers, nil
}

func (l Layers) options(layers []*os.File) []Option {
	out := make([]Option, 0, len(layers)+4)
	out = append(out, Option{Key: "source", Value: l.source()})
	out = append(out, Context(l.Label)...)
	for _, layer := range layers {
		out = append(out, Option{Key: "lowerdir+", File: layer})
	}
	if l.Upper == "" {
		return out
	}
	return append(out, Option{Key: "upperdir", Value: l.Upper}, Option{Key: "workdir", Value: l.Work}, Option{Key: "volatile"})
}

func (l Layers) source() string { return cmp.Or(l.Source, "overlay") }

// SplitLower takes overlayfs's option lowerdir apart: directories with colons between
// them; a backslash takes the meaning from the character after it.
func SplitLower(s string) (dirs []string) {
	var dir strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			dir.WriteByte(s[i])
		case s[i] == ':':
			dirs = append(dirs, dir.String())
			dir.Reset()
		default:
			dir.WriteByte(s[i])
		}
	}
	return append(dirs, dir.String())
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

// noFileLayers reports whether the kernel takes no layers as files. Before Linux 6.5 it does
// not know the option (EINVAL); until 6.12 it knows it, as a path, and takes no file that
// was opened with O_PATH for any option (EBADF).
func noFileLayers(err error) bool {
	e, ok := unwrap(err)
	return ok && e.Call == "fsconfig lowerdir+" && (e.Errno == unix.EINVAL || e.Errno == unix.EOPNOTSUPP || e.Errno == unix.EBADF)
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

// overlayInside mounts the layers where they cannot be given as files (Linux 6.13):
// there overlayfs takes paths only, and only of its caller's mount namespace
// (clone_private_mount, the answer to CVE-2021-3732). A thread enters a copy of the
// namespace, attaches the layers, and dies with it; the mount outlives them.
func overlayInside(l Layers, layers []*os.File) (*os.File, error) {
	return onThread(func() (*os.File, error) {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return nil, wrap("unshare", "overlay", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return nil, wrap("mount private", "/", err)
		}
		const target = "m"
		names := []string{target}
		for i := range layers {
			names = append(names, strconv.Itoa(i))
		}
		base, err := Empty(names, "")
		if err != nil {
			return nil, err
		}
		defer base.Close()
		// Any directory does; this one is there and has been cloned.
		if err := attach(base, l.Lower[0]); err != nil {
			return nil, err
		}
		if err := unix.Fchdir(int(base.Fd())); err != nil {
			return nil, wrap("fchdir", "overlay", err)
		}
		for i, layer := range layers {
			if err := attach(layer, names[i+1]); err != nil {
				return nil, err
			}
		}
		if err := unix.Mount(l.source(), target, "overlay", 0, l.data(names[1:])); err != nil {
			return nil, l.refused(wrap("mount", "overlay", err), err)
		}
		return Clone(nil, target, false)
	})
}

// data are mount(2)'s options: a page of them, where fsconfig(2) takes 255 bytes and
// an image may have 127 layers.
func (l Layers) data(lower []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	data := "lowerdir=" + strings.Join(lower, ":")
	if l.Upper != "" {
		data += ",upperdir=" + escape.Replace(l.Upper) + ",workdir=" + escape.Replace(l.Work) + ",volatile"
	}
	if l.Label != "" { // its commas are none of the list's
		data += `,context="` + l.Label + `"`
	}
	return data
}

// refused explains a kernel whose overlayfs does not know id-mapped layers.
func (l Layers) refused(err error, errno error) error {
	if l.Users == nil || errno != unix.EINVAL {
		return err
	}
	return fault.Wrap(fault.Unsupported, "user namespace: no overlay of id-mapped layers, which Linux 5.19 has (use --userns host)", err)
}
