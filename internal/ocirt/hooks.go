package ocirt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ocispec"
	"carob/internal/sys/fd"
	"carob/internal/sys/initstage"
	"carob/internal/sys/ns"
	"carob/internal/sys/task"
)

// beforePivot runs what the specification wants between the making of the namespaces and
// the container's process leaving the host's root.
func (n *creation) beforePivot(ctx context.Context, pid int) error {
	for name, d := range n.spec.Linux.NetDevices {
		if err := ns.MoveLink(name, d.Name, pid); err != nil {
			return fmt.Errorf("linux.netDevices: %w", err)
		}
	}
	h := n.spec.Hooks
	if h == nil {
		return nil
	}
	if err := n.made(ctx, pid); err != nil {
		return err
	}
	state := n.State(specs.StateCreating)
	state.Pid = pid
	return runHooksInside(ctx, hookList{"createContainer", h.CreateContainer}, state, asRuntime(pid, n.Rootfs))
}

// runHooks runs hooks in the runtime's namespaces, one after another, until one fails.
func runHooks(ctx context.Context, kind string, list []specs.Hook, state specs.State) error {
	for i, h := range list {
		err := bounded(ctx, h, func(ctx context.Context) error { return run(ctx, h, state) })
		if err != nil {
			return hookFailed(kind, i, err)
		}
	}
	return nil
}

// afterwards runs every hook, in the runtime's namespaces: one that fails is a warning
// (runtime.md, "Lifecycle").
func (r *Runtime) afterwards(ctx context.Context, list []specs.Hook, state specs.State) {
	for i, h := range list {
		err := bounded(ctx, h, func(ctx context.Context) error { return run(ctx, h, state) })
		if err != nil && r.Warn != nil {
			r.Warn(hookFailed("poststop", i, err).Error())
		}
	}
}

func hookFailed(kind string, i int, err error) error {
	return fmt.Errorf("error running %s hook #%d: %w", kind, i, err)
}

// bounded gives a hook the time that it may take.
func bounded(ctx context.Context, h specs.Hook, run func(context.Context) error) error {
	if h.Timeout == nil {
		return run(ctx)
	}
	limit := time.Duration(min(*h.Timeout, math.MaxInt64/int(time.Second))) * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := run(ctx)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Unavailable, fmt.Sprintf("hook ran past specified timeout of %.1fs", limit.Seconds()))
	}
	return err
}

// maxSaid bounds what is kept of a hook's complaint.
const maxSaid = 4096

// complaint is the beginning of what is written to it.
type complaint []byte

// Write takes everything.
func (c *complaint) Write(p []byte) (int, error) {
	*c = append(*c, p[:min(len(p), maxSaid-len(*c))]...)
	return len(p), nil
}

// grace is how long a hook's complaint is waited for once the hook has ended: what it has
// left behind may hold the pipe.
const grace = time.Second

// run runs a hook with the environment that it is given and nothing of the runtime's
// (CVE-2025-23266 was a hook that trusted a container's).
func run(ctx context.Context, h specs.Hook, state specs.State) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	var said complaint
	cmd := exec.CommandContext(ctx, h.Path)
	cmd.Args, cmd.Env = h.Args, h.Env
	if len(cmd.Args) == 0 {
		cmd.Args = []string{h.Path}
	}
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.Dir = state.Bundle
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &said, &said
	cmd.WaitDelay = grace
	err = task.Start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // which is success
		return fmt.Errorf("%w, %s", err, bytes.TrimSpace(said))
	}
	return nil
}

// inside starts a hook in a container, with these streams.
type inside func(h specs.Hook, streams []*os.File) (*child, error)

// runHooksInside is runHooks in a container.
func runHooksInside(ctx context.Context, list hookList, state specs.State, start inside) error {
	for i, h := range list.hooks {
		err := bounded(ctx, h, func(ctx context.Context) error { return runInside(ctx, h, state, start) })
		if err != nil {
			return hookFailed(list.kind, i, err)
		}
	}
	return nil
}

type hookList struct {
	kind  string
	hooks []specs.Hook
}

func runInside(ctx context.Context, h specs.Hook, state specs.State, start inside) error {
	about, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if len(h.Args) == 0 {
		h.Args = []string{h.Path}
	}
	streams, said, err := pipes(about)
	if err != nil {
		return err
	}
	child, err := start(h, streams)
	for _, f := range streams {
		f.Close()
	}
	if err != nil {
		said.Close()
		return fmt.Errorf("exec %s: %w", h.Path, err)
	}
	defer said.Close()
	var text complaint
	heard := make(chan struct{})
	go func() { // ends when said is closed, at the latest
		defer close(heard)
		_, _ = io.Copy(&text, said)
	}()
	id, _, err := task.Find(child.pid)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = id.Signal(fd.SIGKILL) }) // nobody else, if it has ended and been waited for just then
	code, err := task.Wait(child.pid)
	stop()
	if err != nil || code == 0 {
		return err
	}
	_ = said.SetReadDeadline(time.Now().Add(grace)) // pipes have deadlines
	<-heard
	return fault.New(fault.Internal, fmt.Sprintf("exit status %d, %s", code, bytes.TrimSpace(text)))
}

// asRuntime starts a hook with the runtime's rights in the namespaces of a process that
// has not left the host's root yet: the hook is a program of the host's, and dir, its
// working directory, the container's root.
func asRuntime(pid int, dir string) inside {
	return func(h specs.Hook, streams []*os.File) (*child, error) {
		target, err := openProcess(pid)
		if err != nil {
			return nil, err
		}
		defer target.Close()
		hook := initstage.Hook{Namespaces: joined(pid), Dir: dir, Path: h.Path, Args: h.Args, Env: h.Env}
		child, err := launch(hook.Program(), streams, nil, target)
		if err != nil {
			return nil, err
		}
		return child, child.converse(nil)
	}
}

// asProcess starts a hook as the container's process will be, with no rights but
// its: the hook is a program of the container's, which an image may have brought.
func asProcess(c *Container, spec *specs.Spec) inside {
	return func(h specs.Hook, streams []*os.File) (*child, error) {
		target, err := c.Init.Open()
		if err != nil {
			return nil, err
		}
		defer target.Close()
		s := scene{spec: spec}
		defer s.close()
		s.files = noFiles()
		if err := joinGroup(c, &s, ExecOptions{}); err != nil {
			return nil, err
		}
		p := *spec.Process
		p.Args, p.Env, p.Cwd, p.Terminal, p.ExecCPUAffinity = h.Args, h.Env, "/", false, nil
		(&Runtime{}).grantable(&p, ocispec.Own(spec, specs.UserNamespace)) // create has warned
		return launchExec(c, &s, more{process: &p, file: h.Path, streams: streams}, target)
	}
}

func openProcess(pid int) (*os.File, error) {
	id, _, err := task.Find(pid)
	if err != nil {
		return nil, err
	}
	return id.Open()
}

// pipes are a hook's descriptors: text to read, and where it writes to.
func pipes(text []byte) (streams []*os.File, said *os.File, err error) {
	in, give, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	said, out, err := os.Pipe()
	if err != nil {
		in.Close()
		give.Close()
		return nil, nil, err
	}
	go func() { // ends when nobody has the other end any more; a hook need not read
		_, _ = give.Write(text)
		give.Close()
	}()
	return []*os.File{in, out, out}, said, nil
}

// joined are the namespaces in which a process is not where this one is.
func joined(pid int) (flags uint64) {
	for _, kind := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"} {
		if !ns.Same(pid, os.Getpid(), kind) {
			flags |= initstage.NamespaceFlag(kind)
		}
	}
	return flags
}
