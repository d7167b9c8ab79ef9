package cri

import (
	"context"
	"log/slog"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"carob/internal/fault"
)

// readAll reads many at once. What cannot be read is left out, for the others are not to be
// missed because of it: who reads says so (unread). The error is that ctx has ended.
func readAll[T, R any](ctx context.Context, all []T, read func(T) (*R, error)) ([]*R, error) {
	got := make([]*R, len(all))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if one, err := read(all[i]); err == nil {
					got[i] = one
				}
			}
		})
	}
	readers.Wait()
	out := got[:0]
	for _, one := range got {
		if one != nil {
			out = append(out, one)
		}
	}
	return out, ctx.Err()
}

// unread tells the log of what could not be read: once, until it can be. What nobody asked
// for in a while is forgotten.
type unread struct {
	log *slog.Logger

	mu   sync.Mutex           // guards what follows
	told map[string]time.Time // what, and when it was asked for last
}

// unreadable is something that was read, with what came of it.
type unreadable struct {
	what, id string
	err      error
}

// note returns the error. One of something that has ended, or of a caller who has left, is
// not worth a line.
func (u *unread) note(ctx context.Context, r unreadable) error {
	key, now := r.what+" "+r.id, time.Now()
	u.mu.Lock()
	defer u.mu.Unlock()
	_, known := u.told[key]
	switch {
	case r.err == nil, fault.Is(r.err, fault.NotFound):
		delete(u.told, key)
	case ctx.Err() != nil:
	case known:
		u.told[key] = now
	default:
		maps.DeleteFunc(u.told, func(_ string, at time.Time) bool { return now.Sub(at) > keepReading })
		u.told[key] = now
		u.log.WarnContext(ctx, "figures cannot be read: left out", "of", r.what, "id", r.id, "error", r.err)
	}
	return r.err
}
