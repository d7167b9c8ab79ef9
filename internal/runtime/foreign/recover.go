package foreign

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carob/internal/plan/bundle"
	"carob/internal/pod"
	"carob/internal/runtime/supervisor"
	"carob/internal/status"
)

// patience bounds what is done on nobody's behalf.
const patience = 10 * time.Second

// recover goes on with what the supervisor remembers, and finishes or ends what an
// earlier daemon did not live to.
func (h *Handler) recover(ctx context.Context, b *box, all []supervisor.Known, f bundle.Features) []pod.ProcessState {
	r := recovery{h: h, b: b, features: f, waiters: map[string]supervisor.Known{}}
	all = endHelpers(all, func(id string) error {
		return h.Pool.Signal(ctx, b.PodID, id, sigKill)
	}, func() ([]supervisor.Known, error) { return b.sb.Processes(ctx) })
	if f.Sentry {
		all = r.listen(ctx, all)
	}
	var out []pod.ProcessState
	for _, k := range all {
		switch {
		case strings.HasPrefix(k.ID, waiting):
		case k.ID == sandboxID:
			r.sandbox(ctx, k)
		default:
			out = append(out, r.process(ctx, k))
		}
	}
	return out
}

// endHelpers kills the helpers that are still at work: whoever would say what they have made
// is gone. One that cannot be killed has ended since it was listed, and may have made its
// process: then all are listed again.
func endHelpers(all []supervisor.Known, kill func(id string) error, list func() ([]supervisor.Known, error)) []supervisor.Known {
	late := false
	for _, k := range all {
		if k.Helped && kill(k.ID) != nil {
			late = true
		}
	}
	if !late {
		return all
	}
	again, err := list()
	if err != nil { // its connection has ended, which is told elsewhere
		return all
	}
	return again
}

type recovery struct {
	h        *Handler
	b        *box
	features bundle.Features
	waiters  map[string]supervisor.Known // by whom they wait for
}

// listen takes over those who wait in a gVisor sandbox. They are listed again after
// that, so that no end falls in between.
func (r *recovery) listen(ctx context.Context, all []supervisor.Known) []supervisor.Known {
	for _, name := range r.b.containers() {
		if name == short(r.b.PodID) || r.b.Solo {
			r.b.begun.Store(name)
		}
	}
	r.b.sb.Watch(sandboxID, nobody)
	for _, k := range all {
		if id, ok := strings.CutPrefix(k.ID, waiting); ok {
			r.b.sb.Watch(k.ID, sentry{r.b}.onEnd(id))
		}
	}
	if again, err := r.b.sb.Processes(ctx); err == nil { // else its connection has ended, which is told elsewhere
		all = again
	}
	for _, k := range all {
		if id, ok := strings.CutPrefix(k.ID, waiting); ok {
			r.waiters[id] = k
		}
	}
	return all
}

// sandbox goes on with a pod's gVisor sandbox.
func (r *recovery) sandbox(ctx context.Context, k supervisor.Known) {
	if !k.Made {
		return
	}
	if pid, err := readPid(filepath.Join(r.b.bundle(r.b.PodID), pidFile)); err == nil {
		_ = r.b.sb.Adopt(ctx, k.ID, supervisor.Child{Pid: pid}) // else it has ended
	}
}

func (r *recovery) process(ctx context.Context, k supervisor.Known) pod.ProcessState {
	switch {
	case k.Made && !r.b.isChild(k.ID, r.features):
		k.Pid, _ = readPid(r.pidFile(k.ID)) // 0 is shown when nobody knows
		switch w, there := r.waiters[k.ID]; {
		case there && w.Exit == nil:
		case there:
			sentry{r.b}.ended(k.ID)
		case sentry{r.b}.await(ctx, k.ID) != nil:
			k.Exit = r.give(ctx, k.ID)
		}
	case k.Made:
		pid, err := readPid(r.pidFile(k.ID))
		if err == nil {
			err = r.b.sb.Adopt(ctx, k.ID, supervisor.Child{Pid: pid})
		}
		if k.Pid = pid; err != nil {
			k.Exit = r.give(ctx, k.ID)
		}
	}
	return k.ProcessState
}

// give gives a made process up.
func (r *recovery) give(ctx context.Context, id string) *status.Exit {
	_ = r.b.sb.End(ctx, id, lost<<8) // else it has ended by itself
	return &status.Exit{Code: lost, At: time.Now()}
}

// lost is the exit code of a process whose own is not known.
const lost = 255

func (r *recovery) pidFile(id string) string {
	if dir := r.b.bundle(id); exists(dir) {
		return filepath.Join(dir, pidFile)
	}
	found, _ := filepath.Glob(filepath.Join(r.b.dir, "*", short(id)+".pid")) // the pattern is ours
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
