package pod

import (
	"context"
	"strconv"

	"carob/internal/pod/feed"
	"carob/internal/status"
)

// Events returns the events numbered from and later, and all that follow; 0 is only
// what follows. See feed.Feed.Subscribe.
func (e *Engine) Events(ctx context.Context, from uint64) <-chan status.Event {
	return e.events.Subscribe(ctx, from)
}

// event tells of p, and writes the log's one line for the change.
func (p *pod) event(action string, attributes map[string]string) {
	p.e.events.Publish(status.Event{Type: "pod", Action: action, PodID: p.id, PodName: p.name, Attributes: attributes})
	p.e.d.Log.Info("pod "+action, append([]any{"pod", p.id, "name", p.title()}, feed.Fields(attributes)...)...)
}

// event tells of c, and writes the log's one line for the change.
func (c *container) event(action string, attributes map[string]string) {
	c.tell(action, attributes, nil)
	c.log(action, attributes)
}

// tell is event without the log: quick enough to be called with c.mu held, so that events
// come in the order of states; show makes visible what is told: see feed.PublishChange.
func (c *container) tell(action string, attributes map[string]string, show func()) {
	c.e.events.PublishChange(status.Event{
		Type: "container", Action: action, PodID: c.pod.id, PodName: c.pod.name, ContainerID: c.id, Name: c.name, Attributes: attributes,
	}, show)
}

func (c *container) log(action string, attributes map[string]string) {
	c.e.d.Log.Info("container "+action, append([]any{"container", c.id, "pod", c.pod.id, "name", c.title()}, feed.Fields(attributes)...)...)
}

func exitAttributes(x status.Exit, reason string) map[string]string {
	return map[string]string{"code": strconv.Itoa(x.Code), "reason": reason}
}
