// Package steps runs steps of an operation beside or after one another.
package steps

import "sync"

// AtOnce runs independent steps at once and returns their errors in order. The
// last one runs in the caller's goroutine.
func AtOnce(steps ...func() error) []error {
	errs := make([]error, len(steps))
	var wg sync.WaitGroup
	last := len(steps) - 1
	for i, f := range steps[:last] {
		wg.Go(func() { errs[i] = f() })
	}
	errs[last] = steps[last]()
	wg.Wait()
	return errs
}

// InTurn runs one after the other, up to the first that fails.
func InTurn(steps ...func() error) []error {
	for _, f := range steps {
		if err := f(); err != nil {
			return []error{err}
		}
	}
	return nil
}
