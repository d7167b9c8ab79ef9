package logfile

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strconv"

	"carob/internal/fault"
)

// before names the n-th file before the one at path, path itself being the 0th.
func before(path string, n int) string {
	if n == 0 {
		return path
	}
	return path + "." + strconv.Itoa(n)
}

// Log is a log with its bounds; none with an empty Path. Unless Size is 0 another file is
// begun when the one at Path has come to about that many bytes, and Files of them are kept.
type Log struct {
	Path  string
	Size  int64
	Files int
}

// Rotate moves the file at the log's path out of the way if it has come to its size: it
// becomes path.1, what was that path.2, and so on, so that as many are left as are to be kept
// with the next one at path. It reports whether the writer, which goes on in the renamed
// file, is now to be given the one at path, which the caller makes: also where an earlier
// rotation has been cut short before that, and nothing or an empty file is there.
func (l Log) Rotate() (next bool, err error) {
	info, err := os.Stat(l.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return true, nil
	}
	if err != nil {
		return false, fault.Wrap(fault.Internal, "log", err)
	}
	if info.Size() < l.Size {
		return false, nil
	}
	if l.Files <= 1 {
		err = os.Remove(l.Path)
	}
	for n := l.Files - 1; n > 0 && err == nil; n-- {
		if err = os.Rename(before(l.Path, n-1), before(l.Path, n)); n > 1 && errors.Is(err, fs.ErrNotExist) {
			err = nil // there have not been so many yet
		}
	}
	if err != nil {
		return false, fault.Wrap(fault.Internal, "log: rotate", err)
	}
	return true, nil
}

// Remove removes a log with all files before it. That there is none is no error.
func Remove(path string) error {
	var errs []error
	for name := range names(path) {
		errs = append(errs, os.Remove(name))
	}
	return errors.Join(errs...)
}

// names are those of a log's files, the newest first. A rotation that is under way, or was
// cut short, leaves one out.
func names(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for n, missing := 0, 0; missing < 2; n++ {
			missing++
			if _, err := os.Lstat(before(path, n)); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			missing = 0
			if !yield(before(path, n)) {
				return
			}
		}
	}
}

// open opens the files of a log that are newer than the one that is given, or all of them
// for nil, oldest first. The newest is left out while it is empty and others are there:
// only when it has content has the writer left the one before.
//
// Files only move away from path, so that a rotation in the middle can show one twice,
// which is seen, and hide none.
func open(path string, than os.FileInfo) (files []*os.File, err error) {
	var seen []os.FileInfo
	for name := range names(path) {
		f, info, err := openFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // moved on
		}
		if err != nil {
			closeAll(files)
			return nil, err
		}
		same := func(other os.FileInfo) bool { return os.SameFile(info, other) }
		if than != nil && same(than) {
			_ = f.Close() // only read from
			break
		}
		if slices.ContainsFunc(seen, same) {
			_ = f.Close() // only read from
			continue
		}
		files, seen = append(files, f), append(seen, info)
	}
	if len(files) > 0 && seen[0].Size() == 0 && (than != nil || len(files) > 1) {
		_ = files[0].Close() // only read from
		files = files[1:]
	}
	slices.Reverse(files)
	return files, nil
}

func openFile(name string) (*os.File, os.FileInfo, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // only read from
	}
}
