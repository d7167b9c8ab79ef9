package kube

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/kube/manifest"
	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/undo"
)

// Applier makes the pods of manifests and removes them. Its fields are set once,
// before use; it may be used by several goroutines.
type Applier struct {
	Engine Engine
	Mounts Mounts
	Logs   Logs
	// Facts tells about the machine now; nil knows nothing. UID, PodIPs, VolumeDir
	// and Seccomp are filled in by Apply.
	Facts func() (manifest.Facts, error)
	// Dir is where volumes live; see the package comment.
	Dir string
	// SeccompDir holds the profiles of type Localhost; empty refuses them.
	SeccompDir string

	// mountsBelow is the machine's when nil.
	mountsBelow func(dir string) ([]string, error)

	mu    sync.Mutex
	locks map[string]*nameLock
}

// Options of an Apply.
type Options struct {
	// Replace deletes a pod whose manifest has changed and makes it anew.
	Replace bool
	// Keep leaves what has been made when a later step fails, for a look at it.
	Keep bool
	// Progress is called at each step, from several goroutines; nil is allowed.
	Progress func(Progress)
}

// Progress is one step of an Apply or Delete.
type Progress struct {
	Pod       string `json:"pod"`
	Container string `json:"container,omitempty"`
	Step      string `json:"step"`
}

// Action is what was done with a pod.
type Action string

// The actions. Recreated is a pod with an unchanged manifest that was stopped or
// half made.
const (
	Created   Action = "created"
	Unchanged Action = "unchanged"
	Replaced  Action = "replaced"
	Recreated Action = "recreated"
	Deleted   Action = "deleted"
	Absent    Action = "absent"
)

// Result is what became of one pod. Containers are those of the manifest, init
// containers first.
type Result struct {
	Pod        string             `json:"pod"`
	ID         string             `json:"id,omitempty"`
	Action     Action             `json:"action"`
	Warnings   []string           `json:"warnings,omitempty"`
	Containers []status.Container `json:"containers,omitempty"`
}

// Apply makes the pods of the manifests, in order, and returns when all their
// containers run or have completed. A pod that is there with the same manifest is
// left alone. If anything fails, everything this call made is removed again, unless
// Options.Keep; a pod that was replaced is not brought back. The kinds are those of
// the engine; Conflict is a pod that exists and differs.
func (a *Applier) Apply(ctx context.Context, ms []manifest.Manifest, o Options) (results []Result, err error) {
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	var back undo.Stack
	defer func() {
		if err != nil && !o.Keep {
			results = nil
			err = errors.Join(err, back.Unwind(ctx))
		}
	}()
	for _, m := range ms {
		r, err := a.applyOne(ctx, m, o, &back)
		if err != nil {
			return results, err
		}
		r.Warnings = m.Warnings
		results = append(results, r)
	}
	return results, nil
}

func (a *Applier) applyOne(ctx context.Context, m manifest.Manifest, o Options, back *undo.Stack) (Result, error) {
	unlock, err := a.lock(ctx, m.Ref())
	if err != nil {
		return Result{}, err
	}
	defer unlock()
	old, err := a.look(m.Ref())
	if err != nil {
		return Result{}, err
	}
	action, err := decide(old, m, o.Replace)
	if err != nil {
		return Result{}, about(m.Ref(), err)
	}
	switch action {
	case Unchanged:
		return Result{Pod: m.Ref(), ID: old.pod.ID, Action: action, Containers: old.containers}, nil
	case Replaced, Recreated:
		if err := a.teardown(ctx, old, nil, o.Progress); err != nil {
			return Result{}, err
		}
	}
	b := build{Applier: a, m: m, report: o.Progress}
	r, err := b.run(ctx, back)
	r.Action = action
	return r, err
}

// existing is a pod as the engine knows it; nil is none.
type existing struct {
	pod        status.Pod
	containers []status.Container
}

func (a *Applier) look(ref string) (*existing, error) {
	p, err := a.Engine.Pod(ref)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e := &existing{pod: p}
	for _, id := range p.Containers {
		c, err := a.Engine.Container(id)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		if err == nil {
			e.containers = append(e.containers, c)
		}
	}
	return e, nil
}

// Stands tells whether a pod is there as its manifest wants it, so that Apply would leave
// it alone and no image is needed for it.
func (a *Applier) Stands(m manifest.Manifest) bool {
	old, err := a.look(m.Ref())
	if err != nil {
		return false // Apply will say why
	}
	action, err := decide(old, m, false)
	return err == nil && action == Unchanged
}

// decide is pure: what an Apply does about the pod that is there.
func decide(old *existing, m manifest.Manifest, replace bool) (Action, error) {
	switch {
	case old == nil:
		return Created, nil
	case old.pod.Spec.Owner != manifest.Owner:
		return "", fault.New(fault.Exists, "exists and was not made by apply; remove it first")
	case old.pod.Spec.Annotations[manifest.AppliedAnnotation] == manifest.Digest(m):
		if complete(old, m) {
			return Unchanged, nil
		}
		return Recreated, nil
	case replace:
		return Replaced, nil
	}
	return "", fault.New(fault.Conflict, "exists with a different manifest; delete it first or apply with --replace")
}

// complete tells whether an earlier Apply got to its end and the pod still stands.
func complete(old *existing, m manifest.Manifest) bool {
	started := map[string]bool{}
	for _, c := range old.containers {
		started[c.Name] = c.State != lifecycle.ContainerCreated && c.Reason != "StartError"
	}
	for _, c := range m.Pod.Spec.Containers {
		if !started[c.Name] {
			return false
		}
	}
	return old.pod.State == lifecycle.PodReady
}

// build is the making of one pod.
type build struct {
	*Applier
	m      manifest.Manifest
	report func(Progress)
	pod    status.Pod
}

func (b *build) step(container, text string) {
	b.report(Progress{Pod: b.m.Ref(), Container: container, Step: text})
}

func (b *build) run(ctx context.Context, back *undo.Stack) (Result, error) {
	facts, err := b.facts()
	if err != nil {
		return Result{}, about(b.m.Ref(), err)
	}
	plan, err := manifest.Translate(b.m, facts)
	if err != nil {
		return Result{}, about(b.m.Ref(), err)
	}
	b.step("", "prepare volumes")
	if err := b.makeVolumes(facts.UID, plan.Volumes, back); err != nil {
		return Result{}, about(b.m.Ref(), err)
	}
	b.step("", "run sandbox")
	if b.pod, err = b.Engine.RunPod(ctx, plan.Pod); err != nil {
		return Result{}, err
	}
	pod := b.pod
	back.Push("pod "+b.m.Ref(), func(ctx context.Context) error { return b.discard(ctx, pod.ID) })
	facts.PodIPs = b.pod.IPs
	if plan, err = manifest.Translate(b.m, facts); err != nil {
		return Result{}, about(b.m.Ref(), err)
	}
	var ids []string
	for _, in := range plan.Init {
		id, err := b.runInit(ctx, in)
		if err != nil {
			return Result{}, err
		}
		ids = append(ids, id)
	}
	started, err := b.startAll(ctx, plan.Containers)
	if err != nil {
		return Result{}, err
	}
	return b.result(append(ids, started...))
}

func (b *build) result(ids []string) (Result, error) {
	r := Result{Pod: b.m.Ref(), ID: b.pod.ID}
	for _, id := range ids {
		c, err := b.Engine.Container(id)
		if err != nil {
			return Result{}, err
		}
		r.Containers = append(r.Containers, c)
	}
	return r, nil
}

// facts are the machine's with those of the pod to be made.
func (b *build) facts() (manifest.Facts, error) {
	var f manifest.Facts
	if b.Facts != nil {
		var err error
		if f, err = b.Facts(); err != nil {
			return f, err
		}
	}
	f.UID = newUID()
	f.VolumeDir = b.volumeDir(f.UID)
	profiles, err := b.readProfiles(manifest.SeccompFiles(b.m))
	f.Seccomp = profiles
	return f, err
}

// newUID returns a random UUID (RFC 9562 version 4). It names a directory.
func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// startAll creates and starts the containers side by side: none waits for another.
func (b *build) startAll(ctx context.Context, all []spec.Container) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ids, errs := make([]string, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			ids[i], errs[i] = b.start(ctx, c)
			if errs[i] != nil {
				cancel() // the others are going to be removed
			}
		})
	}
	wg.Wait()
	return ids, cause(errs)
}

// cause joins errors, leaving out the cancellations that the others brought about.
func cause(errs []error) error {
	var real []error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			real = append(real, err)
		}
	}
	if len(real) == 0 {
		return errors.Join(errs...)
	}
	return errors.Join(real...)
}

// start creates and starts one container and returns its ID.
func (b *build) start(ctx context.Context, c spec.Container) (string, error) {
	b.step(c.Name, "create")
	if err := makeSubPaths(c.Mounts); err != nil {
		return "", about(b.m.Ref(), fmt.Errorf("container %s: %w", c.Name, err))
	}
	st, err := b.Engine.CreateContainer(ctx, b.pod.ID, c)
	if err != nil {
		return "", err
	}
	b.step(c.Name, "start")
	return st.ID, b.Engine.StartContainer(ctx, st.ID)
}

// about names the pod in errors of this package's own; the engine's name their
// subject already.
func about(pod string, err error) error { return fmt.Errorf("pod %s: %w", pod, err) }

// discard kills and removes a pod whose making went wrong.
func (b *build) discard(ctx context.Context, id string) error {
	return b.end(ctx, id, new(time.Duration(0)))
}
