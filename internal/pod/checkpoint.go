package pod

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
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
	ctx, end, err := c.pod.begin(ctx, c)
	if err != nil {
		return err
	}
	defer end()
	rec := c.record()
	switch {
	case !rec.Status.Runs() || rec.Status.Paused:
		return c.fault(fault.Conflict, "can only be written down while it runs and is not paused")
	case slices.ContainsFunc(registry(e).execsOf(c), runs):
		return c.fault(fault.Conflict, "an exec runs in it, which cannot be written down")
	}
	if err := e.write(ctx, c, rec, o); err != nil {
		return fmt.Errorf("container %s: checkpoint: %w", c.title(), err)
	}
	c.event("checkpoint", nil)
	return nil
}

func (e Checkpoints) write(ctx context.Context, c *container, rec containerRecord, o CheckpointOptions) (err error) {
	world, err := c.spec()
	if err != nil {
		return err
	}
	l := launching{starter: starter(e), c: c, rec: rec}
	p, err := l.process(world)
	if err != nil {
		return err
	}
	p.TargetPid = rec.Status.Pid
	// Before it ends: nobody shall start it again in the meantime.
	if err := resume(c, !o.LeaveRunning, resumePath(c)); err != nil {
		return err
	}
	defer func() {
		if err != nil && !o.LeaveRunning {
			err = errors.Join(err, resume(c, rec.Stopped, rec.Resume))
		}
	}()
	c.step.Set("cgroup: freeze")
	if err := e.d.Groups.FreezeGroup(ctx, rec.Status.Cgroup, true); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, e.d.Groups.FreezeGroup(context.WithoutCancel(ctx), rec.Status.Cgroup, false))
	}()
	c.step.Set("processes: write down")
	if err := e.d.Processes.Checkpoint(ctx, p, o.Images, o.LeaveRunning); err != nil {
		return err
	}
	return o.Keep(rec.Status, world, resumePath(c))
}

// resume notes whether the container stays where it is when it ends, and what it goes on
// from.
func resume(c *container, stopped bool, archive string) error {
	return c.change(func(r *containerRecord) error {
		r.Stopped = stopped
		if stopped {
			r.Resume = archive
		}
		return nil
	})
}

// runs tells whether an exec has not ended yet.
func runs(x *exec) bool {
	select {
	case <-x.done:
		return false
	default:
		return true
	}
}
