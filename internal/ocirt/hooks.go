package ocirt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
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
	return runHooksInside(ctx, "createContainer", h.CreateContainer, state)
}

// runHooks runs hooks in the runtime's namespaces, one after another, until one fails.
func runHooks(ctx context.Context, kind string, list []specs.Hook, state specs.State) error {
	for i, h := range list {
		err := bounded(ctx, h, func(ctx context.Context) error { return run(ctx, h, state) })
		if err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", kind, i, err)
		}
	}
	return nil
}

// bounded gives a hook the time that it may take.
func bounded(ctx context.Context, h specs.Hook, run func(context.Context) error) error {
	if h.Timeout == nil {
		return run(ctx)
	}
	limit := time.Duration(*h.Timeout) * time.Second
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

// run runs a hook with the environment that it is given and nothing of the runtime's
// (CVE-2025-23266 was a hook that trusted a container's).
func run(ctx context.Context, h specs.Hook, state specs.State) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	var said bytes.Buffer
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
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w, %s", err, bytes.TrimSpace(said.Bytes()[:min(said.Len(), maxSaid)]))
	}
	return nil
}

// runHooksInside runs hooks in the container's namespaces.
func runHooksInside(ctx context.Context, kind string, list []specs.Hook, state specs.State) error {
	for i, h := range list {
		err := bounded(ctx, h, func(ctx context.Context) error { return runInside(ctx, h, state) })
		if err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", kind, i, err)
		}
	}
	return nil
}

func runInside(ctx context.Context, h specs.Hook, state specs.State) error {
	id, err := task.Find(state.Pid)
	if err != nil {
		return err
	}
	target, err := id.Open()
	if err != nil {
		return err
	}
	defer target.Close()
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	hook := initstage.Hook{Namespaces: joined(state.Pid), Path: h.Path, Args: args, Env: h.Env}
	streams, said, err := pipes(text)
	if err != nil {
		return err
	}
	child, err := launchWith(hook.Program(), streams, nil, target)
	for _, f := range streams {
		f.Close()
	}
	if err != nil {
		return err
	}
	complaint := make(chan []byte, 1)
	go func() { // ends with the hook, which alone has the pipe's other end
		b, _ := io.ReadAll(io.LimitReader(said, maxSaid))
		_, _ = io.Copy(io.Discard, said)
		complaint <- b
	}()
	defer said.Close()
	if err := child.converse(nil); err != nil {
		return fmt.Errorf("exec %s: %w", h.Path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = task.ID{Pid: child.pid}.End() })
	code, err := task.Wait(child.pid)
	stop()
	if err == nil && code != 0 {
		err = fault.New(fault.Internal, fmt.Sprintf("exit status %d, %s", code, bytes.TrimSpace(<-complaint)))
	}
	return err
}

// pipes are a hook's descriptors: text to read, and where it writes to.
func pipes(text []byte) (streams []*os.File, said *os.File, err error) {
	in, give, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer give.Close()
	if _, err := give.Write(text); err != nil { // 64 KiB fit without a reader; a state has 1
		in.Close()
		return nil, nil, err
	}
	said, out, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, nil, err
	}
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
