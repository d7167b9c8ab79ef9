package lock

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carob/internal/fault"
	"carob/internal/pod/cell"
)

func of(name string) *cell.Progress { return &cell.Progress{Of: name, Tell: func(string) {}} }

func begun(t *testing.T, l *Lock, about *cell.Progress) (context.Context, func()) {
	t.Helper()
	op, end, err := l.Begin(t.Context(), about)
	if err != nil {
		t.Fatal(err)
	}
	return op, end
}

func TestWhoWaitsLearnsForWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := of("web")
		l := New("shop", of(""))
		_, end := begun(t, l, web)
		defer end()
		web.Set("process: start")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, _, err := l.Begin(ctx, nil)
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "pod shop: busy with web: process: start for 3s") {
			t.Errorf("%v", err)
		}
	})
}

func TestSeize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, db := of("web"), of("db")
		l := New("shop", of(""))
		op, end := begun(t, l, web)
		waits := make(chan error, 1)
		go func() {
			_, _, err := l.Begin(t.Context(), db)
			waits <- err
		}()
		synctest.Wait()
		seized := make(chan func(), 2)
		seize := func(about *cell.Progress) {
			go func() {
				end, err := l.Seize(t.Context(), about)
				if err != nil {
					t.Error(err)
				}
				seized <- end
			}()
			synctest.Wait()
		}
		seize(db)
		if op.Err() != nil {
			t.Error("an operation about web ends because db is wanted")
		}
		seize(nil)
		if !errors.Is(context.Cause(op), errInterrupted) {
			t.Errorf("a stop of the pod lets an operation go on: %v", context.Cause(op))
		}
		end()
		if err := <-waits; !fault.Is(err, fault.Conflict) {
			t.Errorf("an operation begins in a pod that is being stopped: %v", err)
		}
		(<-seized)()
		(<-seized)()
		_, end = begun(t, l, web)
		end()
	})
}
