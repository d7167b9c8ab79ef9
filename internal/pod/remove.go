package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod/record"
	"carob/internal/undo"
)

// RemovePod removes a stopped pod with its containers, and one whose sandbox never
// came up; a ready one is a Conflict. Repeating it goes on where it failed. An ID
// of nobody is success.
func (e *Engine) RemovePod(ctx context.Context, ref string) error {
	p, err := registry{e}.findPod(ref)
	if err != nil {
		return goneIsDone(ref, err)
	}
	return remover{e}.removePod(ctx, p)
}

func (e remover) removePod(ctx context.Context, p *pod) error {
	if st := p.view.Load().status.State; st == lifecycle.PodReady {
		return fmt.Errorf("pod %s: %w; stop it first", p.title(), &lifecycle.TransitionError{Thing: "pod", From: string(st), Event: lifecycle.Remove})
	}
	end, err := p.lock.Seize(ctx, nil)
	if err != nil {
		return err
	}
	defer end()
	if p.view.Load().gone {
		return nil
	}
	for _, c := range registry(e).containersOf(p) {
		if err := e.removeAlone(ctx, c); err != nil {
			return err
		}
	}
	return e.removeEmpty(ctx, p)
}

// removeEmpty removes a pod without containers. The caller holds the pod's lock.
func (e remover) removeEmpty(ctx context.Context, p *pod) error {
	if err := p.change(func(r *record.Pod) error {
		r.Removing = true
		_, err := lifecycle.NextPod(r.Status.State, lifecycle.Remove)
		return err
	}); err != nil {
		return fmt.Errorf("pod %s: %w", p.title(), err)
	}
	rec := p.record()
	if rec.Ahead || !rec.Since.IsZero() { // never woken, half made, or half stopped
		if err := ender(e).dropSandbox(ctx, p); err != nil {
			return err
		}
	}
	if rec.Status.Cgroup != "" {
		p.step.Set("cgroup: remove")
		if err := e.d.Groups.RemoveGroup(ctx, rec.Status.Cgroup); err != nil {
			return fmt.Errorf("pod %s: cgroup: %w", p.title(), err)
		}
	}
	p.step.Set("files: remove")
	if err := errors.Join(os.RemoveAll(p.dir), os.RemoveAll(p.logDir())); err != nil {
		return fmt.Errorf("pod %s: %w", p.title(), err)
	}
	if err := e.d.Store.Delete(record.PodKind, p.id); err != nil {
		return fmt.Errorf("pod %s: record: %w", p.title(), err)
	}
	registry(e).dismissPod(p)
	p.event("remove", nil)
	return nil
}

// RemoveOptions says how a container is removed.
type RemoveOptions struct {
	// Force kills a running container first.
	Force bool
}

// RemoveContainer removes a container that does not run, and its anonymous volumes; a
// solo pod goes with its container. Repeating it goes on where it failed. An ID of
// nobody is success.
func (e *Engine) RemoveContainer(ctx context.Context, ref string, o RemoveOptions) error {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return goneIsDone(ref, err)
	}
	if !o.Force && c.view.Load().status.State == lifecycle.ContainerRunning {
		return c.fault(fault.Conflict, "runs; stop it first, or use force")
	}
	var end func()
	if o.Force {
		now := time.Duration(0)
		if err := (ender{e}).stop(ctx, c, &now); err != nil {
			return err
		}
		end, err = c.pod.lock.Seize(ctx, &c.step)
	} else {
		ctx, end, err = c.pod.lock.Begin(ctx, &c.step)
	}
	if err != nil {
		if c.view.Load().gone {
			return nil
		}
		return err
	}
	defer end()
	return remover{e}.remove(ctx, c)
}

// remove removes c, and its pod when that is solo. The caller holds the pod's lock.
func (e remover) remove(ctx context.Context, c *container) error {
	if c.view.Load().gone {
		return nil
	}
	if !c.pod.spec.Solo {
		return e.removeAlone(ctx, c)
	}
	// The sandbox first: it is the parent of what is in the cgroup.
	if _, err := lifecycle.NextContainer(c.view.Load().status.State, lifecycle.Remove); err != nil {
		return fmt.Errorf("container %s: %w", c.title(), err)
	}
	if err := ender(e).rest(ctx, c.pod); err != nil {
		return err
	}
	if err := e.removeAlone(ctx, c); err != nil {
		return err
	}
	return e.removeEmpty(ctx, c.pod)
}

// removeAlone removes c and leaves its pod. Each step is idempotent; the record goes
// last.
func (e remover) removeAlone(ctx context.Context, c *container) error {
	c.cancelRestart()
	err := c.change(func(r *record.Container) error {
		r.Removing = true
		_, err := lifecycle.NextContainer(r.Status.State, lifecycle.Remove)
		return err
	})
	if err != nil {
		return fmt.Errorf("container %s: %w", c.title(), err)
	}
	defer c.step.Done()
	if err := starter(e).forget(ctx, c); err != nil {
		return err
	}
	rec := c.record()
	c.step.Set("cgroup: remove")
	if err := e.removeGroup(ctx, rec.Status.Cgroup); err != nil {
		return fmt.Errorf("container %s: cgroup: %w", c.title(), err)
	}
	c.step.Set("root file system: remove")
	if err := e.d.Images.RemoveRootfs(ctx, c.id); err != nil {
		return fmt.Errorf("container %s: rootfs: %w", c.title(), err)
	}
	for _, dir := range rec.Anonymous {
		c.step.Set("volume: remove")
		if err := e.d.Volumes.Drop(ctx, dir); err != nil {
			return fmt.Errorf("container %s: %w", c.title(), err)
		}
	}
	e.removeLog(c)
	if err := e.execs.Erase(c.id); err != nil {
		return fmt.Errorf("container %s: %w", c.title(), err)
	}
	if err := e.d.Store.Delete(record.ContainerKind, c.id); err != nil {
		return fmt.Errorf("container %s: record: %w", c.title(), err)
	}
	registry(e).dismissContainer(c)
	c.event("remove", nil)
	return nil
}

// removeGroup removes a cgroup, killing what was left in it: processes that moved
// out of their session outlive the container's first only without a pid namespace.
func (e remover) removeGroup(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, undo.Timeout)
	defer cancel()
	if err := e.d.Groups.KillGroup(ctx, path); err != nil { // removing waits for what is in it
		return err
	}
	return e.d.Groups.RemoveGroup(ctx, path)
}
