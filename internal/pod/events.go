package pod

import (
	"context"
	"strconv"
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

// hub passes events on. Publishing never waits for a subscriber.
type hub struct {
	// mu guards what follows. It is a leaf; sends in it never block.
	mu          sync.Mutex
	seq         uint64
	history     []status.Event // a ring once it is full, oldest at seq % historyRoom
	subscribers map[chan status.Event]struct{}
	closed      bool
}

func newHub() *hub { return &hub{subscribers: map[chan status.Event]struct{}{}} }

func (h *hub) publish(ev status.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	ev.Time = time.Now()
	if len(h.history) < historyRoom {
		h.history = append(h.history, ev)
	} else {
		h.history[h.seq%historyRoom] = ev
	}
	slot := &h.history[h.seq%historyRoom]
	h.seq++
	ev.Seq = h.seq
	slot.Seq = h.seq
	for ch := range h.subscribers {
		h.sendLocked(ch, ev)
	}
}

// sendLocked keeps one place free for the word that events were lost.
func (h *hub) sendLocked(ch chan status.Event, ev status.Event) {
	if len(ch) < cap(ch)-1 {
		ch <- ev
		return
	}
	ch <- status.Event{Seq: ev.Seq, Time: ev.Time, Type: "engine", Action: "lost"}
	h.dropLocked(ch)
}

func (h *hub) dropLocked(ch chan status.Event) {
	if _, ok := h.subscribers[ch]; ok {
		delete(h.subscribers, ch)
		close(ch)
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for ch := range h.subscribers {
		h.dropLocked(ch)
	}
}

// Events returns the events after the one numbered since, as far as they are still
// known, and then all that follow; 0 is only what follows. The channel is closed
// when ctx or the engine ends. A subscriber that falls more than some hundred
// events behind gets a last one with action "lost" and a closed channel.
func (e *Engine) Events(ctx context.Context, since uint64) <-chan status.Event {
	h := e.events
	h.mu.Lock()
	defer h.mu.Unlock()
	var old []status.Event
	if since > 0 && since < h.seq {
		first := h.seq - uint64(len(h.history)) // the events first+1 … seq are known
		for n := max(since, first); n < h.seq; n++ {
			old = append(old, h.history[n%historyRoom])
		}
	}
	ch := make(chan status.Event, subscriberRoom+len(old))
	if h.closed {
		close(ch)
		return ch
	}
	for _, ev := range old {
		ch <- ev
	}
	h.subscribers[ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.dropLocked(ch)
	})
	return ch
}

// event tells of p, and writes the log's one line for the change.
func (p *pod) event(action string, attributes map[string]string) {
	p.e.events.publish(status.Event{Type: "pod", Action: action, PodID: p.id, PodName: p.name, Attributes: attributes})
	p.e.d.Log.Info("pod "+action, "pod", p.id, "name", p.title(), "attributes", attributes)
}

// event tells of c, and writes the log's one line for the change.
func (c *container) event(action string, attributes map[string]string) {
	c.tell(action, attributes)
	c.log(action, attributes)
}

// tell is event without the log: quick enough to be called with c.mu held, so that
// events come in the order of states.
func (c *container) tell(action string, attributes map[string]string) {
	c.e.events.publish(status.Event{
		Type: "container", Action: action, PodID: c.pod.id, PodName: c.pod.name, ContainerID: c.id, Name: c.name, Attributes: attributes,
	})
}

func (c *container) log(action string, attributes map[string]string) {
	c.e.d.Log.Info("container "+action, "container", c.id, "name", c.title(), "attributes", attributes)
}

func exitAttributes(x status.Exit, reason string) map[string]string {
	return map[string]string{"code": strconv.Itoa(x.Code), "reason": reason}
}
