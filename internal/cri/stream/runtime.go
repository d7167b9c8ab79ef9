package stream

import (
	"context"
	"fmt"
	"io"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
)

// runtime is what the protocols' server calls: its Runtime.
type runtime struct{ e *pod.Engine }

// Exec runs a command, connected with a client, to its end.
func (r *runtime) Exec(ctx context.Context, containerID string, cmd []string, in io.Reader, out, err io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize) error {
	p, fail := connect(ends{in, out, err})
	if fail != nil {
		return fail
	}
	defer p.close()
	id, fail := r.e.Exec(ctx, containerID, spec.Exec{Command: cmd, Stdin: in != nil, TTY: tty}, p.remote)
	if fail != nil {
		return fail
	}
	p.pump()
	stop := r.follow(ctx, id, resize)
	defer stop()
	exit, fail := r.e.WaitExec(ctx, id)
	if fail != nil {
		return fail
	}
	p.drain(ctx)
	if exit.Code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("exit code %d", exit.Code), Code: exit.Code}
	}
	return nil
}

// Attach connects a client with a container's own streams until they end.
func (r *runtime) Attach(ctx context.Context, containerID string, in io.Reader, out, err io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	p, fail := connect(ends{in, out, err})
	if fail != nil {
		return fail
	}
	defer p.close()
	ended, fail := r.e.Waiter(containerID, status.WaitExit)
	if fail != nil {
		return fail
	}
	if fail := r.e.Attach(ctx, containerID, p.remote); fail != nil {
		return fail
	}
	p.pump()
	stop := r.follow(ctx, containerID, resize)
	defer stop()
	if out == nil && err == nil {
		_, fail = ended(ctx)
		return fail
	}
	return p.wait(ctx)
}

// follow passes a terminal's sizes on until stop is called.
func (r *runtime) follow(ctx context.Context, id string, resize <-chan remotecommand.TerminalSize) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case size, more := <-resize:
				if !more {
					return
				}
				_ = r.e.Resize(ctx, id, size.Height, size.Width) // it may have ended already
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}
