package pod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/logfile"
	"carob/internal/plan/adjust"
	"carob/internal/plan/check"
	"carob/internal/plan/namespace"
	"carob/internal/plan/oci"
	"carob/internal/pod/attempt"
	"carob/internal/pod/hostfile"
	"carob/internal/pod/name"
	"carob/internal/pod/plugin"
	"carob/internal/pod/record"
	"carob/internal/pod/steps"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/undo"
)

// CreateContainer adds a container to a ready pod: image found, mounts checked,
// cgroup and root file system made, nothing started. A retry with the same pod,
// name and attempt joins the running attempt; once that is done the name is taken
// and the answer Exists.
func (e *Engine) CreateContainer(ctx context.Context, podRef string, s spec.Container) (status.Container, error) {
	if err := check.Container(&s); err != nil {
		return status.Container{}, err
	}
	p, err := registry{e}.findPod(podRef)
	if err != nil {
		return status.Container{}, err
	}
	if p.spec.Solo {
		return status.Container{}, p.fault(fault.Conflict, "is a solo pod, it takes no second container")
	}
	r, err := e.attempts.Do(ctx, attempt.Request{
		Key:     strings.Join([]string{"container", p.id, s.Name, fmt.Sprint(s.Attempt), anonymous(s.Name)}, "\n"),
		Want:    s,
		Title:   "container " + p.title() + "/" + s.Name,
		Run:     func(ctx context.Context) (any, error) { return maker{e}.createIn(ctx, p, s) },
		Exists:  func(r any) bool { return !r.(*container).view.Load().gone },
		Discard: func(r any) { maker{e}.discardContainer(r.(*container)) },
	})
	if err != nil {
		return status.Container{}, err
	}
	return r.(*container).snapshot(), nil
}

func (e maker) createIn(ctx context.Context, p *pod, s spec.Container) (_ *container, err error) {
	ctx, end, err := p.lock.Begin(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer end()
	if st := p.view.Load(); st.gone || st.status.State != lifecycle.PodReady {
		return nil, p.fault(fault.Conflict, fmt.Sprintf("is %s, containers are created in a ready pod", st.status.State))
	}
	var u undo.Stack
	defer u.OnError(ctx, &err)
	return e.create(ctx, p, s, &u)
}

// create does the work of CreateContainer and CreateSolo. The caller holds the pod's
// lock and unwinds u on an error.
func (e maker) create(ctx context.Context, p *pod, s spec.Container, u *undo.Stack) (*container, error) {
	c, err := registry(e).admitContainer(p, s)
	if err != nil {
		return nil, err
	}
	u.Push("name", func(context.Context) error { registry(e).dismissContainer(c); return nil })
	defer c.step.Done()
	wrap := func(err error) error { return fmt.Errorf("container %s: %w", c.title(), err) }

	c.step.Set("image: resolve")
	img, err := e.d.Images.Resolve(ctx, s.Image)
	if err != nil {
		return nil, wrap(err)
	}
	rec := c.record()
	rec.Image, rec.Status.ImageID = img.Config, img.ID
	rec.Status.Command = oci.Command(&s, img.Config.Entrypoint, img.Config.Cmd)
	rec.Creating, rec.Resume = true, s.Checkpoint
	if err := c.change(func(r *record.Container) error { *r = rec; return nil }); err != nil {
		return nil, err
	}
	u.Push("record", func(context.Context) error { return e.d.Store.Delete(record.ContainerKind, c.id) })
	world, err := e.shape(ctx, c, &rec, u)
	if err != nil {
		return nil, wrap(err)
	}
	if err := hostfile.LogDir(rec.Status.LogPath); err != nil {
		return nil, wrap(err)
	}
	if s.LogPath == "" {
		u.Push("log", func(context.Context) error { remover(e).removeLog(c); return nil })
	}
	c.step.Set("cgroup and root file system")
	if err := e.foundation(ctx, c, foundation{&rec, world.Linux}, u); err != nil {
		return nil, wrap(err)
	}
	rec.Creating = false
	if err := rec.Move(lifecycle.Create); err != nil {
		return nil, err
	}
	if err := c.change(func(r *record.Container) error { *r = rec; return nil }); err != nil {
		return nil, err
	}
	c.event("create", nil)
	return c, nil
}

// shape settles what the container is made from: the request, the devices it names, and
// what plugins make of both.
func (e maker) shape(ctx context.Context, c *container, rec *record.Container, u *undo.Stack) (world *specs.Spec, err error) {
	if rec.Status.Adjusted, err = e.d.Devices.Inject(&rec.Status.Spec); err != nil {
		return nil, err
	}
	if world, err = e.settle(ctx, c, rec, u); err != nil {
		return nil, err
	}
	c.step.Set("plugins: create")
	changed, err := e.d.Plugins.Create(ctx, plugin.Draft{Pod: c.pod.snapshot(), Container: rec.Status, OCI: world})
	if err != nil {
		return nil, err
	}
	u.Push("plugins", func(context.Context) error { e.d.Plugins.Forget(c.pod.id, c.id); return nil })
	if changed == nil {
		return world, nil
	}
	rec.Status.Adjusted = changed
	rec.Status.Command = oci.Command(changed, rec.Image.Entrypoint, rec.Image.Cmd)
	return e.settle(ctx, c, rec, u)
}

// settle makes volumes, resolves devices and plans, from what rec says by now.
func (e maker) settle(ctx context.Context, c *container, rec *record.Container, u *undo.Stack) (*specs.Spec, error) {
	err := check.Container(rec.Status.Wish())
	if err == nil {
		err = hostfile.Mounts{Volumes: e.d.Volumes, Images: e.d.Images, Step: c.step.Set}.Prepare(ctx, rec, u)
	}
	if err == nil {
		rec.Devices, err = hostfile.Nodes(ctx, e.d.Observer, rec.Status.Wish(), c.pod.view.Load().status.UserMapping)
	}
	if err != nil {
		return nil, err
	}
	return starter(e).plan(c, *rec)
}

type foundation struct {
	rec   *record.Container
	linux *specs.Linux
}

// foundation makes the cgroup and, at the same time, the root file system's
// directories.
func (e maker) foundation(ctx context.Context, c *container, f foundation, u *undo.Stack) error {
	group := f.rec.Status.Cgroup
	errs := steps.Parallel(
		func() error { return e.d.Groups.CreateGroup(ctx, group, f.linux.Resources) },
		func() (err error) {
			f.rec.Rootfs, err = e.d.Images.NewRootfs(ctx, c.id, f.rec.Status.ImageID, f.rec.Status.Spec.StorageSize)
			f.rec.Rootfs.Label = f.linux.MountLabel
			return err
		})
	if errs[0] == nil {
		u.Push("cgroup", func(ctx context.Context) error { return e.d.Groups.RemoveGroup(ctx, group) })
	} else {
		errs[0] = fmt.Errorf("cgroup: %w", errs[0])
	}
	if errs[1] == nil {
		u.Push("rootfs", func(ctx context.Context) error { return e.d.Images.RemoveRootfs(ctx, c.id) })
	} else {
		errs[1] = fmt.Errorf("rootfs: %w", errs[1])
	}
	return errors.Join(errs...)
}

// admitContainer reserves the container's name and ID in its pod.
func (e registry) admitContainer(p *pod, s spec.Container) (*container, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.Name == "" {
		s.Name = name.Free(func(n string) bool { return p.containerLocked(n, s.Attempt) != nil })
	}
	if c := p.containerLocked(s.Name, s.Attempt); c != nil {
		return nil, fault.New(fault.Exists, fmt.Sprintf("container %s: the name belongs to container %.12s (%s); remove that or choose another name", c.title(), c.id, c.view.Load().status.State))
	}
	sandbox := p.record()
	ns, err := namespace.Container(s.Namespaces, sandbox.Namespaces, sandbox.Status.UserMapping, e.peerLocked)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", s.Name, err)
	}
	id := name.NewID()
	group, err := e.d.Cgroups.Container(&p.spec, sandbox.Status.Cgroup, &s, id)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", s.Name, err)
	}
	st := status.Container{
		ID: id, Name: s.Name, PodID: p.id, PodName: p.name, Owner: p.spec.Owner, Image: cmp.Or(s.ImageName, s.Image), State: lifecycle.ContainerAbsent,
		CreatedAt: time.Now(), Cgroup: group, LogPath: s.LogPath, Spec: s,
	}
	if st.LogPath == "" && !s.Log.Off {
		st.LogPath = filepath.Join(p.logDir(), name.Log(s.Name, s.Attempt))
	}
	c := e.newContainer(p, record.Container{Status: st, Namespaces: ns.Modes, Peers: ns.Peers})
	e.containers[id] = c
	p.containers[id] = c
	e.listContainersLocked(p)
	return c, nil
}

func (p *pod) containerLocked(name string, attempt uint32) *container {
	for _, c := range p.containers {
		if c.name == name && c.view.Load().status.Spec.Attempt == attempt {
			return c
		}
	}
	return nil
}

// listContainersLocked shows the pod's containers, oldest first, in its snapshot.
// The record does not hold them: each container's says which pod it is in.
func (e registry) listContainersLocked(p *pod) {
	ids := sortedContainers(p.containers)
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.rec
	next.Status.Containers = ids
	p.publishLocked(next)
}

func (e registry) dismissContainer(c *container) {
	e.mu.Lock()
	delete(e.containers, c.id)
	delete(c.pod.containers, c.id)
	e.listContainersLocked(c.pod)
	e.mu.Unlock()
	c.cancelRestart()
	c.mu.Lock()
	defer c.mu.Unlock()
	v := *c.view.Load()
	v.gone = true
	c.view.Publish(v)
}

// removeLog removes a log that the engine placed. Its directory goes with the last.
func (e remover) removeLog(c *container) {
	_ = os.Remove(resumePath(c))
	if st := &c.rec.Status; st.Spec.LogPath == "" && st.LogPath != "" {
		_ = logfile.Remove(st.LogPath)
		_ = os.Remove(c.pod.logDir())
	}
}

// UpdateContainer changes limits of a container, running or not, and its restart
// policy; nil leaves a part as it is.
func (e *Engine) UpdateContainer(ctx context.Context, ref string, res *specs.LinuxResources, restart *spec.Restart) error {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return err
	}
	ctx, end, err := c.pod.lock.Begin(ctx, &c.step)
	if err != nil {
		return err
	}
	defer end()
	if c.view.Load().gone {
		return name.NotFound("container", ref)
	}
	rec := c.record()
	next := rec
	if restart != nil {
		next.Status.Spec.Restart = *restart
	}
	if res != nil {
		limits, err := e.d.Plugins.Update(ctx, rec.Status, res)
		if err != nil {
			return fmt.Errorf("container %s: %w", c.title(), err)
		}
		adjust.Limits(&next.Status, res, limits)
	}
	if err := check.Container(&next.Status.Spec); err != nil {
		return err
	}
	if res != nil {
		if err := (maker{e}).updateGroup(ctx, c, next); err != nil {
			return fmt.Errorf("container %s: %w", c.title(), err)
		}
	}
	err = c.change(func(r *record.Container) error {
		r.Status.Spec, r.Status.Adjusted = next.Status.Spec, next.Status.Adjusted
		return nil
	})
	if err != nil {
		if res != nil {
			err = errors.Join(err, maker{e}.updateGroup(context.WithoutCancel(ctx), c, rec))
		}
		return err
	}
	c.mu.Lock()
	c.world = nil // planned anew when somebody asks
	c.mu.Unlock()
	c.event("update", nil)
	return nil
}

// updateGroup checks the limits of rec and puts them on the container's cgroup. The
// rules for devices stay as they are.
func (e maker) updateGroup(ctx context.Context, c *container, rec record.Container) error {
	world, err := starter(e).plan(c, rec)
	if err != nil {
		return err
	}
	limits := *world.Linux.Resources
	limits.Devices = nil
	c.step.Set("cgroup: update")
	return e.d.Groups.UpdateGroup(ctx, rec.Status.Cgroup, &limits)
}

// discardContainer takes back a container that nobody claimed.
func (e maker) discardContainer(c *container) {
	ctx, cancel := context.WithTimeout(context.Background(), undo.Timeout)
	defer cancel()
	if err := e.RemoveContainer(ctx, c.id, RemoveOptions{Force: true}); err != nil {
		e.d.Log.Error("container that nobody waited for stays", "container", c.id, "cause", err)
	}
}
