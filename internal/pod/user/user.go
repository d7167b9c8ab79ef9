// Package user looks up who a container's process is, in the files of its root file system.
package user

import (
	"fmt"
	"io"
	"os"

	"carob/internal/fault"
	"carob/internal/plan/ident"
)

// Files opens files of a root file system: see pod.Roots.
type Files interface {
	OpenFile(root *os.File, unsafePath string) (*os.File, error)
}

// Lookup resolves a user in the files of a root file system, which are opened only when
// they can matter: "uid:gid" without names needs none.
func Lookup(f Files, root *os.File, w ident.Wish) (ident.Identity, error) {
	user := w.User
	if w.Plain() {
		return ident.Lookup(w, nil, nil)
	}
	passwd, err := f.OpenFile(root, "/etc/passwd")
	if err != nil && !fault.Is(err, fault.NotFound) {
		return ident.Identity{}, fmt.Errorf("user %.80s: /etc/passwd: %w", user, err)
	}
	defer closeFile(passwd)
	group, err := f.OpenFile(root, "/etc/group")
	if err != nil && !fault.Is(err, fault.NotFound) {
		return ident.Identity{}, fmt.Errorf("user %.80s: /etc/group: %w", user, err)
	}
	defer closeFile(group)
	return ident.Lookup(w, reader(passwd), reader(group))
}

// reader is f, or a nil interface without one.
func reader(f *os.File) io.Reader {
	if f == nil {
		return nil
	}
	return f
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}
