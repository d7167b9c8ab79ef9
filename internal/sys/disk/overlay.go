package disk

import (
	"errors"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// IsWhiteout tells whether info describes what overlayfs hides a name of the layers
// below with: a character device 0/0.
func IsWhiteout(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&os.ModeCharDevice != 0 && st.Rdev == 0
}

// overlayPrefix is where overlayfs keeps its notes on an upper layer.
const overlayPrefix = "trusted.overlay."

// Attributes are extended attributes of one file.
type Attributes struct {
	// Kept belong to the file's content wherever it goes: file capabilities and user.*.
	Kept map[string]string
	// Opaque is a directory that hides what is below it in lower layers.
	Opaque bool
	// Partial is an attribute that says that this is not all of the file: overlayfs
	// looks for the rest in a lower layer under another name (redirect_dir) or for its
	// content (metacopy). Empty for most.
	Partial string
}

// maxAttributes bounds the list of names of one file: the kernel's own limit.
const maxAttributes = 64 << 10

// ReadAttributes reads the extended attributes of an open file or directory that
// somebody may be changing. A file system without attributes has none. File
// capabilities that a user namespace wrote, whose root is the host's id owner, come in
// the form for that namespace's own root.
func ReadAttributes(f *os.File, owner uint32) (Attributes, error) {
	a := Attributes{}
	names, err := listAttributes(f)
	if err != nil {
		return a, err
	}
	for _, name := range names {
		switch {
		case name == overlayPrefix+"redirect" || name == overlayPrefix+"metacopy":
			a.Partial = name
		case name == overlayPrefix+"opaque", name == capability, strings.HasPrefix(name, "user."):
			value, err := attribute(f, name)
			if errors.Is(err, unix.ENODATA) {
				continue // taken away meanwhile
			}
			if err != nil {
				return a, err
			}
			a.add(name, value, owner)
		}
	}
	return a, nil
}

func (a *Attributes) add(name, value string, owner uint32) {
	if name == overlayPrefix+"opaque" {
		a.Opaque = value == "y" || value == "x"
		return
	}
	if name == capability {
		value = forRoot(value, owner)
	}
	if a.Kept == nil {
		a.Kept = map[string]string{}
	}
	a.Kept[name] = value
}

func listAttributes(f *os.File) ([]string, error) {
	size, err := unix.Flistxattr(int(f.Fd()), nil)
	if errors.Is(err, unix.ENOTSUP) || err == nil && size == 0 {
		return nil, nil
	}
	buf := make([]byte, min(size+256, maxAttributes)) // one may be added meanwhile
	n := 0
	if err == nil {
		n, err = unix.Flistxattr(int(f.Fd()), buf)
	}
	if err != nil {
		return nil, wrap("flistxattr", f, err)
	}
	return strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00"), nil
}

// maxValue bounds the value of one attribute: the kernel's own limit.
const maxValue = 64 << 10

func attribute(f *os.File, name string) (string, error) {
	buf := make([]byte, 512)
	n, err := unix.Fgetxattr(int(f.Fd()), name, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, maxValue)
		n, err = unix.Fgetxattr(int(f.Fd()), name, buf)
	}
	if err != nil {
		return "", wrap("fgetxattr "+name, f, err)
	}
	return string(buf[:n]), nil
}

// capability holds file capabilities: struct vfs_ns_cap_data in linux/capability.h.
const capability = "security.capability"

// forRoot turns revision 3, which names the namespace's root by the host's id, into
// revision 2, which any root means itself by. Others' stay as they are.
func forRoot(value string, owner uint32) string {
	const revision3, revision2, length = 3, 2, 24
	if len(value) != length || value[3] != revision3 {
		return value
	}
	root := uint32(value[20]) | uint32(value[21])<<8 | uint32(value[22])<<16 | uint32(value[23])<<24
	if root != owner {
		return value
	}
	return value[:3] + string(rune(revision2)) + value[4:20]
}
