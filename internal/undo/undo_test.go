package undo_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carob/internal/undo"
)

func TestUnwindRunsBackwardsOnce(t *testing.T) {
	var s undo.Stack
	var ran []string
	bad := errors.New("bad")
	for _, name := range []string{"a", "b", "c"} {
		s.Push(name, func(context.Context) error {
			ran = append(ran, name)
			if name == "b" {
				return bad
			}
			return nil
		})
	}
	err := s.Unwind(t.Context())
	if !slices.Equal(ran, []string{"c", "b", "a"}) {
		t.Errorf("ran %v", ran)
	}
	if !errors.Is(err, bad) || err.Error() != "undo b: bad" {
		t.Errorf("error %v", err)
	}
	if err := s.Unwind(t.Context()); err != nil || len(ran) != 3 {
		t.Errorf("second time: %v, ran %v", err, ran)
	}
}

func TestOnErrorOnlyOnError(t *testing.T) {
	cause, bad := errors.New("cause"), errors.New("bad")
	run := func(fail error) (undone bool, err error) {
		var s undo.Stack
		func() {
			defer s.OnError(t.Context(), &err)
			s.Push("step", func(context.Context) error { undone = true; return bad })
			err = fail
		}()
		return undone, err
	}
	if undone, err := run(nil); undone || err != nil {
		t.Errorf("success: undone %v, error %v", undone, err)
	}
	undone, err := run(cause)
	if !undone || !errors.Is(err, cause) || !errors.Is(err, bad) || !strings.HasPrefix(err.Error(), "cause") {
		t.Errorf("failure: undone %v, error %v", undone, err)
	}
}

func TestUnwindOutlivesItsCallerButNotItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var s undo.Stack
		s.Push("stuck", func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				t.Error("cancelled with its caller:", err)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		begin := time.Now()
		if err := s.Unwind(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if d := time.Since(begin); d != undo.Timeout {
			t.Errorf("took %v", d)
		}
	})
}
