package pod

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"carob/internal/fault"
	"carob/internal/plan/check"
	"carob/internal/plan/namespace"
	"carob/internal/pod/name"
	"carob/internal/pod/shelf"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/undo"
)

// aheadDelay is how long after a pod has come up the sandbox of the next one is made:
// later than what usually follows at once, which is its containers.
const aheadDelay = 25 * time.Millisecond

// defaultShm is the size of /dev/shm in bytes, as Docker's and containerd's.
const defaultShm = 64 << 20

// preparer makes sandboxes before somebody asks for them: the next pod often is like the
// last one. Each has the ID and the range of ids that this pod will have. No record tells
// of it, since it ends with the daemon; what that leaves, the next one sweeps.
type preparer struct{ *Engine }

// shape is what a sandbox that is made ahead depends on.
type shape struct {
	modes   spec.Namespaces
	handler string
	// grouped says that the sandbox begins in the pod's cgroup, below the parent of pods
	// that name none. Never in a scope: systemd shows it, and makes each once only.
	grouped, solo bool
}

// shapeOf returns a pod's shape; ok is false where nothing can be made ahead.
func (e preparer) shapeOf(s *spec.Pod, c namespace.Choice) (_ shape, ok bool) {
	grouped := e.d.Facts.CgroupMode == "v2" && c.Fresh && !e.d.Cgroups.Scopes()
	ok = len(c.Peers) == 0 && c.Modes.IPC == spec.Own && s.UserIDs.Count == 0 && s.ShmSize == 0 && (!grouped || s.CgroupParent == "")
	return shape{modes: c.Modes, handler: s.Handler, grouped: grouped, solo: grouped && s.Solo}, ok
}

// takeLocked gives away the sandbox for a pod, if one like it is ready.
func (e preparer) takeLocked(s *spec.Pod, c namespace.Choice) (Sandbox, bool) {
	like, ok := e.shapeOf(s, c)
	if !ok {
		return Sandbox{}, false
	}
	return e.ahead.Take(like)
}

// allocateLocked finds a range of ids for a pod; if need be, that of what was made ahead.
func (e preparer) allocateLocked(asked spec.IDRange) (status.IDMapping, error) {
	ids, err := registry(e).allocateLocked(asked)
	for fault.Is(err, fault.Unavailable) {
		box, ok := e.ahead.Evict()
		if !ok {
			break
		}
		e.after(0, func() { e.forsake(box) })
		ids, err = registry(e).allocateLocked(asked)
	}
	return ids, err
}

// follow makes a sandbox, in the background, for the next pod that is like p.
func (e preparer) follow(p *pod) {
	rec := p.record()
	like, ok := e.shapeOf(&p.spec, namespace.Choice{Modes: rec.Namespaces, Peers: rec.Peers, Fresh: rec.Status.UserMapping.Size > 0})
	if ok {
		e.after(aheadDelay, func() { e.prepare(like) })
	}
}

func (e preparer) prepare(like shape) {
	e.mu.Lock()
	place, old, err := e.planLocked(like)
	e.mu.Unlock()
	if old != nil {
		e.forsake(old.Thing)
	}
	if err != nil || place == nil {
		return // the pod that misses it will say why
	}
	err = e.d.Sandboxes.PrepareSandbox(e.ctx, place.Thing)
	if err != nil && !fault.Is(err, fault.Unsupported) {
		e.forsake(place.Thing) // its cgroup may be there
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.ahead.Ready(place)
		return
	}
	e.ahead.Drop(place)
	if !fault.Is(err, fault.Unsupported) && e.ctx.Err() == nil {
		e.d.Log.Warn("no sandbox could be made ahead", "pod", place.Thing.PodID, "cause", err)
	}
}

func (e preparer) planLocked(like shape) (place, old *shelf.Place[shape, Sandbox], err error) {
	if !e.ahead.Wants(like) {
		return nil, nil, nil
	}
	id := name.NewID()
	box := Sandbox{PodID: id, Namespaces: like.modes, ShmSize: defaultShm, Dir: podDir(e.d.RunDir, id), Handler: like.handler, Solo: like.solo}
	if like.modes.User == spec.Own {
		if box.IDs, err = registry(e).allocateLocked(spec.IDRange{}); err != nil {
			return nil, nil, err
		}
	}
	if like.grouped {
		if box.Cgroup, err = e.d.Cgroups.Pod(&spec.Pod{Solo: like.solo}, id); err != nil {
			return nil, nil, err
		}
	}
	place, old = e.ahead.Put(like, box)
	return place, old, nil
}

// forsake takes back what has been made ahead.
func (e preparer) forsake(s Sandbox) {
	ctx, cancel := context.WithTimeout(context.Background(), undo.Timeout)
	defer cancel()
	errs := []error{e.d.Sandboxes.StopSandbox(ctx, s.PodID)}
	if s.Cgroup != "" {
		errs = append(errs, e.d.Groups.RemoveGroup(ctx, s.Cgroup))
	}
	if err := errors.Join(append(errs, os.RemoveAll(s.Dir))...); err != nil {
		e.d.Log.Error("sandbox that was made ahead stays", "pod", s.PodID, "cause", err)
	}
}

// forsakeAll takes back all that nobody has asked for. Nothing is made any more.
func (e preparer) forsakeAll() {
	e.mu.Lock()
	all := e.ahead.All()
	e.ahead = shelf.Shelf[shape, Sandbox]{}
	e.mu.Unlock()
	for _, box := range all {
		e.forsake(box)
	}
}

// sweep removes the cgroups of what an earlier daemon made ahead. A directory without a
// pod tells of them.
func (e preparer) sweep(ctx context.Context, pods map[string]bool) error {
	dirs, err := os.ReadDir(filepath.Join(e.d.RunDir, "pods"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweep: %w", err)
	}
	var errs []error
	for _, d := range dirs {
		group, err := e.d.Cgroups.Pod(&spec.Pod{}, d.Name())
		if err == nil && check.ID(d.Name()) && !pods[d.Name()] {
			errs = append(errs, e.d.Groups.KillGroup(ctx, group), e.d.Groups.RemoveGroup(ctx, group))
		}
	}
	return errors.Join(errs...)
}
