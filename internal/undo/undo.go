// Package undo keeps what must be taken back when a later step does not succeed.
// The undo of a step stands beside the step; it runs in reverse order, is not
// stopped by the caller's cancellation, and what goes wrong in it is joined to
// the cause.
package undo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Timeout bounds one whole unwinding: a caller that has gone away must not leave
// half a pod behind, and a stuck kernel must not keep a lock forever.
const Timeout = 30 * time.Second

type step struct {
	name string
	back func(context.Context) error
}

// Stack collects undo steps. The zero value is ready; it is not safe for
// concurrent use.
type Stack struct{ steps []step }

// Push adds the undo of a step that has just succeeded.
func (s *Stack) Push(name string, back func(context.Context) error) {
	s.steps = append(s.steps, step{name, back})
}

// OnError runs the stack when *err is not nil; use it in a defer with the named
// result.
func (s *Stack) OnError(ctx context.Context, err *error) {
	if *err == nil {
		return
	}
	*err = errors.Join(*err, s.Unwind(ctx))
}

// Unwind runs all steps, last first, detached from ctx's cancellation and bounded
// by Timeout, empties the stack, and returns the joined errors.
func (s *Stack) Unwind(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
	defer cancel()
	var errs []error
	for i := len(s.steps) - 1; i >= 0; i-- {
		if err := s.steps[i].back(ctx); err != nil {
			errs = append(errs, fmt.Errorf("undo %s: %w", s.steps[i].name, err))
		}
	}
	s.steps = nil
	return errors.Join(errs...)
}
