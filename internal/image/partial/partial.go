// Package partial keeps the files of downloads under way, each under the digest of what it
// will be, so that the next daemon goes on where the last one was cut off. It believes
// nothing: whoever takes a file holds the whole against its digest.
//
// On disk: <dir>/<hex of digest>, written to from its start on. A file that nobody has
// taken is what a daemon left; Sweep removes it when it is old.
package partial

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Dir is a directory of such files. Its methods may be called concurrently.
type Dir struct {
	path string

	mu    sync.Mutex
	taken map[string]bool // names
}

// Open returns the files in a directory, and makes it when it is missing.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	return &Dir{path: path, taken: map[string]bool{}}, nil
}

// File is one download's, until Drop or Keep.
type File struct {
	*os.File
	// Have is how many bytes of it an earlier daemon left.
	Have int64

	dir  *Dir
	name string // empty when it has none
}

// Take opens the file of what will have this digest. When somebody has it already, it is
// an empty one without a name, which ends with the process.
func (d *Dir) Take(want digest.Digest) (*File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := want.Encoded()
	if d.taken[name] {
		return d.nameless()
	}
	f, err := os.OpenFile(filepath.Join(d.path, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	d.taken[name] = true
	return &File{File: f, Have: info.Size(), dir: d, name: name}, nil
}

func (d *Dir) nameless() (*File, error) {
	f, err := os.CreateTemp(d.path, "more-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File{File: f, dir: d}, nil
}

// Drop closes the file and removes it.
func (f *File) Drop() error { return f.end(true) }

// Keep closes the file and leaves it to whoever takes it next.
func (f *File) Keep() error { return f.end(false) }

func (f *File) end(remove bool) error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	var err error
	if remove && f.name != "" {
		err = os.Remove(f.File.Name())
	}
	delete(f.dir.taken, f.name)
	return errors.Join(err, f.Close())
}

// Sweep removes what nobody has taken and nobody has written to since a time.
func (d *Dir) Sweep(since time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	entries, err := os.ReadDir(d.path)
	errs := []error{err}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || d.taken[e.Name()] || err == nil && info.ModTime().After(since) {
			continue
		}
		errs = append(errs, os.Remove(filepath.Join(d.path, e.Name())))
	}
	return errors.Join(errs...)
}
