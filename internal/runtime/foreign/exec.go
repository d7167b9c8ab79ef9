package foreign

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
	"carob/internal/status"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
)

// Exec lets the runtime run one more process in a container.
func (h *Handler) Exec(ctx context.Context, p pod.Process) (pid int, err error) {
	b, err := h.find(p.PodID)
	if err != nil {
		return 0, err
	}
	f, err := h.Features()
	if err != nil {
		return 0, err
	}
	dir, x := b.bundle(p.Target), short(p.ID)
	file := func(suffix string) string { return filepath.Join(dir, x+suffix) }
	if err := writeJSON(file(".json"), f.Process(p.Spec.Process)); err != nil {
		return 0, err
	}
	defer os.Remove(file(".json"))
	c := command{name: "exec", dir: dir, user: outside(p), args: []string{"exec", "--process", file(".json")}}
	if f.Sentry {
		return sentry{b}.exec(ctx, p, c)
	}
	c.args = append(c.args, "--detach", "--pid-file", file(".pid"))
	m := made{p: p, name: short(p.Target), features: f, child: true}
	if !p.Deadline.IsZero() {
		arg, err := h.subgroup(&m)
		if err != nil {
			return 0, err
		}
		c.args = append(c.args, arg...)
	}
	return b.make(ctx, m, making{command: c, pidFile: file(".pid")})
}

// subgroup makes the group in which all that an exec with a deadline starts is found
// again, where the runtime can be told to use it. Elsewhere KillExec ends no more than
// the exec's first process.
func (h *Handler) subgroup(m *made) ([]string, error) {
	controller := cgroup.Tracking(h.Layout)
	if controller != "" && m.features.Runtime == "crun" { // it knows a path in every hierarchy only
		return nil, nil
	}
	g, err := h.Layout.Open(m.p.Cgroup)
	if err != nil {
		return nil, err
	}
	sub := supervisor.ExecGroup(m.p.ID)
	if _, err := g.Sub(sub); err != nil {
		return nil, err
	}
	m.sub = sub
	if controller != "" {
		sub = controller + ":" + sub
	}
	return []string{"--cgroup", sub}, nil
}

// exec runs a process in a gVisor sandbox. Who stands for it among the host's is
// `runsc exec`, which stays, has its streams and ends as it does: one that was detached
// could not be waited for any more once it has ended.
func (b sentry) exec(ctx context.Context, p pod.Process, c command) (pid int, err error) {
	inside := filepath.Join(c.dir, short(p.ID)+insidePid)
	began, err := await(inside)
	if err != nil {
		return 0, err
	}
	defer began.Close()
	var door *console
	spawned := p
	c.args = append(c.args, "--internal-pid-file", inside)
	if p.Spec.Process.Terminal {
		if door, err = openConsole(c.dir, short(p.ID)); err != nil {
			return 0, err
		}
		defer door.close()
		c.args = append(c.args, "--console-socket", door.name)
		spawned.Streams, spawned.Stdin, spawned.StdinOnce = pod.Streams{}, false, false
	}
	c.args = append(c.args, short(p.Target))
	helper, log := b.program(c)
	defer os.Remove(log)
	g := &gate{ended: make(chan struct{}), deliver: func(x status.Exit) { b.h.Pool.Deliver(b.PodID, p.ID, x) }}
	if _, err := b.sb.Spawn(ctx, supervisor.Spawn{Process: spawned, Program: helper.Program(), Ended: g.end}); err != nil {
		return 0, b.refused(c, log, err)
	}
	if err := g.pass(ctx, began, inside); err != nil {
		_ = b.h.Pool.Signal(context.WithoutCancel(ctx), b.PodID, p.ID, sigKill) // it may have ended
		_ = b.h.Pool.Forget(context.WithoutCancel(ctx), b.PodID, p.ID)          // else the sandbox's end forgets it
		return 0, b.refused(c, log, err)
	}
	defer g.open()
	if terminal, err := door.receive(ctx); err == nil && terminal != nil {
		defer terminal.Close()
		err = b.sb.Adopt(ctx, p.ID, supervisor.Child{Terminal: terminal, Streams: p.Streams})
		if err != nil && !fault.Is(err, fault.NotFound) { // it has ended before
			return 0, err
		}
	} else if err != nil {
		return 0, err
	}
	return readPid(filepath.Join(c.dir, pidFile))
}

// gate keeps back the end of a process until it is known that it has begun.
type gate struct {
	deliver func(status.Exit)
	ended   chan struct{}

	mu   sync.Mutex
	free bool
	exit *status.Exit
}

func (g *gate) end(x status.Exit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exit = &x
	if g.free {
		g.deliver(x)
		return
	}
	close(g.ended)
}

// open lets the end through.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free = true
	if g.exit != nil {
		g.deliver(*g.exit)
	}
}

// pass waits until the process has begun, which its pid in a file says.
func (g *gate) pass(ctx context.Context, began *beginning, file string) error {
	select {
	case <-began.seen:
	case <-g.ended:
		if _, err := readPid(file); err != nil {
			return &supervisor.HelperError{Exit: *g.exit}
		}
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "exec", context.Cause(ctx))
	}
	return nil
}

// beginning waits for a file with a pid.
type beginning struct {
	*fd.Watch
	seen chan struct{}
}

// await starts to wait; Close ends it.
func await(file string) (*beginning, error) {
	w, err := fd.NewWatch(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	b := &beginning{w, make(chan struct{})}
	go func() { // until Close
		for w.Wait() == nil {
			if _, err := readPid(file); err == nil {
				close(b.seen)
				return
			}
		}
	}()
	return b, nil
}
