package archive

import (
	"path"
	"strings"

	"carob/internal/fault"
)

// Info is what one end of a copy is, before it.
type Info struct {
	// Path is as the user wrote it.
	Path string `json:"path"`
	// Exists and Dir describe what Path leads to; Dir follows symbolic links for a
	// destination.
	Exists bool `json:"exists"`
	Dir    bool `json:"dir"`
}

// Copy is what a copy does: the source is packed with As as its first name, "."
// for a directory's content, and unpacked in the directory Into.
type Copy struct{ As, Into string }

// Plan decides what copying src to dst means, by the rules of `docker cp` (and of
// cp -a): into an existing directory, else under the destination's name; "/." at
// the end of a source means its content.
func Plan(src, dst Info) (Copy, error) {
	if !src.Exists {
		return Copy{}, fault.New(fault.NotFound, "cp: "+src.Path+": no such file or directory")
	}
	if err := fits(src, dst); err != nil {
		return Copy{}, err
	}
	base := path.Base(path.Clean("/" + src.Path))
	switch {
	case dst.Exists && dst.Dir && src.Dir && (base == "/" || lastIs(src.Path, ".") || lastIs(src.Path, "..")):
		return Copy{As: ".", Into: dst.Path}, nil
	case dst.Exists && dst.Dir:
		return Copy{As: base, Into: dst.Path}, nil
	}
	into, name := path.Split(path.Clean(dst.Path))
	if into == "" {
		into = "."
	}
	return Copy{As: name, Into: into}, nil
}

// fits refuses a file in a directory's place and the reverse.
func fits(src, dst Info) error {
	wantsDir := strings.HasSuffix(dst.Path, "/") || lastIs(dst.Path, ".")
	switch {
	case dst.Exists && dst.Dir:
		return nil
	case dst.Exists && src.Dir:
		return fault.New(fault.Invalid, "cp: "+dst.Path+": is a file, "+src.Path+" a directory")
	case dst.Exists && wantsDir:
		return fault.New(fault.Invalid, "cp: "+dst.Path+": not a directory")
	case !dst.Exists && wantsDir && !src.Dir:
		return fault.New(fault.NotFound, "cp: "+dst.Path+": no such directory")
	}
	return nil
}

// lastIs tells whether the last element of p is word.
func lastIs(p, word string) bool { return p == word || strings.HasSuffix(p, "/"+word) }
