// Package route sends what the engine asks of a pod to the handler that the pod has
// chosen. It is the engine's Sandboxes and Processes; what a handler does, it does
// not know.
package route

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
)

// Native is the name of carob's own handler, which runs the pods that name none.
const Native = "native"

// Handler is what runs pods.
type Handler interface {
	RunSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error)
	AdoptSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error)
	StopSandbox(ctx context.Context, podID string) error
	Prepare(ctx context.Context, p pod.Process) (pod.Launch, error)
	Exec(ctx context.Context, p pod.Process) (pid int, err error)
	Signal(ctx context.Context, podID, processID string, signal int) error
	KillExec(ctx context.Context, podID, execID string) error
	Forget(ctx context.Context, podID, processID string) error
}

// Admitter is a handler that does not take every pod.
type Admitter interface {
	// Admit completes a pod's request, or refuses it and names the field.
	Admit(p *spec.Pod) error
}

// Checkpointer is a handler that writes containers down and starts them from that.
type Checkpointer interface {
	Checkpoint(ctx context.Context, p pod.Process, images string, leave bool) error
}

// Preparer is a handler that can make a sandbox before it is asked for.
type Preparer interface {
	PrepareSandbox(ctx context.Context, s pod.Sandbox) error
}

// Streams is what works on a process that runs in the same way under every handler.
type Streams interface {
	Attach(ctx context.Context, podID, processID string, io pod.Streams) error
	Resize(ctx context.Context, podID, processID string, rows, cols uint16) error
	ReopenLog(ctx context.Context, podID, processID, path string) error
	Exits() <-chan pod.ProcessExit
}

// Router is the handlers of this machine.
type Router struct {
	Streams

	mu       sync.Mutex // guards what follows; the map of handlers is never changed, only replaced
	handlers map[string]Handler
	byPod    map[string]Handler
}

// New returns a router. handlers are by name; Native must be among them.
func New(handlers map[string]Handler, s Streams) *Router {
	return &Router{Streams: s, handlers: handlers, byPod: map[string]Handler{}}
}

// Replace gives other handlers to pods that are run from now on; those that run keep the
// one they have. The rule for names is New's.
func (r *Router) Replace(handlers map[string]Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers = handlers
}

func (r *Router) named(name string) (Handler, error) {
	if name == "" {
		name = Native
	}
	r.mu.Lock()
	all := r.handlers
	r.mu.Unlock()
	if h, ok := all[name]; ok {
		return h, nil
	}
	return nil, fault.New(fault.NotFound, fmt.Sprintf("handler %.80q: there is none (%s)", name, strings.Join(slices.Sorted(maps.Keys(all)), ", ")))
}

// of returns the handler of a pod whose sandbox was run or adopted: the native one for
// others, which then says so.
func (r *Router) of(podID string) Handler {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, ok := r.byPod[podID]; ok {
		return h
	}
	return r.handlers[Native]
}

func (r *Router) enter(podID string, h Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byPod[podID] = h
}

func (r *Router) leave(podID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byPod, podID)
}

// Admit completes a pod's request for its handler, or refuses it: NotFound when there is
// no such handler.
func (r *Router) Admit(p *spec.Pod) error {
	h, err := r.named(p.Handler)
	if err == nil {
		if a, ok := h.(Admitter); ok {
			err = a.Admit(p)
		}
	}
	if err != nil && p.Name != "" {
		return fmt.Errorf("pod %s: %w", p.Name, err)
	}
	return err
}

// RunSandbox runs a sandbox under the pod's handler.
func (r *Router) RunSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error) {
	h, err := r.named(s.Handler)
	if err != nil {
		return pod.SandboxState{}, err
	}
	r.enter(s.PodID, h)
	state, err := h.RunSandbox(ctx, s)
	if err != nil {
		r.leave(s.PodID)
	}
	return state, err
}

// PrepareSandbox makes a sandbox ahead where the handler can: else Unsupported.
func (r *Router) PrepareSandbox(ctx context.Context, s pod.Sandbox) error {
	h, err := r.named(s.Handler)
	if err != nil {
		return err
	}
	p, ok := h.(Preparer)
	if !ok {
		return fault.New(fault.Unsupported, "handler "+s.Handler+": makes no sandboxes ahead")
	}
	r.enter(s.PodID, h)
	return p.PrepareSandbox(ctx, s)
}

// AdoptSandbox takes a sandbox over under the handler that it was run by.
func (r *Router) AdoptSandbox(ctx context.Context, s pod.Sandbox) (pod.SandboxState, error) {
	h, err := r.named(s.Handler)
	if err != nil {
		return pod.SandboxState{}, fault.Wrap(fault.Unavailable, "", err) // it may run: nobody can tell
	}
	r.enter(s.PodID, h)
	return h.AdoptSandbox(ctx, s)
}

// StopSandbox ends a sandbox.
func (r *Router) StopSandbox(ctx context.Context, podID string) error {
	if err := r.of(podID).StopSandbox(ctx, podID); err != nil {
		return err
	}
	r.leave(podID)
	return nil
}

// Prepare prepares a container's process.
func (r *Router) Prepare(ctx context.Context, p pod.Process) (pod.Launch, error) {
	h := r.of(p.PodID)
	if _, can := h.(Checkpointer); p.Resume != "" && !can {
		return nil, errNoCheckpoints()
	}
	return h.Prepare(ctx, p)
}

func errNoCheckpoints() error {
	return fault.New(fault.Unsupported, "checkpoint: only the native handler makes and restores them")
}

// Checkpoint writes a container down: Unsupported where its handler cannot.
func (r *Router) Checkpoint(ctx context.Context, p pod.Process, images string, leave bool) error {
	c, can := r.of(p.PodID).(Checkpointer)
	if !can {
		return errNoCheckpoints()
	}
	return c.Checkpoint(ctx, p, images, leave)
}

// Exec runs one more process in a container.
func (r *Router) Exec(ctx context.Context, p pod.Process) (int, error) {
	return r.of(p.PodID).Exec(ctx, p)
}

// Signal sends a signal to a process.
func (r *Router) Signal(ctx context.Context, podID, processID string, signal int) error {
	return r.of(podID).Signal(ctx, podID, processID, signal)
}

// KillExec kills an exec with what it started.
func (r *Router) KillExec(ctx context.Context, podID, execID string) error {
	return r.of(podID).KillExec(ctx, podID, execID)
}

// Forget drops the record of an ended process.
func (r *Router) Forget(ctx context.Context, podID, processID string) error {
	return r.of(podID).Forget(ctx, podID, processID)
}
