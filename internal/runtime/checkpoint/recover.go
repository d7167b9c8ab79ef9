package checkpoint

import (
	"context"
	"fmt"
	"slices"

	"carob/internal/criu"
	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
	"carob/internal/sys/fd"
)

// AdoptSandbox takes over a sandbox of an earlier daemon. What that did not live to write
// down to the end goes on. What it did not live to restore is given up: nobody has judged it.
// Its CRIU waits for a word that nobody can say (criu.Options.Held), or what it has made is
// the supervisor's without a name.
func (h *Handler) AdoptSandbox(ctx context.Context, s pod.Sandbox) (st pod.SandboxState, err error) {
	sb, all, err := h.Reconnect(ctx, s)
	if err != nil {
		return st, err
	}
	st = sb.State()
	for _, k := range all {
		if !k.Helped && !k.Made {
			st.Processes = append(st.Processes, k.ProcessState)
			if err := h.goOn(ctx, s, k); err != nil {
				return st, fmt.Errorf("checkpoint of %s: %w", k.ID, err)
			}
			continue
		}
		if err := h.giveUp(ctx, sb, s, k.ID); err != nil {
			return st, fmt.Errorf("restore of %s: %w", k.ID, err)
		}
	}
	return st, nil
}

// goOn thaws a container that is not paused: it stood still to be written down. CRIU first
// comes to its end, for it leaves the freezer as it has found it.
func (h *Handler) goOn(ctx context.Context, s pod.Sandbox, p supervisor.Known) error {
	i := slices.IndexFunc(s.Known, func(k pod.KnownProcess) bool { return k.ID == p.ID })
	if i < 0 || s.Known[i].Paused || p.Exit != nil {
		return nil
	}
	if err := criu.Await(ctx, p.Pid); err != nil {
		return err
	}
	group, err := h.Layout.Open(s.Known[i].Cgroup)
	if err == nil {
		err = group.Thaw(ctx)
	}
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unsupported) { // it has ended, or nothing can be frozen here
		return nil
	}
	return err
}

// giveUp ends what a helper is, or has made, and lets the supervisor forget it. First what is
// in the group, all at once: who is traced goes on when its tracer dies.
func (h *Handler) giveUp(ctx context.Context, sb *supervisor.Sandbox, s pod.Sandbox, id string) error {
	if i := slices.IndexFunc(s.Known, func(k pod.KnownProcess) bool { return k.ID == id }); i >= 0 {
		group, err := h.Layout.Open(s.Known[i].Cgroup)
		if err != nil {
			return err
		}
		if err := group.Kill(ctx, fd.SIGKILL); err != nil {
			return err
		}
	}
	if err := sb.Abandon(ctx, id, killed); err != nil {
		return err
	}
	return h.Forget(ctx, s.PodID, id)
}
