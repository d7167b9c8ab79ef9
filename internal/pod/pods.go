package pod

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/plan/cgroup"
	"carob/internal/plan/check"
	"carob/internal/plan/etc"
	"carob/internal/plan/ident"
	"carob/internal/plan/namespace"
	"carob/internal/plan/selinux"
	"carob/internal/pod/attempt"
	"carob/internal/pod/hostfile"
	"carob/internal/pod/name"
	"carob/internal/pod/record"
	"carob/internal/pod/steps"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/undo"
)

// RunPod makes a pod and brings its sandbox up. It is idempotent by (namespace,
// name, uid, attempt): the same request again joins the running attempt or gets the
// ready pod; another specification under that identity is Exists. See attempt for
// what happens when ctx ends before it is ready.
func (e *Engine) RunPod(ctx context.Context, s spec.Pod) (status.Pod, error) {
	if s.Solo {
		return status.Pod{}, fault.New(fault.Invalid, "pod "+s.Name+": a solo pod is made with its container")
	}
	if err := cmp.Or(check.Pod(&s), e.d.Sandboxes.Admit(&s)); err != nil {
		return status.Pod{}, err
	}
	r, err := e.attempts.Do(ctx, attempt.Request{
		Key:     strings.Join([]string{"pod", s.Namespace, s.Name, s.UID, fmt.Sprint(s.Attempt), anonymous(s.Name)}, "\n"),
		Want:    s,
		Title:   "pod " + s.Name,
		Run:     func(ctx context.Context) (any, error) { return maker{e}.runPod(ctx, s) },
		Exists:  func(r any) bool { return !r.(*pod).view.Load().gone },
		Discard: func(r any) { maker{e}.discardPod(r.(*pod)) },
	})
	if err != nil {
		return status.Pod{}, err
	}
	return r.(*pod).snapshot(), nil
}

// anonymous keeps attempts apart whose name the engine chooses.
func anonymous(chosen string) string {
	if chosen == "" {
		return name.NewID()
	}
	return ""
}

func (e maker) runPod(ctx context.Context, s spec.Pod) (_ *pod, err error) {
	p, err := registry(e).admitPod(s)
	if err != nil || p.view.Load().status.State == lifecycle.PodReady {
		return p, err
	}
	var u undo.Stack
	defer u.OnError(ctx, &err)
	u.Push("name", func(context.Context) error { e.disown(p); return nil })
	ctx, end, err := p.lock.Begin(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := e.layPod(ctx, p, &u); err != nil {
		return nil, err
	}
	p.event("create", nil)
	var b undo.Stack // the sandbox's, which ends before what it may hold
	run := steps.Parallel
	if _, scoped := cgroup.Scope(p.record().Status.Cgroup); scoped {
		run = steps.InTurn // a scope begins with a process
	}
	err = errors.Join(run(
		func() error { return starter(e).wake(ctx, p, &b) },
		func() error { return e.makeGroup(ctx, p, &u) })...)
	if err != nil {
		return nil, errors.Join(err, b.Unwind(ctx))
	}
	preparer(e).follow(p)
	return p, nil
}

// disown takes back what registering a pod has given to it.
func (e maker) disown(p *pod) {
	if rec := p.record(); rec.Ahead {
		preparer(e).forsake(starter(e).box(p, rec))
	}
	registry(e).dismissPod(p)
}

// admitPod reserves the pod's identity, and a user namespace's range with it. The
// same pod, already ready, is returned as it is.
func (e registry) admitPod(s spec.Pod) (*pod, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.Name == "" {
		s.Name = name.Free(func(n string) bool { return e.podNamedLocked(s, n) != nil })
	}
	if p := e.podNamedLocked(s, s.Name); p != nil {
		st := &p.view.Load().status
		if st.State == lifecycle.PodReady && record.SameSpec(st.Spec, s) {
			return p, nil
		}
		return nil, fault.New(fault.Exists, fmt.Sprintf("pod %s: the name belongs to pod %.12s (%s); remove that or choose another name", p.title(), p.id, st.State))
	}
	return e.registerPodLocked(s)
}

// podNamedLocked finds the pod with this identity. Solo pods have names of their
// own: those of their containers.
func (e registry) podNamedLocked(s spec.Pod, name string) *pod {
	for _, p := range e.pods {
		o := &p.spec
		if p.name == name && o.Solo == s.Solo && (s.Solo || p.namespace == s.Namespace && o.UID == s.UID && o.Attempt == s.Attempt) {
			return p
		}
	}
	return nil
}

// registerPodLocked plans the pod's namespaces and enters it into the map.
func (e registry) registerPodLocked(s spec.Pod) (*pod, error) {
	c, err := namespace.Pod(s.Namespaces, e.peerLocked)
	if err == nil {
		err = namespace.Sysctls(s.Sysctls, c.Modes)
	}
	id := name.NewID()
	if err == nil { // before a sandbox is taken that nobody would give back
		_, err = e.d.Cgroups.Pod(&s, id)
	}
	if err != nil {
		return nil, fmt.Errorf("pod %s: %w", s.Name, err)
	}
	box, made := preparer(e).takeLocked(&s, c)
	if made {
		id, c.IDs = box.PodID, box.IDs
	} else if c.Fresh {
		if c.IDs, err = preparer(e).allocateLocked(s.UserIDs); err != nil {
			return nil, fmt.Errorf("pod %s: %w", s.Name, err)
		}
	}
	level, err := e.levelLocked(c.Peers)
	if err != nil {
		return nil, fmt.Errorf("pod %s: %w", s.Name, err)
	}
	st := status.Pod{
		ID: id, Level: level, Name: s.Name, Namespace: s.Namespace, State: lifecycle.PodAbsent, CreatedAt: time.Now(),
		UserMapping: c.IDs, Spec: s,
	}
	rec := record.Pod{Status: st, Namespaces: c.Modes, Peers: c.Peers, Ahead: made}
	if rec.Status.Cgroup, err = e.d.Cgroups.Pod(&s, id); err == nil {
		err = rec.Move(lifecycle.Create)
	}
	if err != nil {
		return nil, fmt.Errorf("pod %s: %w", s.Name, err)
	}
	p := e.newPod(rec)
	e.pods[id] = p
	return p, nil
}

// allocateLocked finds a free range, or takes the one that was asked for. A range is taken for as long as a pod that uses
// it has a record: files in its containers' root file systems carry those ids.
// Pods that share a user namespace have the same range.
func (e registry) allocateLocked(asked spec.IDRange) (status.IDMapping, error) {
	if asked.Count > 0 {
		return status.IDMapping{HostID: asked.First, Size: asked.Count}, nil
	}
	r := e.d.Ranges
	used := slices.Clone(r.Taken)
	for _, p := range e.pods {
		if m := p.view.Load().status.UserMapping; m.Size > 0 {
			used = append(used, ident.Range{First: m.HostID, Count: m.Size})
		}
	}
	for _, box := range e.ahead.All() {
		used = append(used, ident.Range{First: box.IDs.HostID, Count: box.IDs.Size})
	}
	got, err := ident.Allocate(used, r.First, r.Size, r.Count)
	return status.IDMapping{HostID: got.First, Size: got.Count}, err
}

// levelLocked is the pod's part of SELinux labels: that of the pod whose processes or
// shared memory it sees, else one that no other has.
func (e registry) levelLocked(peers map[string]string) (string, error) {
	for _, kind := range []string{"ipc", "pid"} {
		if c := e.containers[peers[kind]]; c != nil {
			return c.pod.view.Load().status.Level, nil
		}
	}
	return selinux.Labels{Process: e.d.Facts.SELinuxProcess}.FreeLevel(func(level string) bool {
		has := func(p *pod) bool { return p.view.Load().status.Level == level }
		return slices.ContainsFunc(slices.Collect(maps.Values(e.pods)), has)
	})
}

func (e registry) peerLocked(ref string) (namespace.Peer, error) {
	c, err := e.findContainerLocked(ref)
	if err != nil {
		return namespace.Peer{}, err
	}
	return namespace.Peer{ID: c.id, Title: c.title(), IDs: c.pod.view.Load().status.UserMapping}, nil
}

// dismissPod takes a pod out of the map and tells those who wait.
func (e registry) dismissPod(p *pod) {
	e.mu.Lock()
	delete(e.pods, p.id)
	e.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	v := *p.view.Load()
	v.gone = true
	p.view.Publish(v)
}

// layPod writes the pod's record and makes its directory. The caller holds the pod's
// lock.
func (e maker) layPod(ctx context.Context, p *pod, u *undo.Stack) error {
	p.step.Set("record")
	if err := p.change(func(*record.Pod) error { return nil }); err != nil {
		return err
	}
	u.Push("record", func(context.Context) error { return e.d.Store.Delete(record.PodKind, p.id) })
	u.Push("directory", func(context.Context) error { return os.RemoveAll(p.dir) })
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return fmt.Errorf("pod %s: directory: %w", p.title(), err)
	}
	return nil
}

// makeGroup makes the pod's cgroup. A solo pod has one on cgroup v2 only, unless the user
// chose the parent of its container's: beside the supervisor's in the same group, the
// container's can be cloned into. It is made with the container's.
func (e maker) makeGroup(ctx context.Context, p *pod, u *undo.Stack) error {
	group := p.record().Status.Cgroup
	if group == "" {
		return nil
	}
	// First the undo: the sandbox, made at the same time, may have a group below.
	u.Push("cgroup", func(ctx context.Context) error { return e.d.Groups.RemoveGroup(ctx, group) })
	if err := e.d.Groups.CreateGroup(ctx, group, p.spec.Resources); err != nil {
		return fmt.Errorf("pod %s: cgroup: %w", p.title(), err)
	}
	return nil
}

// wake brings the sandbox up: namespaces, network, the files of /etc. The caller
// holds the pod's lock, pushes nothing before, and unwinds b on an error.
//
// A solo pod is woken by every start of its container and rests when that has ended.
func (e starter) wake(ctx context.Context, p *pod, b *undo.Stack) error {
	box, err := e.sandbox(p)
	if err != nil {
		return fmt.Errorf("pod %s: %w", p.title(), err)
	}
	since := time.Now()
	if err := p.change(func(r *record.Pod) error { r.Since, r.Ahead = since, false; return nil }); err != nil {
		return err
	}
	b.Push("record", func(context.Context) error {
		return p.note(func(r *record.Pod) error { r.Since = time.Time{}; return nil })
	})
	b.Push("network", func(ctx context.Context) error { return e.d.Network.Detach(ctx, p.id, "") }) // what was made ahead, too
	p.step.Set("sandbox: run")
	state, err := e.d.Sandboxes.RunSandbox(ctx, box)
	if err != nil {
		return fmt.Errorf("pod %s: sandbox: %w", p.title(), err)
	}
	b.Push("sandbox", func(ctx context.Context) error { return e.d.Sandboxes.StopSandbox(ctx, p.id) })
	links, err := e.connect(ctx, p, state.Pid)
	if err != nil {
		return err
	}
	if err := e.writeFiles(p, links); err != nil {
		return fmt.Errorf("pod %s: %w", p.title(), err)
	}
	if err := e.askPlugins(ctx, p, state.Pid, links, b); err != nil {
		return err
	}
	// What the kernel shows is told where it can be learned; a pod is not refused for it.
	ns, _ := e.d.Observer.Namespaces(state.Pid)
	err = p.change(func(r *record.Pod) error {
		r.Status.Pid, r.Status.Namespaces = state.Pid, ns
		r.Status.Connect(links)
		r.Reaper = state.ReaperPid
		return r.Wake()
	})
	if err != nil {
		return err
	}
	b.Push("state", func(context.Context) error { return p.note(func(r *record.Pod) error { return r.Exit() }) })
	p.event("start", nil)
	return nil
}

// askPlugins shows plugins the pod as it will be. They know a solo pod by its container.
func (e starter) askPlugins(ctx context.Context, p *pod, pid int, links []status.Connection, b *undo.Stack) error {
	if p.spec.Solo {
		return nil
	}
	p.step.Set("plugins: run")
	st := p.view.Load().status
	st.Pid = pid
	st.Connect(links)
	if err := e.d.Plugins.RunPod(ctx, st); err != nil {
		return fmt.Errorf("pod %s: %w", p.title(), err)
	}
	b.Push("plugins", func(context.Context) error { e.d.Plugins.Forget(p.id, ""); return nil })
	return nil
}

// connect attaches the network where the pod has one of its own; a pod in another
// container's network has that one's addresses.
func (e starter) connect(ctx context.Context, p *pod, pid int) ([]status.Connection, error) {
	rec := p.record()
	if id, ok := rec.Peers["net"]; ok {
		if c, err := registry(e).findContainer(id); err == nil {
			return c.pod.view.Load().status.Connections, nil
		}
		return nil, nil
	}
	if rec.Namespaces.Net != spec.Own {
		return nil, nil
	}
	p.step.Set("network: attach")
	links, err := e.d.Network.Attach(ctx, attachmentOf(p, pid))
	if err != nil {
		return nil, fmt.Errorf("pod %s: network: %w", p.title(), err)
	}
	return links, nil
}

// attachmentOf is the pod as the network knows it.
func attachmentOf(p *pod, pid int) Attachment {
	return Attachment{
		PodID: p.id, Name: p.name, Namespace: p.namespace, Pid: pid, Joins: p.view.Load().status.Spec.Networks, Spec: &p.spec,
		Connections: p.view.Load().status.Connections,
	}
}

// writeFiles writes the pod's files of /etc.
func (e starter) writeFiles(p *pod, links []status.Connection) error {
	p.step.Set("files")
	return hostfile.WriteEtc(p.dir, etc.Request{Hostname: p.hostname(), Net: p.record().Namespaces.Net, Hosts: p.spec.Hosts, DNS: p.spec.DNS, Links: links})
}

// sandbox says what the handler must know of p. Containers whose namespaces it takes
// must run now.
func (e starter) sandbox(p *pod) (Sandbox, error) {
	rec := p.record()
	join, err := e.pidsOf(rec.Peers)
	if err != nil {
		return Sandbox{}, err
	}
	box := e.box(p, rec)
	delete(join, "cgroup") // a container's own, see package namespace
	box.Join = join
	return box, nil
}

func (e starter) box(p *pod, rec record.Pod) Sandbox {
	return Sandbox{
		PodID: p.id, Hostname: p.hostname(), Namespaces: rec.Namespaces, IDs: rec.Status.UserMapping,
		Sysctls: p.spec.Sysctls, ShmSize: cmp.Or(p.spec.ShmSize, defaultShm), Dir: p.dir,
		Cgroup: rec.Status.Cgroup, Handler: p.spec.Handler, Solo: p.spec.Solo,
	}
}

// hostname is what the pod's UTS namespace says, be it another's.
func (p *pod) hostname() string {
	rec := p.record()
	if c, err := (registry{p.e}).findContainer(rec.Peers["uts"]); err == nil {
		return cmp.Or(c.record().Status.Spec.Hostname, c.pod.hostname())
	}
	if name, err := os.Hostname(); err == nil && rec.Namespaces.UTS == spec.Host {
		return name
	}
	return cmp.Or(p.spec.Hostname, check.Hostname(p.name))
}

// pidsOf returns kind → pid of the running containers that kinds are taken from.
func (e starter) pidsOf(peers map[string]string) (map[string]int, error) {
	pids := make(map[string]int, len(peers))
	for kind, id := range peers {
		c, err := registry(e).findContainer(id)
		if err != nil {
			return nil, fmt.Errorf("%s namespace: %w", kind, err)
		}
		st := &c.view.Load().status
		if st.State != lifecycle.ContainerRunning {
			return nil, fmt.Errorf("%s namespace: %w", kind, c.fault(fault.Conflict, "does not run, its namespace cannot be joined"))
		}
		pids[kind] = st.Pid
	}
	return pids, nil
}

// discardPod takes back a pod that nobody claimed.
func (e maker) discardPod(p *pod) {
	ctx, cancel := context.WithTimeout(context.Background(), undo.Timeout)
	defer cancel()
	now := time.Duration(0)
	err := ender(e).stopPod(ctx, p, &now)
	if err == nil {
		err = remover(e).removePod(ctx, p)
	}
	if err != nil {
		e.d.Log.Error("pod that nobody waited for stays", "pod", p.id, "cause", err)
	}
}

func (p *pod) logDir() string { return filepath.Join(p.e.d.LibDir, "logs", p.id) }
