package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carob/internal/fault"
	"carob/internal/kube/manifest"
	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
)

var errInjected = errors.New("injected")

// fake is an engine, a mounter and a log reader in memory. The call number failAt
// fails once; 0 fails none.
type fake struct {
	mu     sync.Mutex
	calls  int
	failAt int
	last   string
	said   []string
	next   int
	pods   map[string]*status.Pod
	all    map[string]*status.Container
	mounts map[string]int64
	logs   map[string]string
	// exits are the exit codes of init containers, attempt by attempt; a name that
	// is missing exits with 0, an empty list never exits.
	exits map[string][]int
}

func newFake() *fake {
	return &fake{pods: map[string]*status.Pod{}, all: map[string]*status.Container{}, mounts: map[string]int64{},
		logs: map[string]string{}, exits: map[string][]int{}}
}

// call counts a call and injects the fault. f.mu is held.
func (f *fake) callLocked(format string, args ...any) error {
	f.calls++
	f.last = fmt.Sprintf(format, args...)
	f.said = append(f.said, f.last)
	if f.calls == f.failAt {
		return errInjected
	}
	return nil
}

func (f *fake) RunPod(ctx context.Context, p spec.Pod) (status.Pod, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("run %s", p.Name); err != nil {
		return status.Pod{}, err
	}
	if err := ctx.Err(); err != nil {
		return status.Pod{}, err
	}
	f.next++
	st := &status.Pod{ID: fmt.Sprintf("pod%d", f.next), Name: p.Name, Namespace: p.Namespace,
		State: lifecycle.PodReady, IPs: []string{"10.0.0.9"}, Spec: p}
	f.pods[st.ID] = st
	return *st, nil
}

func (f *fake) findLocked(ref string) *status.Pod {
	for id, p := range f.pods {
		if id == ref || p.Namespace+"/"+p.Name == ref || p.Name == ref {
			return p
		}
	}
	return nil
}

func (f *fake) StopPod(_ context.Context, ref string, _ *time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("stop pod"); err != nil {
		return err
	}
	p := f.findLocked(ref)
	if p == nil {
		return fault.New(fault.NotFound, "no pod")
	}
	p.State = lifecycle.PodExited
	for _, c := range f.all {
		if c.PodID == p.ID {
			c.State = lifecycle.ContainerExited
		}
	}
	return nil
}

func (f *fake) RemovePod(_ context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("remove pod"); err != nil {
		return err
	}
	p := f.findLocked(ref)
	if p == nil {
		return fault.New(fault.NotFound, "no pod")
	}
	if p.State != lifecycle.PodExited {
		return fault.New(fault.Conflict, "pod runs")
	}
	for id, c := range f.all {
		if c.PodID == p.ID {
			delete(f.all, id)
		}
	}
	delete(f.pods, p.ID)
	return nil
}

func (f *fake) Pod(ref string) (status.Pod, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.findLocked(ref)
	if p == nil {
		return status.Pod{}, fault.New(fault.NotFound, "no pod")
	}
	return *p, nil
}

func (f *fake) CreateContainer(ctx context.Context, pod string, c spec.Container) (status.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("create %s", c.Name); err != nil {
		return status.Container{}, err
	}
	if err := ctx.Err(); err != nil {
		return status.Container{}, err
	}
	p := f.findLocked(pod)
	for _, id := range p.Containers {
		if old := f.all[id]; old != nil && old.Name == c.Name {
			return status.Container{}, fault.New(fault.Exists, "name taken")
		}
	}
	f.next++
	st := &status.Container{ID: fmt.Sprintf("c%d", f.next), Name: c.Name, PodID: p.ID, State: lifecycle.ContainerCreated,
		CreatedAt: time.Unix(int64(f.next), 0), LogPath: c.Name + ".log", Spec: c}
	f.all[st.ID] = st
	p.Containers = append(slices.Clone(p.Containers), st.ID)
	return *st, nil
}

func (f *fake) StartContainer(ctx context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.all[ref]
	if err := f.callLocked("start %s", c.Name); err != nil {
		return err
	}
	c.State = lifecycle.ContainerRunning
	return ctx.Err()
}

func (f *fake) StopContainer(_ context.Context, ref string, timeout *time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.all[ref]
	if c == nil {
		return fault.New(fault.NotFound, "no container")
	}
	if err := f.callLocked("stop %s %v", c.Name, timeout.Round(time.Second)); err != nil {
		return err
	}
	c.State = lifecycle.ContainerExited
	return nil
}

func (f *fake) RemoveContainer(_ context.Context, ref string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("remove %s", f.all[ref].Name); err != nil {
		return err
	}
	delete(f.all, ref)
	return nil
}

func (f *fake) WaitContainer(ctx context.Context, ref string) (status.Exit, error) {
	f.mu.Lock()
	c := f.all[ref]
	err := f.callLocked("wait %s", c.Name)
	codes, planned := f.exits[c.Name]
	f.mu.Unlock()
	if err != nil {
		return status.Exit{}, err
	}
	if planned && len(codes) == 0 {
		<-ctx.Done()
		return status.Exit{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.State = lifecycle.ContainerExited
	if planned {
		c.ExitCode = codes[min(int(c.Spec.Attempt), len(codes)-1)]
	}
	return status.Exit{Code: c.ExitCode}, nil
}

func (f *fake) Container(ref string) (status.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.all[ref]; c != nil {
		return *c, nil
	}
	return status.Container{}, fault.New(fault.NotFound, "no container")
}

func (f *fake) Tmpfs(dir string, size int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("tmpfs %s", filepath.Base(dir)); err != nil {
		return err
	}
	f.mounts[dir] = size
	return nil
}

func (f *fake) Unmount(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.callLocked("unmount %s", filepath.Base(dir)); err != nil {
		return err
	}
	delete(f.mounts, dir)
	return nil
}

func (f *fake) Remove(dir string) error { return os.RemoveAll(dir) }

func (f *fake) below(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []string
	for m := range f.mounts {
		if strings.HasPrefix(m, dir+"/") {
			found = append(found, m)
		}
	}
	return found, nil
}

func (f *fake) Tail(_ context.Context, path string, n int, w io.Writer) error {
	_, err := io.WriteString(w, f.logs[path])
	return err
}

// applier returns one over the fake, with its directory.
func (f *fake) applier(t *testing.T) *Applier {
	t.Helper()
	return &Applier{Engine: f, Mounts: f, Logs: f, Dir: filepath.Join(t.TempDir(), "pods"), mountsBelow: f.below}
}

// left lists everything that is still there.
func (f *fake) left(t *testing.T, a *Applier) []string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []string
	for id := range f.pods {
		all = append(all, id)
	}
	for id := range f.all {
		all = append(all, id)
	}
	for dir := range f.mounts {
		all = append(all, "mount "+dir)
	}
	entries, err := os.ReadDir(a.Dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	if len(a.locks) > 0 {
		all = append(all, "locks")
	}
	return all
}

func parse(t *testing.T, text string) []manifest.Manifest {
	t.Helper()
	ms, err := manifest.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return ms
}
