package pod

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/pod/cell"
	"carob/internal/pod/lock"
	"carob/internal/pod/record"
	"carob/internal/spec"
	"carob/internal/status"
)

type podView struct {
	status status.Pod
	gone   bool
}

// pod is one pod. What never changes stands first.
type pod struct {
	e               *Engine
	id              string
	name, namespace string
	spec            spec.Pod
	dir             string

	view cell.Cell[podView]
	step cell.Progress

	// lock is held by whoever changes the pod.
	lock *lock.Lock

	// containers is guarded by Engine.mu.
	containers map[string]*container

	// mu guards what follows, and the order of records and views. It is a leaf.
	mu  sync.Mutex
	rec record.Pod
	// exits waits for the one goroutine that handles them in order.
	exits    []ProcessExit
	draining bool
}

type containerView struct {
	status status.Container
	// exits counts the processes that have ended; last is the latest end.
	exits int
	last  status.Exit
	gone  bool
	// starting is true while the first process is being made.
	starting bool
}

// container is one container. What never changes stands first.
type container struct {
	e    *Engine
	pod  *pod
	id   string
	name string

	view cell.Cell[containerView]
	step cell.Progress

	// mu guards what follows, and the order of records and views. It is a leaf.
	mu  sync.Mutex
	rec record.Container
	// unsaved says that an end is not yet in the stored record.
	unsaved bool
	// parked is an end that came while Start had not yet returned.
	parked *status.Exit
	// world is what the running process was made from; nil after a restart of the
	// daemon until somebody asks.
	world *specs.Spec
	// pending is the restart that is due, and backoff its delay.
	pending *pendingRestart
	backoff time.Duration
}

func (e registry) newPod(rec record.Pod) *pod {
	p := &pod{
		e: e.Engine, id: rec.Status.ID, name: rec.Status.Name, namespace: rec.Status.Namespace, spec: rec.Status.Spec,
		dir: podDir(e.d.RunDir, rec.Status.ID), containers: map[string]*container{}, rec: rec,
	}
	p.lock = lock.New(p.title(), &p.step)
	p.step.Tell = func(name string) { p.event("step", map[string]string{"step": name}) }
	p.view.Publish(podView{status: rec.Status})
	return p
}

func (e registry) newContainer(p *pod, rec record.Container) *container {
	c := &container{e: e.Engine, pod: p, id: rec.Status.ID, name: rec.Status.Name, rec: rec}
	c.step.Of = c.name
	c.step.Tell = func(name string) { c.event("step", map[string]string{"step": name}) }
	c.view.Publish(containerView{status: rec.Status})
	return c
}

func podDir(runDir, id string) string { return filepath.Join(runDir, "pods", id) }

func (p *pod) fault(kind fault.Kind, text string) error {
	return fault.New(kind, "pod "+p.title()+": "+text)
}

func (c *container) fault(kind fault.Kind, text string) error {
	return fault.New(kind, "container "+c.title()+": "+text)
}

// snapshot is the pod as a reader sees it.
func (p *pod) snapshot() status.Pod {
	st := p.view.Load().status
	st.Step, st.StepSince = p.step.Load()
	return st
}

// snapshot is the container as a reader sees it.
func (c *container) snapshot() status.Container {
	st := c.view.Load().status
	st.Step, st.StepSince = c.step.Load()
	return st
}

func (p *pod) record() record.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rec
}

func (c *container) record() record.Container {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rec
}

// errUnchanged lets a change end without one.
var errUnchanged = errors.New("nothing to change")

// change edits a copy of the record, stores it and publishes it. An error of edit
// or of the store leaves everything as it was.
func (p *pod) change(edit func(*record.Pod) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.rec
	if err := edit(&next); err != nil {
		return err
	}
	if err := p.e.d.Store.Put(record.PodKind, p.id, next); err != nil {
		return fmt.Errorf("pod %s: record: %w", p.title(), err)
	}
	p.publishLocked(next)
	return nil
}

// note is change for what has already happened: the new state is published even
// when it could not be stored, and that error is returned.
func (p *pod) note(edit func(*record.Pod) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.rec
	if err := edit(&next); err != nil {
		return err
	}
	err := p.e.d.Store.Put(record.PodKind, p.id, next)
	p.publishLocked(next)
	if err != nil {
		return fmt.Errorf("pod %s: record: %w", p.title(), err)
	}
	return nil
}

func (p *pod) publishLocked(next record.Pod) {
	p.rec = next
	v := *p.view.Load()
	v.status = next.Status
	p.view.Publish(v)
}

// change edits a copy of the record, stores it and publishes it. An error of edit
// or of the store leaves everything as it was.
func (c *container) change(edit func(*record.Container) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.rec
	if err := edit(&next); err != nil {
		return err
	}
	if err := c.putLocked(next); err != nil {
		return err
	}
	c.publishLocked(next, nil)
	return nil
}

// note is change for what has already happened: see pod.note.
func (c *container) note(edit func(*record.Container) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.rec
	if err := edit(&next); err != nil {
		return err
	}
	err := c.putLocked(next)
	c.publishLocked(next, nil)
	return err
}

func (c *container) putLocked(next record.Container) error {
	if err := c.e.d.Store.Put(record.ContainerKind, c.id, next); err != nil {
		return fmt.Errorf("container %s: record: %w", c.title(), err)
	}
	return nil
}

// publishLocked shows a record to readers; ended is given when a process has.
func (c *container) publishLocked(next record.Container, ended *status.Exit) {
	c.rec = next
	v := *c.view.Load()
	v.status = next.Status
	v.starting = next.Starting
	if ended != nil {
		v.exits++
		v.last = *ended
	}
	c.view.Publish(v)
}

// save stores an end that could not be stored when it came.
func (c *container) save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.unsaved {
		return nil
	}
	err := c.putLocked(c.rec)
	c.unsaved = err != nil
	return err
}
