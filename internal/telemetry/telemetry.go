// Package telemetry watches what the engine has the machine do. It stands between the
// engine and what the engine works with, changes nothing of what passes, and is not there
// at all when nobody watches. Package metrics counts the steps, package traces makes spans
// of them.
package telemetry

import "context"

// Step is one thing that the engine has the machine do. Its name is one of this
// package's constants.
type Step struct {
	Name string
	// Handler is what runs the pod, for steps that a handler takes.
	Handler string
	// Pod and Container are IDs, empty where there is none.
	Pod, Container string
}

// The steps. Those of a pod's start, in their order: CgroupCreate and SandboxRun at the
// same time, NetworkAttach; of a container's: RootCreate, CgroupCreate, RootMount and
// ProcessPrepare at the same time, ProcessStart.
const (
	SandboxRun     = "sandbox-run"
	SandboxStop    = "sandbox-stop"
	ProcessPrepare = "process-prepare"
	ProcessStart   = "process-start"
	ProcessExec    = "process-exec"
	RootCreate     = "root-create"
	RootMount      = "root-mount"
	RootRemove     = "root-remove"
	CgroupCreate   = "cgroup-create"
	CgroupRemove   = "cgroup-remove"
	NetworkAttach  = "network-attach"
	NetworkDetach  = "network-detach"
	ImagePull      = "image-pull"
)

// Watch is told that a step begins, and by calling end, which must happen once, with what
// the step has come to. What the step does is done in the context that it returns.
type Watch func(ctx context.Context, s Step) (in context.Context, end func(error))

// Together is all of some watches; nil ones are left out, and without any it is nil.
func Together(all ...Watch) Watch {
	var some []Watch
	for _, w := range all {
		if w != nil {
			some = append(some, w)
		}
	}
	if len(some) < 2 {
		for _, w := range some {
			return w
		}
		return nil
	}
	return func(ctx context.Context, s Step) (context.Context, func(error)) {
		ends := make([]func(error), len(some))
		for i, w := range some {
			ctx, ends[i] = w(ctx, s)
		}
		return ctx, func(err error) {
			for _, end := range ends {
				end(err)
			}
		}
	}
}

// act takes a step that returns nothing.
func act(ctx context.Context, w Watch, s Step, do func(context.Context) error) error {
	ctx, end := w(ctx, s)
	err := do(ctx)
	end(err)
	return err
}

// get takes a step that returns something.
func get[T any](ctx context.Context, w Watch, s Step, do func(context.Context) (T, error)) (T, error) {
	ctx, end := w(ctx, s)
	v, err := do(ctx)
	end(err)
	return v, err
}
