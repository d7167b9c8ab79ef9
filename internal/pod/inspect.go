package pod

import (
	"context"
	"fmt"
	"os"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/plan/drift"
	"carob/internal/status"
)

// InspectContainer reads what the kernel shows of a container and says where that
// differs from what was asked. It takes no lock; a container that ends meanwhile is
// shown without its observation.
func (e *Engine) InspectContainer(ctx context.Context, ref string) (status.ContainerInspection, error) {
	c, err := registry{e}.findContainer(ref)
	if err != nil {
		return status.ContainerInspection{}, err
	}
	in := status.ContainerInspection{Container: c.snapshot()}
	if in.OCI, err = c.spec(); err != nil {
		return in, err
	}
	if in.State != lifecycle.ContainerRunning {
		return in, nil
	}
	in.Observed, err = e.d.Observer.Observe(ctx, in.Pid, in.Cgroup)
	if fault.Is(err, fault.NotFound) || err != nil && c.view.Load().status.Pid != in.Pid { // it has ended
		return status.ContainerInspection{Container: c.snapshot(), OCI: in.OCI}, nil
	}
	if err != nil {
		return in, fmt.Errorf("container %s: inspect: %w", c.title(), err)
	}
	here, err := e.d.Observer.Namespaces(os.Getpid())
	if err != nil {
		return in, fmt.Errorf("container %s: inspect: %w", c.title(), err)
	}
	in.Observed.Differences = drift.Of(drift.Expectation{
		World: in.OCI, Modes: c.record().Namespaces, SandboxModes: c.pod.record().Namespaces, Sandbox: c.pod.view.Load().status.Namespaces, Host: here,
		Page: os.Getpagesize(), Mapping: c.pod.view.Load().status.UserMapping,
	}, in.Observed)
	return in, nil
}

// InspectPod reads what the kernel shows of a pod.
func (e *Engine) InspectPod(ctx context.Context, ref string) (status.PodInspection, error) {
	p, err := registry{e}.findPod(ref)
	if err != nil {
		return status.PodInspection{}, err
	}
	in := status.PodInspection{Pod: p.snapshot()}
	if in.State != lifecycle.PodReady {
		return in, nil
	}
	in.Observed, err = e.d.Observer.Observe(ctx, in.Pid, in.Cgroup)
	if fault.Is(err, fault.NotFound) { // it has just been lost
		return status.PodInspection{Pod: p.snapshot()}, nil
	}
	if err != nil {
		return in, fmt.Errorf("pod %s: inspect: %w", p.title(), err)
	}
	here, err := e.d.Observer.Namespaces(os.Getpid())
	if err != nil {
		return in, fmt.Errorf("pod %s: inspect: %w", p.title(), err)
	}
	in.Observed.Differences = drift.OfPod(p.record().Namespaces, here, in.Observed)
	if p.spec.Resources != nil {
		in.Observed.Differences = append(in.Observed.Differences, drift.Resources(p.spec.Resources, in.Observed.Resources, os.Getpagesize())...)
	}
	return in, nil
}
