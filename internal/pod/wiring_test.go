package pod_test

import (
	"slices"
	"testing"

	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

func names(joins []spec.Join) (out []string) {
	for _, j := range joins {
		out = append(out, j.Network)
	}
	return out
}

// TestWiring: networks of a pod change while it runs and while it does not; a change
// that fails changes nothing, and the next daemon knows them.
func TestWiring(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	must[status.Pod](t)(e.RunPod(ctx, podSpec("web")))
	must[status.Container](t)(e.CreateSolo(ctx, spec.Pod{}, container("solo", "sleep")))
	w := pod.Wiring{Engine: e}
	for _, ref := range []string{"web", "solo"} { // one runs, one does not
		ok(t, w.Connect(ctx, ref, spec.Join{Network: "back", Aliases: []string{"x"}}))
		p := must[status.Pod](t)(e.Pod(ref))
		if got := names(p.Spec.Networks); !slices.Equal(got, []string{"default", "back"}) {
			t.Errorf("%s: %v", ref, got)
		}
		if err := w.Connect(ctx, ref, spec.Join{Network: "back"}); !fault.Is(err, fault.Exists) {
			t.Errorf("%s: twice: %v", ref, err)
		}
		if err := w.Disconnect(ctx, ref, "nowhere"); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	for _, step := range []func() error{
		func() error { return w.Connect(ctx, "web", spec.Join{Network: "third"}) },
		func() error { return w.Disconnect(ctx, "web", "back") },
	} {
		m.FailAt(1)
		if err := step(); err == nil {
			t.Error("a step that failed succeeds")
		}
		p := must[status.Pod](t)(e.Pod("web"))
		if got := names(p.Spec.Networks); !slices.Equal(got, []string{"default", "back"}) || len(p.Connections) != 2 {
			t.Errorf("after a failure: %v, %+v", got, p.Connections)
		}
	}
	ok(t, e.Close())
	m.Revive()
	e = newEngine(t, m)
	w = pod.Wiring{Engine: e}
	ok(t, w.Disconnect(ctx, "web", "back"))
	if err := w.Disconnect(ctx, "web", "default"); !fault.Is(err, fault.Conflict) {
		t.Errorf("the last one: %v", err)
	}
	host := podSpec("host")
	host.Namespaces.Net = spec.Host
	must[status.Pod](t)(e.RunPod(ctx, host))
	if err := w.Connect(ctx, "host", spec.Join{Network: "back"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the host's network: %v", err)
	}
	if err := w.Connect(ctx, "nobody", spec.Join{Network: "back"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("nobody: %v", err)
	}
	tearDown(t, e)
	clean(t, m)
}
