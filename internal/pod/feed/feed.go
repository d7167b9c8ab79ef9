// Package feed is a stream of numbered events that many may follow: it keeps the last
// few thousand for those who come back, and lets nobody hold it up.
package feed

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"carob/internal/status"
)

const (
	// subscriberRoom is how many events a subscriber may be behind.
	subscriberRoom = 1024
	// historyRoom is how many events are kept for those who come back.
	historyRoom = 4096
)

// Feed passes events on. Publishing never waits for a subscriber. Its methods may be
// called from any goroutine.
type Feed struct {
	// mu guards what follows. It is a leaf; sends in it never block.
	mu          sync.Mutex
	seq         uint64
	history     []status.Event // a ring once it is full, oldest at seq % historyRoom
	subscribers map[chan status.Event]struct{}
	closed      bool
}

// New returns a feed of nothing yet.
func New() *Feed { return &Feed{subscribers: map[chan status.Event]struct{}{}} }

// Publish numbers and dates an event and passes it on. After Close it does nothing.
func (f *Feed) Publish(ev status.Event) { f.PublishChange(ev, nil) }

// PublishChange is Publish of a change that show, unless it is nil, makes visible, without
// waiting for anything: whoever sees the change finds the event in the feed, and whoever
// gets the event sees the change.
func (f *Feed) PublishChange(ev status.Event, show func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if show != nil { // be the feed closed or not
		show()
	}
	if f.closed {
		return
	}
	ev.Time = time.Now()
	if len(f.history) < historyRoom {
		f.history = append(f.history, ev)
	} else {
		f.history[f.seq%historyRoom] = ev
	}
	slot := &f.history[f.seq%historyRoom]
	f.seq++
	ev.Seq = f.seq
	slot.Seq = f.seq
	for ch := range f.subscribers {
		f.sendLocked(ch, ev)
	}
}

// sendLocked keeps one place free for the word that events were lost.
func (f *Feed) sendLocked(ch chan status.Event, ev status.Event) {
	if len(ch) < cap(ch)-1 {
		ch <- ev
		return
	}
	ch <- status.Event{Seq: ev.Seq, Time: ev.Time, Type: "engine", Action: "lost"}
	f.dropLocked(ch)
}

func (f *Feed) dropLocked(ch chan status.Event) {
	if _, ok := f.subscribers[ch]; ok {
		delete(f.subscribers, ch)
		close(ch)
	}
}

// Close ends all subscriptions.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for ch := range f.subscribers {
		f.dropLocked(ch)
	}
}

// Subscribe returns the events numbered from and later, as far as they are still
// known, and then all that follow; 0 is only what follows. The channel is closed when
// ctx or the feed ends. A subscriber that falls more than some thousand events behind
// gets a last one with action "lost" and a closed channel.
func (f *Feed) Subscribe(ctx context.Context, from uint64) <-chan status.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	var old []status.Event
	if from > 0 {
		first := f.seq - uint64(len(f.history)) // the events first+1 … seq are known
		for n := max(from-1, first); n < f.seq; n++ {
			old = append(old, f.history[n%historyRoom])
		}
	}
	ch := make(chan status.Event, subscriberRoom+len(old))
	if f.closed {
		close(ch)
		return ch
	}
	for _, ev := range old {
		ch <- ev
	}
	f.subscribers[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.dropLocked(ch)
	})
	return ch
}

// Fields are an event's attributes as a log has them, in the order of their names.
func Fields(attributes map[string]string) []any {
	out := make([]any, 0, 2*len(attributes))
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		out = append(out, name, attributes[name])
	}
	return out
}
