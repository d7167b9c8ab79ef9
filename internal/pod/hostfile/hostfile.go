// Package hostfile is what the engine does in the host's file system for its containers:
// sources of bind mounts, volumes, device nodes, pods' files of /etc, and directories that
// carry IDs.
package hostfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"carob/internal/fault"
	"carob/internal/plan/check"
	"carob/internal/spec"
	"carob/internal/undo"
)

// interruptibly runs f, which may block in the kernel, and stops waiting for it when
// ctx ends. f's goroutine then ends when the kernel lets it go.
func interruptibly(ctx context.Context, f func() error) error {
	if ctx.Done() == nil {
		return f()
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// source checks that the source of a bind mount is there, and makes a missing one if the mount
// says so, with its undo.
func source(m spec.Mount, u *undo.Stack) error {
	if !filepath.IsAbs(m.Source) {
		return fault.New(fault.Invalid, fmt.Sprintf("source %.200q: not an absolute path", m.Source))
	}
	_, err := os.Stat(m.Source)
	if !errors.Is(err, fs.ErrNotExist) || m.Create == "" {
		return check.Source(m.Source, err)
	}
	switch m.Create {
	case "dir":
		err = os.MkdirAll(m.Source, 0o755)
	case "file":
		if err = os.MkdirAll(filepath.Dir(m.Source), 0o755); err == nil {
			err = os.WriteFile(m.Source, nil, 0o644)
		}
	default:
		return fault.New(fault.Invalid, fmt.Sprintf("create %.20q unknown (dir, file)", m.Create))
	}
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	u.Push("mount source", func(context.Context) error {
		_ = os.Remove(m.Source) // whoever filled it meanwhile keeps it
		return nil
	})
	return nil
}

// Sweep removes entries that carry an ID as name and are not kept; others are
// somebody's.
func Sweep(dir string, keep func(path string) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("sweep: %w", err)
	}
	var errs []error
	for _, d := range entries {
		path := filepath.Join(dir, d.Name())
		if check.ID(d.Name()) && !keep(path) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}
