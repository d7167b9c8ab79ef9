// Package steps runs the steps of an operation that do not depend on each other at once, and
// those that do in turn.
package steps

import "sync"

// Parallel runs steps at once and returns their errors in order. The last one runs in the
// caller's goroutine. There must be one at least.
func Parallel(steps ...func() error) []error {
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
