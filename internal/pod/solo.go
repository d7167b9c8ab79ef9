package pod

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/plan/check"
	"carob/internal/pod/attempt"
	"carob/internal/pod/name"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/undo"
)

// CreateSolo makes a pod around a single container, and that container, or nothing.
// The container's name is unique among solo containers; the pod has it too. Nothing
// runs yet: a solo pod's sandbox comes and goes with the container's process, so
// that a created or exited container holds no namespaces.
func (e *Engine) CreateSolo(ctx context.Context, p spec.Pod, c spec.Container) (status.Container, error) {
	p.Solo = true
	if c.Name == "" {
		c.Name = p.Name
	}
	p.Name = c.Name
	err := check.Container(&c)
	if err == nil { // what is wrong with the name is wrong with both
		err = cmp.Or(check.Pod(&p), e.d.Sandboxes.Admit(&p))
	}
	if err != nil {
		return status.Container{}, err
	}
	type pair struct {
		pod       spec.Pod
		container spec.Container
	}
	r, err := e.attempts.Do(ctx, attempt.Request{
		Key:     strings.Join([]string{"solo", c.Name, anonymous(c.Name)}, "\n"),
		Want:    pair{p, c},
		Title:   "container " + c.Name,
		Run:     func(ctx context.Context) (any, error) { return maker{e}.createSolo(ctx, p, c) },
		Exists:  func(r any) bool { return !r.(*container).view.Load().gone },
		Discard: func(r any) { maker{e}.discardContainer(r.(*container)) },
	})
	if err != nil {
		return status.Container{}, err
	}
	return r.(*container).snapshot(), nil
}

func (e maker) createSolo(ctx context.Context, s spec.Pod, c spec.Container) (_ *container, err error) {
	p, err := registry(e).admitSolo(s)
	if err != nil {
		return nil, err
	}
	var u undo.Stack
	defer u.OnError(ctx, &err)
	u.Push("name", func(context.Context) error { e.disown(p); return nil })
	ctx, end, err := p.lock.Begin(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := e.layPod(ctx, p, &u); err != nil {
		return nil, err
	}
	c.Name = p.name
	if err := e.d.Plugins.RunPod(ctx, p.view.Load().status); err != nil {
		return nil, fmt.Errorf("container %s: %w", p.name, err)
	}
	u.Push("plugins", func(context.Context) error { e.d.Plugins.Forget(p.id, ""); return nil })
	made, err := e.create(ctx, p, c, &u)
	if err != nil {
		return nil, err
	}
	return made, nil
}

func (e registry) admitSolo(s spec.Pod) (*pod, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.Name == "" {
		s.Name = name.Free(func(n string) bool { return e.podNamedLocked(s, n) != nil })
	}
	if p := e.podNamedLocked(s, s.Name); p != nil {
		for id, c := range p.containers {
			return nil, fault.New(fault.Exists, fmt.Sprintf("container %s: the name belongs to container %.12s (%s); remove that or choose another name", s.Name, id, c.view.Load().status.State))
		}
		return nil, fault.New(fault.Exists, fmt.Sprintf("container %s: the name belongs to pod %.12s (%s)", s.Name, p.id, lifecycle.PodCreated))
	}
	return e.registerPodLocked(s)
}
