package execs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"carob/internal/fault"
	"carob/internal/status"
)

// bench is the machine under a table.
type bench struct {
	mu      sync.Mutex
	records map[string][]byte
	killed  []string
}

func (b *bench) Put(_, id string, v any) (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records[id], err = json.Marshal(v)
	return err
}

func (b *bench) Load(_ string, each func(string, []byte) error) error {
	b.mu.Lock()
	all := maps.Clone(b.records)
	b.mu.Unlock()
	for id, raw := range all {
		if err := each(id, raw); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) Delete(_, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.records, id)
	return nil
}

func (b *bench) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.records)
}

func (b *bench) KillExec(_ context.Context, _, id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.killed = append(b.killed, id)
	return nil
}

func (b *bench) Forget(context.Context, string, string) error { return nil }

func (b *bench) table(ctx context.Context) *Table {
	return New(Deps{Processes: b, Store: b, Log: slog.New(slog.DiscardHandler), Context: ctx, After: func(d time.Duration, f func()) *time.Timer { return time.AfterFunc(d, f) }})
}

func id(digit string) string { return strings.Repeat(digit, 64) }

// TestNextDaemon: what an exec has come to while no daemon ran.
func TestNextDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{records: map[string][]byte{}}
		in := Container{ID: "c", PodID: "p", Title: "web"}
		due := time.Now().Add(time.Second)
		ctx, die := context.WithCancel(t.Context())
		first := b.table(ctx)
		for _, n := range []string{"1", "2", "3", "4", "5"} {
			x := Exec{ID: id(n), Container: in, Due: due}
			if n == "5" {
				x.Container.ID = "gone"
			}
			if err := first.Run(x, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if err := first.Run(Exec{ID: id("6"), Container: in}, func() error { return errors.New("no such command") }); err == nil || b.count() != 5 {
			t.Errorf("a start that failed: %v, %d records", err, b.count())
		}
		die()
		first.Close()

		next := b.table(t.Context())
		defer next.Close()
		known := func(container string) (Container, bool) { return in, container == "c" }
		if err := next.Load(known, true); err != nil || b.count() != 4 {
			t.Errorf("%v, %d records", err, b.count())
		}
		next.Adopt("c", func(x string) (*status.Exit, bool) {
			switch x {
			case id("1"): // runs on
				return nil, true
			case id("2"):
				return &status.Exit{Code: 7, At: due.Add(-time.Millisecond)}, true
			case id("3"): // by its deadline
				return &status.Exit{Code: 137, At: due}, true
			}
			return nil, false // waited for
		})
		if x, err := next.Wait(t.Context(), id("2")); err != nil || x.Code != 7 {
			t.Errorf("%+v, %v", x, err)
		}
		var late *status.DeadlineError
		if x, err := next.Wait(t.Context(), id("3")); !errors.As(err, &late) || x.Code != 137 {
			t.Errorf("%+v, %v", x, err)
		}
		if _, err := next.Wait(t.Context(), id("4")); !fault.Is(err, fault.NotFound) {
			t.Error(err)
		}
		if !next.Runs("c") {
			t.Error("one runs on")
		}
		if x, err := next.Wait(t.Context(), id("1")); !errors.As(err, &late) || x.Code != 137 || len(b.killed) != 1 {
			t.Errorf("%+v, %v; killed %q", x, err, b.killed)
		}
		synctest.Wait()
		if b.count() != 0 || len(next.In("c")) != 0 {
			t.Errorf("stays: %d records, %d execs", len(b.records), len(next.In("c")))
		}
	})
}
