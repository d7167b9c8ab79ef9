package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/plan/cgroup"
	"carob/internal/plan/ident"
	"carob/internal/plan/oci"
	"carob/internal/pod/hostfile"
	"carob/internal/pod/name"
	"carob/internal/pod/record"
	"carob/internal/pod/steps"
	"carob/internal/pod/user"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/undo"
)

// Docker's exit codes for a container whose process never was.
const (
	codeCannotStart   = 125
	codeNotExecutable = 126
	codeNoCommand     = 127
)

// StartContainer starts a created or exited container and attaches io before its
// process can write. When it returns nil the process has been executed. Every
// failure of the start itself is a *status.StartError; the container then stays created
// or exited, with Reason "StartError", and can be started again; one that is
// removed automatically goes.
func (e *Engine) StartContainer(ctx context.Context, ref string, io Streams) error {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return err
	}
	op, end, err := c.pod.lock.Begin(ctx, &c.step)
	if err != nil {
		return err
	}
	c.cancelRestart()
	c.mu.Lock()
	c.backoff = 0
	c.mu.Unlock()
	err = starter{e}.start(op, c, startOptions{streams: io, fresh: true})
	var failed *status.StartError
	if errors.As(err, &failed) && c.record().Status.Spec.AutoRemove {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undo.Timeout)
		defer cancel()
		err = errors.Join(err, remover{e}.remove(ctx, c))
	}
	end()
	return err
}

type startOptions struct {
	streams Streams
	// fresh is a start that somebody asked for: it begins a new count of restarts.
	fresh bool
}

// start starts c. The caller holds the pod's lock.
func (e starter) start(ctx context.Context, c *container, o startOptions) error {
	if err := e.mayStart(ctx, c); err != nil {
		return err
	}
	ended := c.record().Status.FinishedAt
	err := c.change(func(r *record.Container) error {
		r.Ask(o.fresh, time.Now())
		return nil
	})
	if err != nil {
		return err
	}
	var u undo.Stack
	pid, err := e.launch(ctx, c, o.streams, &u)
	if err == nil {
		err = c.started(pid)
		if err != nil {
			u.Push("process", func(ctx context.Context) error { return e.endLaunched(ctx, c) })
		}
	}
	if err != nil {
		return e.startFailed(ctx, c, errors.Join(err, u.Unwind(ctx)), ended)
	}
	c.log("start", nil)
	if c.pod.spec.Solo {
		preparer(e).follow(c.pod)
	}
	c.settleParked()
	return nil
}

// mayStart checks both state tables and that the sandbox remembers no earlier
// process of the container.
func (e starter) mayStart(ctx context.Context, c *container) error {
	if c.view.Load().gone {
		return name.NotFound("container", c.title())
	}
	if _, err := lifecycle.NextContainer(c.view.Load().status.State, lifecycle.Start); err != nil {
		return fmt.Errorf("container %s: %w", c.title(), err)
	}
	p := c.pod.view.Load()
	if !c.pod.spec.Solo && p.status.State != lifecycle.PodReady {
		return c.fault(fault.Conflict, fmt.Sprintf("its pod is %s", p.status.State))
	}
	return e.forget(ctx, c)
}

// started makes the record of a process that runs. An end that came while it was
// being started is parked until then.
func (c *container) started(pid int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.rec
	if err := next.Start(pid); err != nil {
		return err
	}
	if err := c.putLocked(next); err != nil {
		return err
	}
	c.tell("start", nil, func() { c.publishLocked(next, nil) })
	return nil
}

func (c *container) settleParked() {
	c.mu.Lock()
	exit := c.parked
	c.parked = nil
	c.mu.Unlock()
	if exit != nil {
		ender{c.e}.containerExited(c, *exit)
	}
}

// launch does what the machine must do: on one side the root file system, and the
// user as its files know it; at the same time the sandbox (of a solo pod) and the rest
// of the container's world; then the process.
func (e starter) launch(ctx context.Context, c *container, io Streams, u *undo.Stack) (int, error) {
	l := launching{starter: e, c: c, rec: c.record(), streams: io}
	defer l.close()
	if err := e.d.Plugins.Start(ctx, l.rec.Status); err != nil {
		return 0, err
	}
	c.step.Set("root file system: mount")
	errs := steps.Parallel(
		func() error { return l.mount(ctx) },
		func() error {
			if c.pod.spec.Solo && c.pod.view.Load().status.State != lifecycle.PodReady {
				if err := e.wake(ctx, c.pod, u); err != nil {
					return err
				}
			}
			return l.prepare(ctx)
		})
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	pid, err := l.execute(ctx)
	if err == nil {
		_ = l.root.Close() // the container holds it now
		l.root = nil
	}
	return pid, err
}

// launching is one start of a container's process under way.
type launching struct {
	starter
	c       *container
	rec     record.Container
	streams Streams

	root     *os.File
	identity ident.Identity
	world    Launch
}

// close lets go of what the process has of its own by now, or will never have. The
// last reference to a root syncs, 1–3 ms, which nobody need wait for.
func (l *launching) close() {
	if l.world != nil {
		l.world.Close()
	}
	if l.root != nil && !l.spawn(func() { _ = l.root.Close() }) {
		_ = l.root.Close()
	}
}

func (l *launching) mount(ctx context.Context) (err error) {
	if l.root, err = l.d.Roots.MountRoot(ctx, l.rec.Rootfs, l.c.pod.view.Load().status.UserMapping); err != nil {
		return err
	}
	s := l.rec.Status.Wish()
	l.identity, err = user.Lookup(l.d.Roots, l.root, ident.Wish{User: l.rec.User(), Groups: s.Groups, Policy: s.GroupsPolicy})
	return err
}

func (l *launching) prepare(ctx context.Context) error {
	world, err := l.plan(l.c, l.rec)
	if err != nil {
		return err
	}
	p, err := l.process(world)
	if err != nil {
		return err
	}
	if _, scoped := cgroup.Scope(p.Cgroup); scoped && l.c.pod.spec.Solo { // what was there went with the last run
		if err := l.d.Groups.CreateGroup(ctx, p.Cgroup, world.Linux.Resources); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	l.world, err = l.d.Processes.Prepare(ctx, p)
	return err
}

func (l *launching) execute(ctx context.Context) (int, error) {
	l.rec.Identity = l.identity
	world, err := l.plans.Container(l.request(l.c, l.rec))
	if err != nil {
		return 0, err
	}
	l.c.mu.Lock()
	l.c.rec.Identity, l.c.world = l.identity, world
	l.c.rec.Status.User = &status.User{UID: l.identity.UID, GID: l.identity.GID, Groups: l.identity.Groups}
	l.c.mu.Unlock()
	p, err := l.process(world)
	if err != nil {
		return 0, err
	}
	p.Rootfs = l.root
	l.c.step.Set("process: start")
	pid, err := l.world.Start(ctx, p)
	return pid, commandFault(err)
}

func (l *launching) process(world *specs.Spec) (Process, error) {
	join, err := l.joins(l.c.pod, l.rec)
	if err != nil {
		return Process{}, err
	}
	s := l.rec.Status.Wish()
	return Process{
		PodID: l.c.pod.id, ID: l.c.id, Spec: world, Join: join, IDs: l.c.pod.view.Load().status.UserMapping,
		Cgroup: l.rec.Status.Cgroup, Log: record.Log(&l.rec.Status),
		Stdin: s.Stdin, StdinOnce: s.StdinOnce, Init: s.Init, Streams: l.streams,
		Resume: l.rec.Resume, CreateCwd: s.WorkingDir == "" || l.c.pod.spec.Owner == spec.OwnerCRI,
	}, nil
}

// commandFault gives a refused execve Docker's exit code.
func commandFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrCommandNotFound):
		return &status.StartError{Code: codeNoCommand, Err: err}
	case errors.Is(err, ErrNotExecutable):
		return &status.StartError{Code: codeNotExecutable, Err: err}
	}
	return err
}

// startFailed records why and returns the *StartError. A solo pod whose sandbox has
// been undone stays at rest.
func (e starter) startFailed(ctx context.Context, c *container, err error, ended time.Time) error {
	code := codeCannotStart
	var refused *status.StartError
	if errors.As(err, &refused) {
		code = refused.Code
	}
	if e := context.Cause(ctx); e != nil && !errors.Is(err, e) {
		err = fmt.Errorf("%w (%w)", err, e)
	}
	failed := &status.StartError{Code: code, Err: fmt.Errorf("container %s: start: %w", c.title(), err)}
	c.mu.Lock()
	c.parked, c.world = nil, nil
	c.mu.Unlock()
	note := c.note(func(r *record.Container) error {
		r.Fail(code, err.Error())
		r.Status.FinishedAt = ended
		return nil
	})
	if note != nil {
		failed.Err = errors.Join(failed.Err, note)
	}
	return failed
}

// endLaunched takes back a process whose start could not be recorded.
func (e starter) endLaunched(ctx context.Context, c *container) error {
	return errors.Join(e.d.Processes.KillExec(ctx, c.pod.id, c.id), e.d.Groups.KillGroup(ctx, c.record().Status.Cgroup), e.d.Processes.Forget(ctx, c.pod.id, c.id))
}

// forget lets the sandbox drop the record of c's last process, once.
func (e starter) forget(ctx context.Context, c *container) error {
	rec := c.record()
	if rec.Status.State != lifecycle.ContainerExited || rec.Forgotten {
		return nil
	}
	if err := c.save(); err != nil {
		return err
	}
	if c.pod.view.Load().status.State == lifecycle.PodReady {
		if err := e.d.Processes.Forget(ctx, c.pod.id, c.id); err != nil && !fault.Is(err, fault.NotFound) {
			return fmt.Errorf("container %s: forget the ended process: %w", c.title(), err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec.Forgotten = true // repeating it after a crash is harmless: no record
	return nil
}

// request is what the container's OCI specification is planned from.
func (e starter) request(c *container, rec record.Container) oci.Request {
	joined := make(map[string]bool, len(rec.Peers))
	for kind := range rec.Peers {
		joined[kind] = true
	}
	asked := rec.Status.Wish()
	hostname := asked.Hostname
	if hostname == "" {
		hostname = c.pod.hostname()
	}
	return oci.Request{
		Pod: &c.pod.spec, Container: asked, Image: rec.Image, Facts: e.d.Facts,
		Namespaces: rec.Namespaces, Identity: rec.Identity, IDs: c.pod.view.Load().status.UserMapping,
		Hostname: hostname, Files: hostfile.Etc(c.pod.dir, asked.Mounts), Volumes: rec.Volumes,
		Devices: rec.Devices, Cgroup: rec.Status.Cgroup, Joined: joined, Level: c.pod.view.Load().status.Level,
	}
}

// plan is the container's OCI specification before its user is known: what a create
// checks, and where the limits of its cgroup come from.
func (e starter) plan(c *container, rec record.Container) (*specs.Spec, error) {
	asked := *rec.Status.Wish()
	asked.Security.NonRoot = false // decided at the start, on the resolved uid
	rec.Status.Adjusted = &asked
	return e.plans.Container(e.request(c, rec))
}

// joins returns kind → pid of the namespaces that are neither fresh nor the
// sandbox's: other containers', or the host's, which this process lives in.
func (e starter) joins(p *pod, rec record.Container) (map[string]int, error) {
	join, err := e.pidsOf(rec.Peers)
	if err != nil {
		return nil, err
	}
	if rec.Namespaces.PID == spec.OfPod { // no process can move into one: the supervisor is not in it
		sandbox := p.record()
		if id, ok := sandbox.Peers["pid"]; ok {
			pids, err := e.pidsOf(map[string]string{"pid": id})
			if err != nil {
				return nil, err
			}
			join["pid"] = pids["pid"]
		} else if sandbox.Reaper != 0 {
			join["pid"] = sandbox.Reaper
		}
	}
	for _, kind := range spec.Kinds() {
		if kind != "cgroup" && rec.Namespaces.Mode(kind) == spec.Host {
			join[kind] = os.Getpid()
		}
	}
	return join, nil
}

// spec returns what the container's process was made from, planning it anew after a
// restart of the daemon.
func (c *container) spec() (*specs.Spec, error) {
	c.mu.Lock()
	world, rec := c.world, c.rec
	c.mu.Unlock()
	if world != nil {
		return world, nil
	}
	world, err := c.e.plans.Container(starter{c.e}.request(c, rec))
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", c.title(), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.world == nil {
		c.world = world
	}
	return c.world, nil
}
