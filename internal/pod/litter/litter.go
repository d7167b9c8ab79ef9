// Package litter removes what earlier daemons have left in directories of carob's own.
package litter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"carob/internal/plan/check"
)

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
