package pod

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/pod/cell"
	"carob/internal/pod/record"
	"carob/internal/status"
)

// Checkpoints writes containers down.
type Checkpoints struct{ *Engine }

// CheckpointOptions are a checkpoint's.
type CheckpointOptions struct {
	// Images is an empty directory for what the handler writes.
	Images string
	// LeaveRunning lets the container go on. Otherwise it has ended, and starts again from
	// what Keep makes of the images: an archive, at the path that it is told.
	LeaveRunning bool
	// Keep is called when all is written and nothing goes on yet. An error of its is one of the
	// checkpoint; processes that are gone by then stay gone.
	Keep func(c status.Container, world *specs.Spec, archive string) error
}

// resumePath is where a container's own checkpoint is kept: it goes with the container.
func resumePath(c *container) string { return filepath.Join(c.pod.logDir(), c.id+".checkpoint") }

// Container writes a running container down. All its processes stand still from before
// the first is written until Keep has returned, and go on after an error.
func (e Checkpoints) Container(ctx context.Context, ref string, o CheckpointOptions) error {
	c, err := e.running(ref, "written down")
	if err != nil {
		return err
	}
	return e.together(ctx, c.pod, &c.step, []*container{c}, func(*container) (CheckpointOptions, error) { return o, nil })
}

// Pod writes running containers of one pod down, which go on: all stand still from before the
// first is written until the last is, so that what they have told one another fits
// together. each says where each of them goes.
func (e Checkpoints) Pod(ctx context.Context, ref string, containers []string, each func(status.Container) (CheckpointOptions, error)) error {
	p, err := registry(e).findPod(ref)
	if err != nil {
		return err
	}
	var all []*container
	for _, id := range containers {
		c, err := e.running(id, "written down")
		if err != nil {
			return err
		}
		if c.pod != p || slices.Contains(all, c) {
			return c.fault(fault.Invalid, "is not in pod "+p.title()+", or named twice")
		}
		all = append(all, c)
	}
	return e.together(ctx, p, nil, all, func(c *container) (CheckpointOptions, error) { return each(c.snapshot()) })
}

// together freezes all, writes one after another, and lets them go on whatever came of it.
func (e Checkpoints) together(ctx context.Context, p *pod, about *cell.Progress, all []*container, each func(*container) (CheckpointOptions, error)) (err error) {
	ctx, end, err := p.lock.Begin(ctx, about)
	if err != nil {
		return err
	}
	defer end()
	for _, c := range all {
		switch st := c.snapshot(); {
		case !st.Runs() || st.Paused:
			return c.fault(fault.Conflict, "can only be written down while it runs and is not paused")
		case e.execs.Runs(c.id):
			return c.fault(fault.Conflict, "an exec runs in it, which cannot be written down")
		}
	}
	for _, c := range all {
		group := c.record().Status.Cgroup
		defer func() {
			err = errors.Join(err, e.d.Groups.FreezeGroup(context.WithoutCancel(ctx), group, false))
		}()
		if err := e.d.Groups.FreezeGroup(ctx, group, true); err != nil {
			return err
		}
	}
	for _, c := range all {
		o, err := each(c)
		if err == nil {
			err = e.write(ctx, c, o)
		}
		if err != nil {
			return fmt.Errorf("container %s: checkpoint: %w", c.title(), err)
		}
		c.event("checkpoint", nil)
	}
	return nil
}

func (e Checkpoints) write(ctx context.Context, c *container, o CheckpointOptions) error {
	rec := c.record()
	world, err := c.spec()
	if err != nil {
		return err
	}
	p, err := (&launching{starter: starter(e), c: c, rec: rec}).process(world)
	if err != nil {
		return err
	}
	p.TargetPid = rec.Status.Pid
	// Before it ends: nobody shall start it again in the meantime.
	if err := resume(c, !o.LeaveRunning, resumePath(c)); err != nil {
		return err
	}
	c.step.Set("processes: write down")
	err = e.d.Processes.Checkpoint(ctx, p, o.Images, o.LeaveRunning)
	if err == nil {
		err = o.Keep(rec.Status, world, resumePath(c))
	}
	if err != nil && !o.LeaveRunning {
		err = errors.Join(err, resume(c, rec.Stopped, rec.Resume))
	}
	return err
}

// resume notes whether the container stays ended when it ends, and what it goes on from.
func resume(c *container, stopped bool, archive string) error {
	return c.change(func(r *record.Container) error {
		r.Stopped = stopped
		if stopped {
			r.Resume = archive
		}
		return nil
	})
}
