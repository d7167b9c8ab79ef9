package cgroup

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// asideName is the group beside the pods', below the parent that Keep names.
const asideName = "/supervisors"

// Aside opens the group of processes that must outlive the daemon and have no other
// group, and makes it if it is missing; Prune removes it. In the daemon's own group
// they would end with it: a service manager kills a unit's group when the unit stops.
// It is made only in the tree by which a service manager knows its processes, v2 or
// v1's name=systemd; what it holds is limited by nobody. Without such a tree, or without
// Keep, the entry is empty. Who joins may find it removed by another daemon's
// Prune and opens it again.
func (l *Layout) Aside() (a Entry, err error) {
	if l.keep == "" {
		return Entry{}, nil
	}
	for _, t := range l.trees {
		if !t.v2 && len(t.controllers) > 0 {
			continue
		}
		f, err := l.openAside(t)
		switch {
		case err != nil:
			a.Close()
			return Entry{}, fault.Wrap(kind(err), "cgroup "+l.keep+asideName, err)
		case t.v2:
			a.Dir = f
		default:
			a.Files = append(a.Files, f)
		}
	}
	return a, nil
}

// openAside opens the group's directory on v2, its tasks on v1.
func (l *Layout) openAside(t hierarchy) (*os.File, error) {
	for tries := 1; ; tries++ {
		name, err := l.makeAside(t)
		if err != nil {
			return nil, err
		}
		flags := unix.O_PATH | unix.O_DIRECTORY
		if !t.v2 {
			name, flags = name+"/tasks", unix.O_WRONLY
		}
		fd, err := open(name, flags)
		if err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
		if !gone(err) || tries == maxRetries { // else another daemon's Prune came in between
			return nil, err
		}
	}
}

func (l *Layout) makeAside(t hierarchy) (dir string, err error) {
	rel := l.keep + asideName
	for range maxRetries { // a parent may be pruned meanwhile
		if err = unix.Mkdir(t.dir+rel, 0o755); err != unix.ENOENT {
			break
		}
		var made []string
		if err := l.mkparents(t, rel, &made); err != nil {
			return "", err
		}
	}
	if err == unix.EEXIST {
		return t.dir + rel, nil
	}
	if err == nil {
		_ = unix.Lsetxattr(t.dir+rel, markName, []byte(byPrune), 0) // without it, it stays
	}
	return t.dir + rel, pathError("mkdir", t.dir+rel, err)
}

// dismissAside removes the group in every tree in which it is empty.
func (l *Layout) dismissAside() error {
	var errs error
	for _, t := range l.trees {
		_, err := t.dismiss(l.keep+asideName, byPrune)
		errs = errors.Join(errs, err)
	}
	return errs
}
