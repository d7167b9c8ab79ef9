// Package cdi turns the names of CDI devices into what a container is given for them: nodes,
// mounts, variables, groups, hooks, as the Container Device Interface's specification files
// on the host say (https://github.com/cncf-tags/container-device-interface, SPEC.md).
//
// It reads the files of some directories and writes none. A request that names devices looks at
// the directories and reads again what has changed since the last one, so that a device which
// a driver has described a moment before is found; a request that names none does nothing at
// all. Files are an administrator's or a driver's, and may be broken: one that is
// larger than a megabyte, no regular file or not a specification is named in the error of
// whoever asks for a device that is not found, and hurts nobody else.
//
// Locks: Store.mu guards what was read, and is held while files are read.
package cdi

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	lib "tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"carob/internal/fault"
	"carob/internal/plan/adjust"
	"carob/internal/spec"
)

const (
	// maxFile bounds a specification file, in bytes; that of a host with eight GPUs has 30 KB.
	maxFile = 1 << 20
	// maxFiles bounds the specification files of a directory.
	maxFiles = 1000
	// maxDevices bounds the devices of a container.
	maxDevices = 256
)

// Store is the CDI devices of this host. Its methods may be called from any goroutine.
type Store struct {
	dirs []string

	mu    sync.Mutex
	files map[string]file
}

// file is a specification file as it was read: spec or err.
type file struct {
	info fs.FileInfo
	spec *lib.Spec
	err  error
}

// fresh reports whether the file is still what was read. One that is written in place, as many
// bytes in the same clock tick, passes for unchanged.
func (f file) fresh(now fs.FileInfo) bool {
	return f.info != nil && os.SameFile(f.info, now) && f.info.Size() == now.Size() && f.info.ModTime().Equal(now.ModTime())
}

// New returns a store of what the directories describe; of two descriptions of a device that in
// the later directory counts. The directories need not be there. Nothing is read yet.
func New(dirs []string) *Store { return &Store{dirs: dirs, files: map[string]file{}} }

// Inject returns c with what the CDI devices are made of that its CDIDevices and its annotations
// (cdi.k8s.io/…) name; nil when they name none. NotFound is about a device and tells which
// files are broken; Invalid and Unsupported name the device and the file.
func (s *Store) Inject(c *spec.Container) (*spec.Container, error) {
	names, err := named(c)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return nil, err
	}
	out := *c
	seen := map[*lib.Spec]bool{}
	for _, name := range names {
		d, err := s.find(name)
		if err != nil {
			return nil, fmt.Errorf("CDI device %s: %w", name, err)
		}
		if err := add(&out, d, seen); err != nil {
			return nil, fmt.Errorf("CDI device %s: %s: %w", name, d.GetSpec().GetPath(), err)
		}
	}
	return &out, nil
}

// named collects the devices that c asks for, each once.
func named(c *spec.Container) ([]string, error) {
	var keys []string
	for key := range c.Annotations {
		if strings.HasPrefix(key, lib.AnnotationPrefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys) // in an order, so that equal requests make equal containers
	all := slices.Clone(c.CDIDevices)
	for _, key := range keys {
		all = append(all, strings.Split(c.Annotations[key], ",")...)
	}
	if len(all) > maxDevices {
		return nil, fault.New(fault.Invalid, fmt.Sprintf("CDI devices: more than %d", maxDevices))
	}
	var out []string
	for _, name := range all {
		if !parser.IsQualifiedName(name) {
			return nil, fault.New(fault.Invalid, fmt.Sprintf("CDI device %.200q: is not of the form vendor.com/class=name", name))
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// add applies the edits of a device, and before those of the first device of its file the
// file's own.
func add(c *spec.Container, d *lib.Device, seen map[*lib.Spec]bool) error {
	edits := &specs.Spec{}
	if file := d.GetSpec(); !seen[file] {
		seen[file] = true
		if err := file.ApplyEdits(edits); err != nil {
			return fault.Wrap(fault.Invalid, "", err)
		}
	}
	if err := d.ApplyEdits(edits); err != nil {
		return fault.Wrap(fault.Invalid, "", err)
	}
	return adjust.Edits(c, edits)
}

// find returns a device of the last directory that has it.
func (s *Store) find(name string) (*lib.Device, error) {
	vendor, class, device := parser.ParseDevice(name)
	var found *lib.Device
	for _, path := range slices.Sorted(maps.Keys(s.files)) {
		f := s.files[path].spec
		if f == nil || f.GetVendor() != vendor || f.GetClass() != class {
			continue
		}
		d := f.GetDevice(device)
		switch {
		case d == nil || found != nil && found.GetSpec().GetPriority() > f.GetPriority():
		case found != nil && found.GetSpec().GetPriority() == f.GetPriority():
			return nil, fault.New(fault.Conflict, fmt.Sprintf("both %s and %s describe it", found.GetSpec().GetPath(), path))
		default:
			found = d
		}
	}
	if found == nil {
		return nil, s.missing()
	}
	return found, nil
}

// missing says what was looked through, and what could not be.
func (s *Store) missing() error {
	text := "no specification in " + strings.Join(s.dirs, ", ") + " describes it"
	const most = 5
	broken := 0
	for _, path := range slices.Sorted(maps.Keys(s.files)) {
		if err := s.files[path].err; err != nil && broken < most {
			broken++
			text += fmt.Sprintf("; %s: %.300v", path, err)
		}
	}
	return fault.New(fault.NotFound, text)
}

// refresh reads what has changed, and forgets what is gone.
func (s *Store) refresh() error {
	there := map[string]bool{}
	for priority, dir := range s.dirs {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.Wrap(fault.Unavailable, "CDI", err)
		}
		if len(entries) > maxFiles {
			return fault.New(fault.Invalid, fmt.Sprintf("CDI: %s: more than %d files", dir, maxFiles))
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext == ".json" || ext == ".yaml" {
				path := filepath.Join(dir, e.Name())
				there[path] = true
				s.look(path, priority)
			}
		}
	}
	maps.DeleteFunc(s.files, func(path string, _ file) bool { return !there[path] })
	return nil
}

// look reads a file unless it is as it was.
func (s *Store) look(path string, priority int) {
	info, err := os.Stat(path)
	if err != nil {
		s.files[path] = file{err: err}
		return
	}
	if s.files[path].fresh(info) {
		return
	}
	now := file{info: info}
	switch {
	case !info.Mode().IsRegular(): // reading a FIFO would not end
		now.err = errors.New("is not a regular file")
	case info.Size() > maxFile:
		now.err = fmt.Errorf("is larger than %d bytes", maxFile)
	default:
		now.spec, now.err = lib.ReadSpec(path, priority)
	}
	s.files[path] = now
}
