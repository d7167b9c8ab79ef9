package systest

import (
	"context"
	"maps"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/pod/plugin"
	"carob/internal/spec"
	"carob/internal/status"
)

// plugins is a plugin that gives every container with the label "adjust" a variable, and halves
// the quota that its limits ask for.
type plugins struct{ m *Machine }

// Asked lists the pods and containers that plugins were asked about and have not been told to
// forget, by ID.
func Asked(m *Machine) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.asked)
}

func (p plugins) ask(ctx context.Context, name, id string) error {
	return p.m.do(ctx, name, func() error { p.m.asked[id] = true; return nil })
}

func (p plugins) RunPod(ctx context.Context, s status.Pod) error {
	return p.ask(ctx, "Plugins.RunPod", s.ID)
}

func (p plugins) Create(ctx context.Context, d plugin.Draft) (*spec.Container, error) {
	if err := p.ask(ctx, "Plugins.Create", d.Container.ID); err != nil || d.Container.Spec.Labels["adjust"] == "" {
		return nil, err
	}
	c := *d.Container.Wish()
	c.Env = append(c.Env, "ADJUSTED="+d.OCI.Process.Args[0])
	return &c, nil
}

func (p plugins) Start(ctx context.Context, c status.Container) error {
	return p.m.do(ctx, "Plugins.Start", func() error { return nil })
}

func (p plugins) Update(ctx context.Context, c status.Container, limits *specs.LinuxResources) (*specs.LinuxResources, error) {
	err := p.m.do(ctx, "Plugins.Update", func() error { return nil })
	if err != nil || c.Spec.Labels["adjust"] == "" {
		return limits, err
	}
	half := *limits.CPU.Quota / 2
	return &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &half}}, nil
}

func (p plugins) UpdatePod(context.Context, status.Pod, *specs.LinuxResources, *specs.LinuxResources) (func(), error) {
	return func() {}, nil
}

func (p plugins) Forget(podID, containerID string) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if containerID == "" {
		containerID = podID
	}
	delete(p.m.asked, containerID)
}
