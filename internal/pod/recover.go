package pod

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/pod/execs"
	"carob/internal/pod/hostfile"
	"carob/internal/pod/record"
	"carob/internal/status"
	"carob/internal/undo"
)

// recoverAtOnce bounds how many pods are adopted at the same time.
const recoverAtOnce = 16

// Recover brings records and machine together, once, before anything else is asked
// of the engine: running sandboxes are adopted, ends that nobody saw are recorded,
// what was half made or half removed is removed, and litter of earlier lives is
// swept. It does what it can: its error joins all that could not be done, and the
// engine serves all the same.
func (e *Engine) Recover(ctx context.Context) error {
	errs := []error{recovery{e}.loadPods(), recovery{e}.loadContainers()}
	loaded := errs[0] == nil && errs[1] == nil // else nobody knows what is litter
	errs = append(errs, recovery{e}.loadExecs(loaded))
	e.mu.Lock()
	pods := slices.Collect(maps.Values(e.pods))
	e.mu.Unlock()

	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, recoverAtOnce)
	for _, p := range pods {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := (recovery{e}).recoverPod(ctx, p); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	if loaded {
		errs = append(errs, recovery{e}.sweep(ctx))
	}
	recovery{e}.replayEarly()
	for _, p := range pods {
		for _, c := range (registry{e}).containersOf(p) {
			e.spawn(func() { ender{e}.settle(c) })
		}
	}
	return errors.Join(errs...)
}

func (e recovery) replayEarly() {
	e.mu.Lock()
	e.recovered = true
	early := e.early
	e.early = nil
	e.mu.Unlock()
	for _, x := range early {
		e.mu.Lock()
		p := e.pods[x.PodID]
		e.mu.Unlock()
		if p != nil {
			p.enqueue(x)
		}
	}
}

func (e recovery) loadPods() error {
	return record.LoadPods(e.d.Store, func(rec record.Pod) {
		p := registry(e).newPod(rec)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.pods[p.id] = p
	})
}

func (e recovery) loadContainers() error {
	return record.LoadContainers(e.d.Store, func(rec record.Container) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		p := e.pods[rec.Status.PodID]
		if p == nil {
			return fault.New(fault.NotFound, "container "+rec.Status.ID+": record: its pod "+rec.Status.PodID+" has none")
		}
		c := registry(e).newContainer(p, rec)
		e.containers[c.id], p.containers[c.id] = c, c
		registry(e).listContainersLocked(p)
		return nil
	})
}

// loadExecs loads the execs of the containers there are; all says that none is missing.
func (e recovery) loadExecs(all bool) error {
	return e.execs.Load(func(containerID string) (execs.Container, bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if c := e.containers[containerID]; c != nil {
			return placeOf(c), true
		}
		return execs.Container{}, false
	}, all)
}

// recoverPod adopts what runs and removes what is neither whole nor wanted.
func (e recovery) recoverPod(ctx context.Context, p *pod) error {
	ctx, end, err := p.lock.Begin(ctx, nil)
	if err != nil {
		return err
	}
	defer end()
	p.step.Set("recover")
	rec := p.record()
	var state SandboxState
	found := fault.New(fault.NotFound, "no sandbox was asked for")
	if !rec.Since.IsZero() {
		join, _ := starter(e).pidsOf(rec.Peers) // what it was taken from may have ended since
		delete(join, "cgroup")
		box := starter(e).box(p, rec)
		box.Join = join
		box.Known = e.known(p)
		state, found = e.d.Sandboxes.AdoptSandbox(ctx, box)
		if found != nil && !fault.Is(found, fault.NotFound) {
			return fmt.Errorf("pod %s: adopt: %w", p.title(), found)
		}
	}
	byID := map[string]ProcessState{}
	for _, s := range state.Processes {
		byID[s.ID] = s
	}
	for _, c := range registry(e).containersOf(p) {
		e.execs.Adopt(c.id, func(id string) (*status.Exit, bool) {
			x, there := byID[id]
			delete(byID, id)
			return x.Exit, there
		})
		if err := e.recoverContainer(ctx, c, byID); err != nil {
			return err
		}
		delete(byID, c.id)
	}
	for id := range byID { // execs without a record: nobody can ask for them
		if err := errors.Join(e.d.Processes.KillExec(ctx, p.id, id), e.d.Processes.Forget(ctx, p.id, id)); err != nil && !fault.Is(err, fault.NotFound) {
			e.d.Log.Warn("exec of an earlier daemon stays", "pod", p.id, "exec", id, "cause", err)
		}
	}
	return e.recoverSandbox(ctx, p, found == nil, state)
}

// known lists the processes that the pod's records name.
func (e recovery) known(p *pod) []KnownProcess {
	var all []KnownProcess
	for _, c := range registry(e).containersOf(p) {
		st := c.record().Status
		all = append(all, KnownProcess{ID: c.id, Cgroup: st.Cgroup, Paused: st.Paused, Log: record.Log(&st)})
		for _, x := range e.execs.In(c.id) {
			all = append(all, KnownProcess{ID: x.ID, Cgroup: st.Cgroup, Paused: st.Paused, Deadline: !x.Due.IsZero()})
		}
	}
	return all
}

// recoverContainer holds a container's record against what its sandbox says.
func (e recovery) recoverContainer(ctx context.Context, c *container, byID map[string]ProcessState) error {
	rec := c.record()
	process, known := byID[c.id]
	runs := known && process.Exit == nil
	switch {
	case rec.Creating || rec.Removing:
		if runs {
			if err := starter(e).endLaunched(ctx, c); err != nil {
				return fmt.Errorf("container %s: %w", c.title(), err)
			}
		}
		return e.removeRemains(ctx, c)
	case rec.Starting:
		return e.recoverStart(ctx, c, process, known)
	case rec.Status.State != lifecycle.ContainerRunning || runs:
		return nil
	case known:
		ender(e).containerExited(c, *process.Exit)
	default:
		ender(e).lose(c, time.Now())
	}
	return nil
}

// recoverStart finishes a start that the daemon did not live to record: a process
// that is there was started, else nothing was.
func (e recovery) recoverStart(_ context.Context, c *container, process ProcessState, known bool) error {
	if known && process.Exit != nil && process.Exit.At.Before(c.record().Since) {
		known = false // of the run before
	}
	if !known {
		return c.note(func(r *record.Container) error {
			r.Stopped = true
			r.Fail(codeCannotStart, "the daemon ended while it was being started")
			return nil
		})
	}
	if err := c.started(process.Pid); err != nil {
		return err
	}
	if process.Exit != nil {
		ender(e).containerExited(c, *process.Exit)
	}
	c.settleParked()
	return nil
}

// removeRemains removes a container whose creation or removal was cut short.
func (e recovery) removeRemains(ctx context.Context, c *container) error {
	ender(e).lose(c, time.Now())
	// The crash may have come before the record named its anonymous volumes; the sweep
	// finds those.
	return remover(e).removeAlone(ctx, c)
}

// recoverSandbox brings the pod's own record in line with its sandbox.
func (e recovery) recoverSandbox(ctx context.Context, p *pod, found bool, state SandboxState) error {
	rec := p.record()
	ready := rec.Status.State == lifecycle.PodReady
	switch {
	case rec.Removing || e.halfMade(p):
		return e.removeRest(ctx, p)
	case found && (ready && !p.spec.Solo || e.soloRuns(p) || ready && e.soloRestarts(p)):
		return e.adopted(p, state)
	case rec.Since.IsZero() && !ready:
		return nil
	}
	// It is gone, or a solo pod's whose container does not run.
	if err := ender(e).dropSandbox(ctx, p); err != nil {
		return err
	}
	p.event("exit", map[string]string{"reason": "Lost"})
	return p.note(func(r *record.Pod) error { return r.Exit() })
}

// halfMade reports whether the daemon died while it made the pod.
func (e recovery) halfMade(p *pod) bool {
	if p.spec.Solo {
		return len(registry(e).containersOf(p)) == 0
	}
	return p.record().Status.State == lifecycle.PodCreated
}

// adopted notes a sandbox that goes on.
func (e recovery) adopted(p *pod, state SandboxState) error {
	return p.note(func(r *record.Pod) error {
		r.Status.Pid, r.Reaper = state.Pid, state.ReaperPid
		if r.Status.State == lifecycle.PodReady {
			return nil
		}
		r.Status.Namespaces, _ = e.d.Observer.Namespaces(state.Pid)
		return r.Wake()
	})
}

func (e recovery) soloRuns(p *pod) bool {
	if !p.spec.Solo {
		return false
	}
	for _, c := range registry(e).containersOf(p) {
		if c.view.Load().status.State == lifecycle.ContainerRunning {
			return true
		}
	}
	return false
}

func (e recovery) soloRestarts(p *pod) bool {
	for _, c := range registry(e).containersOf(p) {
		if rec := c.record(); rec.RestartDue() {
			return p.spec.Solo
		}
	}
	return false
}

// removeRest removes a pod that is not wanted, whatever its state, with what is left
// in it.
func (e recovery) removeRest(ctx context.Context, p *pod) error {
	if !p.record().Since.IsZero() {
		if err := ender(e).dropSandbox(ctx, p); err != nil {
			return err
		}
		if err := p.note(func(r *record.Pod) error { return r.Exit() }); err != nil {
			return err
		}
	}
	for _, c := range registry(e).containersOf(p) {
		if err := e.removeRemains(ctx, c); err != nil {
			return err
		}
	}
	return remover(e).removeEmpty(ctx, p)
}

// sweep removes what no record names: root file systems, anonymous volumes, and
// directories of pods that a crash or a reboot has left.
func (e recovery) sweep(ctx context.Context) error {
	pods, owners := e.inUse()
	keep := func(id string) bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.containers[id] != nil
	}
	ctx, cancel := context.WithTimeout(ctx, undo.Timeout)
	defer cancel()
	return errors.Join(
		e.d.Network.Keep(ctx, e.attached()),
		e.d.Images.Sweep(ctx, keep),
		e.d.Volumes.Keep(ctx, owners),
		hostfile.Sweep(filepath.Join(e.d.LibDir, "logs"), func(dir string) bool { return pods[filepath.Base(dir)] }),
		preparer(e).sweep(ctx, pods),
		hostfile.Sweep(filepath.Join(e.d.RunDir, "pods"), func(dir string) bool { return pods[filepath.Base(dir)] }),
	)
}

// attached returns the sandboxes that are connected.
func (e recovery) attached() (all []Attachment) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.pods {
		if st := &p.view.Load().status; st.State == lifecycle.PodReady && len(st.Connections) > 0 {
			all = append(all, attachmentOf(p, st.Pid))
		}
	}
	return all
}

// inUse returns the pods there are, and whose the anonymous volumes are.
func (e recovery) inUse() (pods map[string]bool, owners map[string]string) {
	pods, owners = map[string]bool{}, map[string]string{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for id := range e.pods {
		pods[id] = true
	}
	for _, c := range e.containers {
		for _, dir := range c.record().Anonymous {
			owners[dir] = c.id
		}
	}
	return pods, owners
}
