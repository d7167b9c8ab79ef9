package nri

import (
	"github.com/containerd/nri/pkg/api"

	"carob/internal/nri/shown"
	"carob/internal/status"
)

// known is what plugins have been told of and not yet of its end.
type known struct {
	pods       map[string]*knownPod
	containers map[string]*api.Container
}

// knownPod is a pod. A solo pod's sandbox comes and goes with its container's process; for plugins
// it is there as long as the pod.
type knownPod struct {
	*api.PodSandbox
	solo, stopped bool
}

func newKnown() known {
	return known{map[string]*knownPod{}, map[string]*api.Container{}}
}

// pod is a pod as it was shown last, or its mere ID.
func (k known) pod(id string) *api.PodSandbox {
	if p := k.pods[id]; p != nil {
		return p.PodSandbox
	}
	return &api.PodSandbox{Id: id}
}

// teller is the plugins as the pump tells them what has happened.
type teller struct{ *Plugins }

// tell tells plugins of an event of the engine's.
func (n teller) tell(ev status.Event) {
	_ = n.converse(func() error {
		if ev.Type == "container" {
			if c := n.known.containers[ev.ContainerID]; c != nil {
				n.tellOfContainer(ev, c)
			}
		} else if p := n.known.pods[ev.PodID]; p != nil {
			n.tellOfPod(ev, p)
		}
		return nil
	})
}

func (n teller) tellOfPod(ev status.Event, p *knownPod) {
	stop := func() {
		if !p.stopped {
			p.stopped = true
			n.note("StopPodSandbox", n.library.StopPodSandbox(n.ctx, &api.StopPodSandboxRequest{Pod: p.PodSandbox}))
		}
	}
	switch ev.Action {
	case "stop", "exit":
		if !p.solo {
			stop()
		}
	case "remove":
		stop()
		delete(n.known.pods, p.Id)
		n.note("RemovePodSandbox", n.library.RemovePodSandbox(n.ctx, &api.RemovePodSandboxRequest{Pod: p.PodSandbox}))
	}
}

func (n teller) tellOfContainer(ev status.Event, c *api.Container) {
	p := n.known.pod(ev.PodID)
	switch now, err := n.engine.Container(c.Id); {
	case err != nil:
		if ev.Action == "exit" { // it has been removed since
			shown.End(c, ev)
		}
	case ev.Action == "create", ev.Action == "update": // what it is made from may be another now
		c = n.show(now)
		n.known.containers[c.Id] = c
	default:
		shown.Refresh(c, now)
	}
	switch ev.Action {
	case "create":
		n.note("PostCreateContainer", n.library.PostCreateContainer(n.ctx, &api.PostCreateContainerRequest{Pod: p, Container: c}))
	case "start":
		n.note("PostStartContainer", n.library.PostStartContainer(n.ctx, &api.PostStartContainerRequest{Pod: p, Container: c}))
	case "update":
		if !updater(n).own(c.Id) {
			n.note("PostUpdateContainer", n.library.PostUpdateContainer(n.ctx, &api.PostUpdateContainerRequest{Pod: p, Container: c}))
		}
	case "exit":
		r, err := n.library.StopContainer(n.ctx, &api.StopContainerRequest{Pod: p, Container: c})
		n.note("StopContainer", err)
		updater(n).apply(r.GetUpdate())
	case "remove":
		delete(n.known.containers, c.Id)
		n.note("RemoveContainer", n.library.RemoveContainer(n.ctx, &api.RemoveContainerRequest{Pod: p, Container: c}))
	}
}

// note logs that a plugin did not like what it was told: it has happened all the same.
func (n *Plugins) note(what string, err error) {
	if err != nil && n.ctx.Err() == nil {
		n.c.Log.Warn("nri: "+what, "cause", err)
	}
}
