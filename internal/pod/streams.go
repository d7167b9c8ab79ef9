package pod

import (
	"context"
	"fmt"
	"os"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod/name"
)

// running finds a container that runs; what says what it is wanted for.
func (e *Engine) running(ref, what string) (*container, error) {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return nil, err
	}
	if st := c.view.Load().status.State; st != lifecycle.ContainerRunning {
		return nil, c.fault(fault.Conflict, fmt.Sprintf("%s: is %s, not running", what, st))
	}
	return c, nil
}

// Attach adds a client to a running container's streams and returns at once; the
// streams end when the container does. The caller closes its own files.
func (e *Engine) Attach(ctx context.Context, ref string, io Streams) error {
	c, err := e.running(ref, "attach")
	if err != nil {
		return err
	}
	if err := e.d.Processes.Attach(ctx, c.pod.id, c.id, io); err != nil {
		return fmt.Errorf("container %s: attach: %w", c.title(), err)
	}
	return nil
}

// Resize sets the size of the terminal of a container or exec, which ref names.
func (e *Engine) Resize(ctx context.Context, ref string, rows, cols uint16) error {
	if x, ok := e.execs.Find(ref); ok {
		if err := e.d.Processes.Resize(ctx, x.PodID, x.ID, rows, cols); err != nil {
			return fmt.Errorf("container %s: exec: resize: %w", x.Title, err)
		}
		return nil
	}
	c, err := e.running(ref, "resize")
	if err != nil {
		return err
	}
	if err := e.d.Processes.Resize(ctx, c.pod.id, c.id, rows, cols); err != nil {
		return fmt.Errorf("container %s: resize: %w", c.title(), err)
	}
	return nil
}

// ReopenLog makes a running container's log go on in the file that is at its path
// now: the second half of a rotation, after the old file was renamed.
func (e *Engine) ReopenLog(ctx context.Context, ref string) error {
	c, err := e.running(ref, "reopen log")
	if err != nil {
		return err
	}
	if err := e.d.Processes.ReopenLog(ctx, c.pod.id, c.id, c.view.Load().status.LogPath); err != nil {
		return fmt.Errorf("container %s: reopen log: %w", c.title(), err)
	}
	return nil
}

// RootDir returns a container's root directory as an O_PATH directory that the
// caller owns: the one the process sees while it runs, else a fresh mount that lasts
// as long as the file is open. Paths in it are the container's word: resolve them
// in this root only.
func (e *Engine) RootDir(ctx context.Context, ref string) (*os.File, error) {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return nil, err
	}
	st := &c.view.Load().status
	if st.State == lifecycle.ContainerRunning {
		root, err := e.d.Roots.OpenRoot(ctx, st.Pid)
		if err != nil {
			return nil, fmt.Errorf("container %s: root: %w", c.title(), err)
		}
		return root, nil
	}
	// An overlay's upper directory must not be mounted twice at once: the lock keeps a
	// start away until the mount is there, and the kernel from then on.
	ctx, end, err := c.pod.lock.Begin(ctx, &c.step)
	if err != nil {
		return nil, err
	}
	defer end()
	if c.view.Load().gone {
		return nil, name.NotFound("container", ref)
	}
	rec := c.record()
	root, err := e.d.Roots.MountRoot(ctx, rec.Rootfs, c.pod.view.Load().status.UserMapping)
	if err != nil {
		return nil, fmt.Errorf("container %s: root: %w", c.title(), err)
	}
	return root, nil
}
