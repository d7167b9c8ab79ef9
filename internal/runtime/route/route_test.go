package route

import (
	"context"
	"slices"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
)

// recorder is a handler that notes what it is asked.
type recorder struct {
	calls []string
}

func (r *recorder) note(call string) { r.calls = append(r.calls, call) }

func (r *recorder) RunSandbox(context.Context, pod.Sandbox) (pod.SandboxState, error) {
	r.note("run")
	return pod.SandboxState{}, nil
}

func (r *recorder) AdoptSandbox(context.Context, pod.Sandbox) (pod.SandboxState, error) {
	r.note("adopt")
	return pod.SandboxState{}, fault.New(fault.NotFound, "gone")
}

func (r *recorder) StopSandbox(context.Context, string) error { r.note("stop"); return nil }

func (r *recorder) Prepare(context.Context, pod.Process) (pod.Launch, error) {
	r.note("prepare")
	return nil, nil
}

func (r *recorder) Exec(context.Context, pod.Process) (int, error) { r.note("exec"); return 1, nil }

func (r *recorder) Signal(context.Context, string, string, int) error { r.note("signal"); return nil }

func (r *recorder) KillExec(context.Context, string, string) error { r.note("kill"); return nil }

func (r *recorder) Forget(context.Context, string, string) error { r.note("forget"); return nil }

// picky admits pods with a name only.
type picky struct{ recorder }

func (picky) Admit(p *spec.Pod) error {
	if p.Name == "" {
		return fault.New(fault.Unsupported, "name: needed")
	}
	p.Namespaces.User = spec.Host
	return nil
}

func TestCallsGoToThePodsHandler(t *testing.T) {
	native, other := &recorder{}, &picky{}
	r := New(map[string]Handler{Native: native, "other": other}, nil)
	ctx := t.Context()
	if _, err := r.RunSandbox(ctx, pod.Sandbox{PodID: "a", Handler: "other"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AdoptSandbox(ctx, pod.Sandbox{PodID: "b", Handler: "other"}); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	for _, id := range []string{"a", "b", "never seen"} {
		_, _ = r.Prepare(ctx, pod.Process{PodID: id})
		_, _ = r.Exec(ctx, pod.Process{PodID: id})
		_ = r.Signal(ctx, id, "x", 9)
		_ = r.KillExec(ctx, id, "x")
		_ = r.Forget(ctx, id, "x")
		_ = r.StopSandbox(ctx, id)
	}
	each := []string{"prepare", "exec", "signal", "kill", "forget", "stop"}
	if want := slices.Concat([]string{"run", "adopt"}, each, each); !slices.Equal(other.calls, want) {
		t.Errorf("other: %v", other.calls)
	}
	if !slices.Equal(native.calls, each) {
		t.Errorf("native: %v", native.calls)
	}
	if len(r.byPod) != 0 {
		t.Errorf("remembers %v", r.byPod)
	}
}

func TestAdmit(t *testing.T) {
	r := New(map[string]Handler{Native: &recorder{}, "other": &picky{}}, nil)
	err := r.Admit(&spec.Pod{Name: "p", Handler: "nosuch"})
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "(native, other)") {
		t.Errorf("an unknown handler: %v", err)
	}
	for _, name := range []string{"", Native} {
		p := spec.Pod{Name: "p", Handler: name}
		if err := r.Admit(&p); err != nil || p.Namespaces.User != "" {
			t.Errorf("handler %q: %v, %+v", name, err, p.Namespaces)
		}
	}
	if err := r.Admit(&spec.Pod{Handler: "other"}); !fault.Is(err, fault.Unsupported) {
		t.Error(err)
	}
	p := spec.Pod{Name: "p", Handler: "other"}
	if err := r.Admit(&p); err != nil || p.Namespaces.User != spec.Host {
		t.Errorf("%v, %+v", err, p.Namespaces)
	}
}

// TestHandlerThatWentAway: a pod of a handler that is not configured any more may run;
// it must not be taken for gone.
func TestHandlerThatWentAway(t *testing.T) {
	r := New(map[string]Handler{Native: &recorder{}}, nil)
	if _, err := r.AdoptSandbox(t.Context(), pod.Sandbox{PodID: "a", Handler: "gone"}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("adopt: %v", err)
	}
}

// broken is a handler that cannot run a sandbox.
type broken struct{ recorder }

func (b *broken) RunSandbox(context.Context, pod.Sandbox) (pod.SandboxState, error) {
	return pod.SandboxState{}, fault.New(fault.Internal, "no process")
}

// TestFailedRun: pods that never ran are not remembered.
func TestFailedRun(t *testing.T) {
	r := New(map[string]Handler{Native: &broken{}}, nil)
	if _, err := r.RunSandbox(t.Context(), pod.Sandbox{PodID: "a"}); err == nil {
		t.Error("it ran")
	}
	if len(r.byPod) != 0 {
		t.Errorf("remembers %v", r.byPod)
	}
}

// TestReplace: pods keep the handler that they have, later ones get the new one.
func TestReplace(t *testing.T) {
	old, now := &recorder{}, &recorder{}
	r := New(map[string]Handler{Native: &recorder{}, "other": old, "gone": old}, nil)
	ctx := t.Context()
	if _, err := r.RunSandbox(ctx, pod.Sandbox{PodID: "a", Handler: "other"}); err != nil {
		t.Fatal(err)
	}
	r.Replace(map[string]Handler{Native: &recorder{}, "other": now})
	if _, err := r.RunSandbox(ctx, pod.Sandbox{PodID: "b", Handler: "other"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		if err := r.Signal(ctx, id, "x", 9); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"run", "signal"}; !slices.Equal(old.calls, want) || !slices.Equal(now.calls, want) {
		t.Errorf("the old one had %v, the new one %v", old.calls, now.calls)
	}
	if err := r.Admit(&spec.Pod{Handler: "gone"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a handler that is no more: %v", err)
	}
}
