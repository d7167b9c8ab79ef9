package nri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/pod/plugin"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
	"carob/internal/testenv"
)

func TestMain(m *testing.M) {
	LogTo(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// seer is a plugin in the test's own process. It remembers what it has seen, and refuses what
// has the label "refuse".
type seer struct {
	ready chan struct{}
	once  sync.Once

	mu   sync.Mutex
	seen []string
}

func (s *seer) see(what, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, what+" "+name)
	return nil
}

func (s *seer) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s *seer) Synchronize(_ context.Context, _ []*api.PodSandbox, all []*api.Container) ([]*api.ContainerUpdate, error) {
	for _, c := range all {
		_ = s.see("sync", c.GetName()) // never an error
	}
	s.once.Do(func() { close(s.ready) })
	return nil, nil
}

func (s *seer) RunPodSandbox(_ context.Context, p *api.PodSandbox) error {
	return s.see("run", p.GetName())
}

func (s *seer) StopPodSandbox(_ context.Context, p *api.PodSandbox) error {
	return s.see("stop pod", p.GetName())
}

func (s *seer) RemovePodSandbox(_ context.Context, p *api.PodSandbox) error {
	return s.see("remove pod", p.GetName())
}

func (s *seer) CreateContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	_ = s.see("create", c.GetName()) // never an error
	if c.GetLabels()["refuse"] != "" {
		return nil, nil, errors.New("not this one")
	}
	return nil, nil, nil
}

func (s *seer) StartContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	return s.see("start", c.GetName())
}

func (s *seer) PostStartContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	return s.see("started", c.GetName())
}

func (s *seer) StopContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	return nil, s.see("stop", c.GetName())
}

func (s *seer) RemoveContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	return s.see("remove", c.GetName())
}

// house is an engine on a machine that exists only in memory, with plugins.
func house(t *testing.T) (*pod.Engine, string) {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "nri.sock")
	n, err := New(Config{
		Socket: socket, PluginDir: filepath.Join(dir, "none"), ConfigDir: dir, Devices: plugin.None{}, Log: slog.New(slog.DiscardHandler),
		Registration: testenv.Patience(5 * time.Second), Request: testenv.Patience(5 * time.Second), Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	d := systest.New(dir).Deps()
	d.Log, d.Plugins = slog.New(slog.DiscardHandler), n
	e := pod.New(d)
	t.Cleanup(func() {
		if err := errors.Join(e.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(e.Recover(t.Context()), n.Serve(e)); err != nil {
		t.Fatal(err)
	}
	return e, socket
}

// connect is a seer that has been shown what there is.
func connect(t *testing.T, socket, index string) *seer {
	t.Helper()
	s := &seer{ready: make(chan struct{})}
	plugged, err := stub.New(s, stub.WithSocketPath(socket), stub.WithPluginName("seer"), stub.WithPluginIdx(index), stub.WithOnClose(func() {}))
	if err == nil {
		err = plugged.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plugged.Stop)
	<-s.ready
	return s
}

func run(ctx context.Context, e *pod.Engine, name string) error {
	if _, err := e.RunPod(ctx, spec.Pod{Name: name}); err != nil {
		return err
	}
	if _, err := e.CreateContainer(ctx, name, spec.Container{Name: name, Image: "toolbox"}); err != nil {
		return err
	}
	return e.StartContainer(ctx, name+"/"+name, pod.Streams{})
}

// eventually: what plugins are told nobody waits for.
func eventually(t *testing.T, s *seer, want []string) {
	t.Helper()
	if !systest.Eventually(func() bool { return slices.Equal(s.all(), want) }) {
		t.Errorf("saw %q, want %q", s.all(), want)
	}
}

func TestOrder(t *testing.T) {
	e, socket := house(t)
	s := connect(t, socket, "10")
	now := time.Duration(0)
	if err := errors.Join(run(t.Context(), e, "a"), e.StopPod(t.Context(), "a", &now), e.RemovePod(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, []string{"run a", "create a", "start a", "started a", "stop a", "stop pod a", "remove a", "remove pod a"})
}

// TestRemovedBeforeItsEndIsTold: plugins lag behind, and are told of the end all the same.
func TestRemovedBeforeItsEndIsTold(t *testing.T) {
	dir := t.TempDir()
	n, err := New(Config{Socket: filepath.Join(dir, "nri.sock"), PluginDir: filepath.Join(dir, "none"), ConfigDir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n.engine = pod.New(systest.New(dir).Deps())
	t.Cleanup(func() {
		if err := errors.Join(n.engine.Close(), n.Close()); err != nil {
			t.Error(err)
		}
	})
	c := &api.Container{Id: "gone", State: api.ContainerState_CONTAINER_RUNNING, Pid: 7}
	n.known.containers[c.GetId()] = c
	at := time.Unix(5, 0)
	teller{n}.tell(status.Event{
		Type: "container", Action: "exit", ContainerID: c.GetId(), Time: at, Attributes: map[string]string{"code": "137", "reason": "Error"},
	})
	if c.GetState() != api.ContainerState_CONTAINER_STOPPED || c.GetExitCode() != 137 || c.GetPid() != 0 ||
		c.GetFinishedAt() != at.UnixNano() || c.GetStatusReason() != "Error" {
		t.Errorf("told of %v", c)
	}
}

func TestRefused(t *testing.T) {
	e, socket := house(t)
	s := connect(t, socket, "10")
	_, err := e.CreateSolo(t.Context(), spec.Pod{}, spec.Container{Name: "a", Image: "toolbox", Labels: map[string]string{"refuse": "yes"}})
	if !fault.Is(err, fault.Denied) {
		t.Errorf("%v", err)
	}
	eventually(t, s, []string{"run a", "create a", "remove a", "remove pod a"})
}

// TestNoneIsMissed: whatever is made while plugins connect, each of them learns of it once.
func TestNoneIsMissed(t *testing.T) {
	e, socket := house(t)
	const pods, plugins = 24, 4
	var work sync.WaitGroup
	for i := range pods {
		work.Go(func() {
			if err := run(t.Context(), e, fmt.Sprint("p", i)); err != nil {
				t.Error(err)
			}
		})
	}
	var all []*seer
	for i := range plugins {
		all = append(all, connect(t, socket, fmt.Sprint(10+i)))
	}
	work.Wait()
	for i, s := range all {
		seen := s.all()
		for p := range pods {
			name := fmt.Sprint("p", p)
			n := 0
			for _, what := range []string{"sync ", "create "} {
				if slices.Contains(seen, what+name) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("plugin %d learned %d times of %s: %q", i, n, name, seen)
			}
		}
	}
}

func TestSocketOfAnother(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "nri.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n, err := New(Config{Socket: l.Addr().String(), PluginDir: dir, ConfigDir: dir, Log: slog.New(slog.DiscardHandler), Registration: time.Second, Request: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	d := systest.New(dir).Deps()
	d.Log = slog.New(slog.DiscardHandler)
	e := pod.New(d)
	defer func() { _ = errors.Join(e.Close(), n.Close()) }()
	if err := n.Serve(e); !fault.Is(err, fault.Exists) {
		t.Errorf("%v", err)
	}
}
