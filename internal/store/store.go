// Package store keeps records as JSON documents on a memory file system: one file
// per record, <dir>/<kind>/<id>.json, 0600 in directories of 0700.
//
// A record is written to a temporary file that takes its place in one step, so that
// a reader, or the next daemon, finds it whole or not at all. Nothing is flushed:
// the directory is tmpfs and lives as long as the machine runs. Temporary files are
// removed when their kind is loaded. One process owns a directory at a time.
//
// The package refuses kinds and IDs that are no plain file names; a record that
// cannot be read is an error that names its file and never hides the others.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"carob/internal/fault"
	"carob/internal/sys/fd"
)

const (
	suffix    = ".json"
	temporary = ".tmp"
)

// Store is the records below one directory. Its methods may be called concurrently;
// writers of one record take turns.
type Store struct {
	dir string
	// kinds has the names of kinds whose directory is there.
	kinds sync.Map
	// turns keeps two writers of one record from sharing a temporary file: one of 64
	// by the ID's last byte.
	turns [64]sync.Mutex
}

// Open makes the directory if it is missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &Store{dir: dir}, nil
}

// Put writes a record, replacing the one that was there. A failed Put leaves the old
// one.
func (s *Store) Put(kind, id string, value any) error {
	path, err := s.path(kind, id)
	if err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("store: %s %s: %w", kind, id, err)
	}
	if _, there := s.kinds.Load(kind); !there {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		s.kinds.Store(kind, true)
	}
	turn := &s.turns[id[len(id)-1]%64]
	turn.Lock()
	defer turn.Unlock()
	if err := replace(path, text); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// replace writes beside the record and exchanges the two. The file that was the
// record stays as the next one's temporary: on a disk a new inode for every change
// costs more than the change, and one per record is all it takes.
func replace(path string, text []byte) error {
	tmp := path + temporary
	err := write(tmp, text)
	if err == nil {
		err = fd.Exchange(tmp, path)
		if errors.Is(err, fs.ErrNotExist) { // the first of its name
			err = os.Rename(tmp, path)
		}
	}
	if err != nil {
		_ = os.Remove(tmp) // a full file system keeps no half record
	}
	return err
}

// write overwrites rather than truncates: ext4 sends a file that was cut to nothing
// to the disk when it is closed.
func write(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Truncate(int64(len(text)))
	}
	return errors.Join(err, f.Close())
}

// Load calls each with every record of a kind, in the order of IDs, and removes the
// temporary files of writers that did not live to rename them. What each refuses,
// or what cannot be read or is not JSON, is skipped; the error joins all of it,
// each with the name of its file.
func (s *Store) Load(kind string, each func(id string, raw []byte) error) error {
	if err := check("kind", kind); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, kind)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var errs []error
	for _, d := range entries {
		path := filepath.Join(dir, d.Name())
		if strings.HasSuffix(d.Name(), temporary) {
			errs = append(errs, os.Remove(path))
			continue
		}
		id, isRecord := strings.CutSuffix(d.Name(), suffix)
		if !isRecord || check("id", id) != nil {
			errs = append(errs, fault.New(fault.Invalid, "store: "+path+": is not a record"))
			continue
		}
		if err := load(path, id, each); err != nil {
			errs = append(errs, fmt.Errorf("store: %s: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

func load(path, id string, each func(id string, raw []byte) error) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return errors.Unwrap(err) // the caller names the path
	}
	if !json.Valid(text) {
		return fault.New(fault.Invalid, "is damaged (not JSON); remove the file once what it describes is gone")
	}
	return each(id, text)
}

// Delete removes a record; one that is not there is removed already.
func (s *Store) Delete(kind, id string) error {
	path, err := s.path(kind, id)
	if err != nil {
		return err
	}
	turn := &s.turns[id[len(id)-1]%64]
	turn.Lock()
	defer turn.Unlock()
	for _, name := range []string{path, path + temporary} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

func (s *Store) path(kind, id string) (string, error) {
	if err := check("kind", kind); err != nil {
		return "", err
	}
	if err := check("id", id); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, kind, id+suffix), nil
}

// check keeps keys to plain file names.
func check(what, key string) error {
	if key == "" || len(key) > 128 || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return fault.New(fault.Invalid, fmt.Sprintf("store: %s %.80q: want 1 to 128 letters, digits, '_' or '-'", what, key))
	}
	return nil
}
