package feed

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"carob/internal/status"
)

// numbers drains what is in the channel now.
func numbers(ch <-chan status.Event) (all []uint64) {
	for len(ch) > 0 {
		all = append(all, (<-ch).Seq)
	}
	return all
}

func TestSubscribe(t *testing.T) {
	f := New()
	defer f.Close()
	for range 3 {
		f.Publish(status.Event{})
	}
	for _, test := range []struct {
		from uint64
		want int // how many of the three
	}{{0, 0}, {1, 3}, {2, 2}, {3, 1}, {4, 0}, {1 << 63, 0}} {
		got := numbers(f.Subscribe(t.Context(), test.from))
		if len(got) != test.want || len(got) > 0 && got[0] != test.from {
			t.Errorf("from %d: %v, want %d events", test.from, got, test.want)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	f := New()
	defer f.Close()
	for range historyRoom + 10 {
		f.Publish(status.Event{})
	}
	got := numbers(f.Subscribe(t.Context(), 1))
	if len(got) != historyRoom || got[0] != 11 || got[len(got)-1] != historyRoom+10 {
		t.Errorf("%d events, first %d, last %d", len(got), got[0], got[len(got)-1])
	}
}

func TestSlowSubscriberIsTold(t *testing.T) {
	f := New()
	defer f.Close()
	ch := f.Subscribe(t.Context(), 0)
	for range subscriberRoom + 5 {
		f.Publish(status.Event{Action: "start"})
	}
	var last status.Event
	n := 0
	for ev := range ch { // closed, or this would not end
		last = ev
		n++
	}
	if last.Action != "lost" || n != subscriberRoom {
		t.Errorf("%d events, the last %+v", n, last)
	}
}

func TestSubscriptionEnds(t *testing.T) {
	f := New()
	ctx, cancel := context.WithCancel(t.Context())
	ended := f.Subscribe(ctx, 0)
	cancel()
	if _, open := <-ended; open {
		t.Error("an event after the end of ctx")
	}
	closed := f.Subscribe(t.Context(), 0)
	f.Close()
	if _, open := <-closed; open {
		t.Error("an event after Close")
	}
	f.Publish(status.Event{})
	if _, open := <-f.Subscribe(t.Context(), 1); open {
		t.Error("an event of a closed feed")
	}
}

// TestChangeIsSeenWithItsEvent: neither can be had without the other.
func TestChangeIsSeenWithItsEvent(t *testing.T) {
	f := New()
	defer f.Close()
	var shown atomic.Int64
	events := f.Subscribe(t.Context(), 0)
	const n = 1000
	go func() {
		for range n {
			f.PublishChange(status.Event{}, func() { shown.Add(1) })
		}
	}()
	for i := range int64(n) {
		if <-events; shown.Load() < i+1 {
			t.Fatalf("event %d came before its change", i+1)
		}
	}
}

func TestFields(t *testing.T) {
	if got := Fields(map[string]string{"reason": "Error", "code": "1"}); !slices.Equal(got, []any{"code", "1", "reason", "Error"}) {
		t.Errorf("%v", got)
	}
}
