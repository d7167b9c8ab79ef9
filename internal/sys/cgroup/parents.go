package cgroup

import (
	"errors"
	"fmt"
	"iter"
	"path"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// A parent that Create makes carries a mark in the kernel, so that whoever empties it
// knows, even after a crash, that it may go; one that was there before is somebody
// else's and stays. The mark is an extended attribute, which cgroup file systems
// keep in memory with the directory; "trusted" ones only the host's root sees and
// sets. A parent that could not be marked (no such right, or a crash between mkdir and
// mark) stays behind empty.
const markName = "trusted.carob.parent"

// The marks, by who removes the parent.
const (
	byRemove = "remove" // the last Remove below it
	byPrune  = "prune"  // Prune alone
)

// maxRetries bounds how often Create makes a parent anew. Each time another call has
// emptied and removed it in between, so two or three are rare.
const maxRetries = 1000

// parents yields the parents of a group, outermost first: /a and /a/b of /a/b/c.
func parents(rel string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 1; i < len(rel); i++ {
			if rel[i] == '/' && !yield(rel[:i]) {
				return
			}
		}
	}
}

// mkdirs makes rel in one tree, which must not exist, and its parents, which may, and
// appends each to made, parents first. Parents get their marks.
func (l *Layout) mkdirs(t hierarchy, rel string, made *[]string) error {
	dir := t.dir + rel
	var err error
	for range maxRetries {
		if err = unix.Mkdir(dir, 0o755); err != unix.ENOENT {
			break
		}
		if err := l.mkparents(t, rel, made); err != nil {
			return fault.Wrap(kind(err), "", err)
		}
	}
	if err != nil {
		return fault.Wrap(kind(err), "", pathError("mkdir", dir, err))
	}
	*made = append(*made, dir)
	return nil
}

// mkparents makes the parents that are missing. One may be removed meanwhile, by the
// Remove of a neighbour: that is success, and the caller's to notice. A scope is
// systemd's to make, and what is above it.
func (l *Layout) mkparents(t hierarchy, rel string, made *[]string) error {
	scope := scopeOf(rel)
	for parent := range parents(rel) {
		dir := t.dir + parent
		if len(parent) <= len(scope) {
			if !exists(dir) {
				return fault.Wrap(fault.NotFound, "systemd has no such scope", pathError("stat", dir, unix.ENOENT))
			}
			continue
		}
		switch err := unix.Mkdir(dir, 0o755); {
		case err == unix.EEXIST:
			continue
		case err == unix.ENOENT && path.Dir(parent) != "/":
			return nil
		case err != nil:
			return pathError("mkdir", dir, err)
		}
		*made = append(*made, dir)
		mark := byRemove
		if parent == l.keep {
			mark = byPrune
		}
		_ = unix.Lsetxattr(dir, markName, []byte(mark), 0) // without it, the parent stays
	}
	return nil
}

// leave removes the parents of a group that has gone from the tree, innermost first,
// up to the first that is in use or not marked for it.
func (t hierarchy) leave(rel string) error {
	for parent := path.Dir(rel); parent != "/"; parent = path.Dir(parent) {
		if gone, err := t.dismiss(parent, byRemove); err != nil || !gone {
			return err
		}
	}
	return nil
}

// dismiss removes a parent with this mark if it is empty, and reports whether it has
// gone.
func (t hierarchy) dismiss(rel, mark string) (bool, error) {
	dir := t.dir + rel
	var b [16]byte
	n, err := unix.Lgetxattr(dir, markName, b[:])
	if err == nil && string(b[:n]) == mark {
		err = unix.Rmdir(dir)
	} else if err != unix.ENOENT {
		return false, nil
	}
	switch err {
	case nil, unix.ENOENT:
		return true, nil
	case unix.EBUSY, unix.ENOTEMPTY:
		return false, nil
	}
	return false, pathError("rmdir", dir, err)
}

// Keep names a parent that is there for many groups, one after the other: Create makes
// it when it is missing, and Remove leaves it for Prune to remove. It is called before
// the layout is used by more than one goroutine.
func (l *Layout) Keep(rel string) { l.keep = rel }

// Prune removes the parent that Keep names, and the group Aside, from every tree in
// which it is empty, if a Create made it. One that is in use stays, without an error.
func (l *Layout) Prune() error {
	if l.keep == "" {
		return nil
	}
	errs := l.dismissAside()
	for _, t := range l.trees {
		gone, err := t.dismiss(l.keep, byPrune)
		if gone {
			err = t.leave(l.keep)
		}
		errs = errors.Join(errs, err)
	}
	if errs != nil {
		return fmt.Errorf("cgroup %s: prune: %w", l.keep, errs)
	}
	return nil
}
