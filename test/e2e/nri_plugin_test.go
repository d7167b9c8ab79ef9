package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

// The tests' plugin is the tests' own binary, started again: by a test with pluginLog set,
// or by carob from its plugin directory, then with the log's path as its configuration. It does
// what a container's annotation "nri" says, or for others its label.
const (
	pluginLog    = "CAROB_E2E_NRI_LOG"
	pluginSocket = "CAROB_E2E_NRI_SOCKET"
	pluginName   = "CAROB_E2E_NRI_NAME"
)

func isNRIPlugin() bool {
	return os.Getenv(pluginLog) != "" || os.Getenv(api.PluginSocketEnvVar) != ""
}

// watcher is the plugin. What it sees it writes into its log, a line each.
type watcher struct {
	stub stub.Stub

	mu  sync.Mutex
	log string
}

func servePods() int {
	w := &watcher{log: os.Getenv(pluginLog)}
	var options []stub.Option
	if w.log != "" {
		options = []stub.Option{
			stub.WithSocketPath(os.Getenv(pluginSocket)), stub.WithPluginName(os.Getenv(pluginName)), stub.WithPluginIdx("20"),
			stub.WithOnClose(func() { w.say("closed"); os.Exit(3) }),
		}
	}
	var err error
	if w.stub, err = stub.New(w, options...); err == nil {
		err = w.stub.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func (w *watcher) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f, err := os.OpenFile(w.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintf(f, format+"\n", args...)
}

func (w *watcher) Configure(_ context.Context, config, runtime, _ string) (stub.EventMask, error) {
	if config != "" {
		w.log = strings.TrimSpace(config)
	}
	w.say("configured by %s", runtime)
	return 0, nil
}

func (w *watcher) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	w.say("synchronized %d pods", len(pods))
	for _, c := range containers {
		w.say("synchronized %s %s", c.GetName(), c.GetState())
	}
	return nil, nil
}

func (w *watcher) RunPodSandbox(_ context.Context, p *api.PodSandbox) error {
	w.say("run pod %s uid=%q pid=%v", p.GetName(), p.GetUid(), p.GetPid() > 0)
	if p.GetLabels()["nri"] == "refuse-pod" {
		return errors.New("this pod is not wanted")
	}
	return nil
}

func (w *watcher) UpdatePodSandbox(_ context.Context, p *api.PodSandbox, overhead, limits *api.LinuxResources) error {
	w.say("update pod %s %d+%d", p.GetName(), limits.GetMemory().GetLimit().GetValue(), overhead.GetMemory().GetLimit().GetValue())
	return nil
}

func (w *watcher) PostUpdatePodSandbox(_ context.Context, p *api.PodSandbox) error {
	w.say("updated pod %s", p.GetName())
	return nil
}

func (w *watcher) StopPodSandbox(_ context.Context, p *api.PodSandbox) error {
	w.say("stop pod %s", p.GetName())
	return nil
}

func (w *watcher) RemovePodSandbox(_ context.Context, p *api.PodSandbox) error {
	w.say("remove pod %s", p.GetName())
	return nil
}

func (w *watcher) CreateContainer(ctx context.Context, p *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	wish := c.GetLabels()["nri"]
	w.say("create %s in %s args=%q", c.GetName(), p.GetName(), c.GetArgs())
	a := &api.ContainerAdjustment{}
	switch wish {
	case "refuse":
		return nil, nil, errors.New("this container is not wanted")
	case "hang":
		<-ctx.Done()
		time.Sleep(time.Hour)
	case "adjust":
		adjustAll(a, filepath.Dir(w.log))
	case "cgroup":
		a.SetLinuxCgroupsPath("/elsewhere")
	case "sysctl":
		a.SetLinuxSysctl("net.ipv4.ip_forward", "1")
	case "hook":
		a.AddHooks(&api.Hooks{CreateRuntime: []*api.Hook{{Path: "/bin/touch", Args: []string{"touch", filepath.Join(filepath.Dir(w.log), "nri-hook")}}}})
	case "proc":
		a.AddMount(&api.Mount{Destination: "/proc/sys", Source: "/", Type: "bind", Options: []string{"rbind"}})
	}
	return a, nil, nil
}

// adjustAll asks for one of everything that a container can be given.
func adjustAll(a *api.ContainerAdjustment, dir string) {
	a.AddEnv("GIVEN", "yes")
	a.RemoveEnv("TAKEN")
	a.AddMount(&api.Mount{Destination: "/given", Source: dir, Type: "bind", Options: []string{"rbind", "ro"}})
	a.AddDevice(&api.LinuxDevice{Path: "/dev/given", Type: "c", Major: 1, Minor: 5})
	a.AddRlimit("RLIMIT_NOFILE", 200, 100)
	a.AddAnnotation("given", "yes")
	a.SetLinuxMemoryLimit(64 << 20)
	a.SetLinuxPidLimits(77)
	score := 555
	a.SetLinuxOomScoreAdj(&score)
	a.SetLinuxIOPriority(&api.LinuxIOPriority{Class: api.IOPrioClass_IOPRIO_CLASS_BE, Priority: 6})
	a.AddCDIDevice(&api.CDIDevice{Name: "vendor.example/thing=one"})
}

func (w *watcher) PostCreateContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	w.say("created %s given=%q", c.GetName(), c.GetAnnotations()["given"])
	return nil
}

func (w *watcher) StartContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	w.say("start %s", c.GetName())
	if c.GetLabels()["nri"] == "refuse-start" {
		return errors.New("this start is not wanted")
	}
	return nil
}

func (w *watcher) PostStartContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	w.say("started %s", c.GetName())
	if c.GetLabels()["nri"] == "later" {
		u := &api.ContainerUpdate{ContainerId: c.GetId()}
		u.SetLinuxMemoryLimit(48 << 20)
		failed, err := w.stub.UpdateContainers([]*api.ContainerUpdate{u, {ContainerId: "nobody", Linux: u.GetLinux()}})
		w.say("unsolicited: %d failed, %v", len(failed), err != nil)
	}
	return nil
}

func (w *watcher) UpdateContainer(_ context.Context, _ *api.PodSandbox, c *api.Container, r *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	w.say("update %s %d", c.GetName(), r.GetMemory().GetLimit().GetValue())
	if c.GetLabels()["nri"] != "adjust" {
		return nil, nil
	}
	u := &api.ContainerUpdate{ContainerId: c.GetId()}
	u.SetLinuxMemoryLimit(r.GetMemory().GetLimit().GetValue() / 2)
	return []*api.ContainerUpdate{u}, nil
}

func (w *watcher) PostUpdateContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	w.say("updated %s", c.GetName())
	return nil
}

func (w *watcher) StopContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	w.say("stop %s %s code=%d", c.GetName(), c.GetState(), c.GetExitCode())
	return nil, nil
}

func (w *watcher) RemoveContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	w.say("remove %s", c.GetName())
	return nil
}
