package cri

import (
	"context"
	"io"
	"os"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod"
	"carob/internal/spec"
)

const (
	// maxOutput is what ExecSync returns of both streams together, so that the kubelet
	// takes the answer: its limit is for the whole message. The rest is read and dropped
	// (CVE-2022-1708).
	maxOutput = maxMessage - 1024
	// lastWords is how long output may take to arrive after the engine has said that all
	// of it has ended: it is in a pipe by then.
	lastWords = time.Second
	sigKill   = 9
)

type processes struct {
	s Services
	finder
	streams Streams
}

// ExecSync runs a command to its end. The timeout, or the caller's own deadline when
// there is none, covers the process and the draining of its output; all it started is
// killed then.
func (p *processes) ExecSync(ctx context.Context, r *cri.ExecSyncRequest) (*cri.ExecSyncResponse, error) {
	c, err := p.container(r.GetContainerId())
	if err != nil {
		return nil, err
	}
	timeout := seconds(r.GetTimeout())
	if due, ok := ctx.Deadline(); ok && timeout == 0 {
		timeout = max(time.Until(due), time.Millisecond)
	}
	out, err := newCatch()
	if err != nil {
		return nil, err
	}
	defer out.close()
	errs, err := newCatch()
	if err != nil {
		return nil, err
	}
	defer errs.close()
	exec := spec.Exec{Command: r.GetCmd(), Timeout: int64(timeout)}
	id, err := p.s.Engine.Exec(ctx, c.ID, exec, pod.Streams{Stdout: out.w, Stderr: errs.w})
	out.started()
	errs.started()
	if err != nil {
		return nil, err
	}
	exit, err := p.s.Engine.WaitExec(ctx, id)
	if ctx.Err() != nil {
		p.abandon(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	stderr := errs.bytes()
	stdout := out.bytes()
	if len(stdout)+len(stderr) > maxOutput { // what explains comes first, up to a half
		stderr = stderr[:min(len(stderr), max(maxOutput/2, maxOutput-len(stdout)))]
		stdout = stdout[:min(len(stdout), maxOutput-len(stderr))]
	}
	return &cri.ExecSyncResponse{Stdout: stdout, Stderr: stderr, ExitCode: int32(exit.Code)}, nil
}

// abandon ends the process of a caller that has gone.
func (p *processes) abandon(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := p.s.Engine.SignalExec(ctx, id, sigKill); err != nil && !fault.Is(err, fault.NotFound) {
		p.s.Log.Warn("exec that nobody waits for goes on", "exec", id, "cause", err)
	}
}

// catch is a pipe that keeps the beginning of what is written into it.
type catch struct {
	r, w *os.File
	kept []byte
	done chan struct{}
}

func newCatch() (*catch, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := &catch{r: r, w: w, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.kept, _ = io.ReadAll(io.LimitReader(r, maxOutput)) // what cannot be read any more is what there is
		_, _ = io.Copy(io.Discard, r)
	}()
	return c, nil
}

// started lets go of the writing end, which the process has by now.
func (c *catch) started() { _ = c.w.Close() }

// bytes waits for the end of the output, but not for one that never comes.
func (c *catch) bytes() []byte {
	select {
	case <-c.done:
	case <-time.After(lastWords):
		_ = c.r.SetReadDeadline(time.Now())
		<-c.done
	}
	return c.kept
}

func (c *catch) close() {
	_ = c.w.Close() // a second time after started, which is no harm
	_ = c.r.Close() // ends the reading
	<-c.done
}

// Exec returns the URL at which the command will run.
func (p *processes) Exec(_ context.Context, r *cri.ExecRequest) (*cri.ExecResponse, error) {
	id, err := p.running(r.GetContainerId(), "exec")
	if err != nil {
		return nil, err
	}
	return p.streams.GetExec(&cri.ExecRequest{ContainerId: id, Cmd: r.GetCmd(), Tty: r.GetTty(), Stdin: r.GetStdin(), Stdout: r.GetStdout(), Stderr: r.GetStderr()})
}

// Attach returns the URL at which the container's streams are.
func (p *processes) Attach(_ context.Context, r *cri.AttachRequest) (*cri.AttachResponse, error) {
	id, err := p.running(r.GetContainerId(), "attach")
	if err != nil {
		return nil, err
	}
	return p.streams.GetAttach(&cri.AttachRequest{ContainerId: id, Stdin: r.GetStdin(), Tty: r.GetTty(), Stdout: r.GetStdout(), Stderr: r.GetStderr()})
}

// PortForward returns the URL at which connections into the sandbox begin.
func (p *processes) PortForward(_ context.Context, r *cri.PortForwardRequest) (*cri.PortForwardResponse, error) {
	sandbox, err := p.sandbox(r.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	if sandbox.State != lifecycle.PodReady {
		return nil, fault.New(fault.Conflict, "sandbox "+sandbox.Name+": port-forward: is not ready")
	}
	return p.streams.GetPortForward(&cri.PortForwardRequest{PodSandboxId: sandbox.ID, Port: r.GetPort()})
}

func (p *processes) running(id, what string) (string, error) {
	c, err := p.container(id)
	if err != nil {
		return "", err
	}
	if c.State != lifecycle.ContainerRunning {
		return "", fault.New(fault.Conflict, "container "+c.Name+": "+what+": is "+string(c.State)+", not running")
	}
	return c.ID, nil
}
