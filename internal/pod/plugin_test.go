package pod_test

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/systest"
)

// TestAdjusted: a container is made from what plugins make of its request; the request stays
// beside it, and volumes are made once.
func TestAdjusted(t *testing.T) {
	m := systest.New(t.TempDir())
	e := newEngine(t, m)
	ctx := t.Context()
	s := container("app", "sleep")
	s.Labels = map[string]string{"adjust": "yes"}
	s.Env = []string{"A=1"}
	s.Mounts = []spec.Mount{{Type: spec.Volume, Target: "/data"}}
	quota := int64(100000)
	s.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &quota}}
	if _, err := e.CreateSolo(ctx, spec.Pod{}, s); err != nil {
		t.Fatal(err)
	}
	ok(t, e.StartContainer(ctx, "app", pod.Streams{}))
	in, err := e.InspectContainer(ctx, "app")
	ok(t, err)
	if !slices.Contains(in.OCI.Process.Env, "ADJUSTED=sleep") || slices.Contains(in.Spec.Env, "ADJUSTED=sleep") || in.Adjusted == nil {
		t.Errorf("made from %q, asked %q, adjusted %+v", in.OCI.Process.Env, in.Spec.Env, in.Adjusted)
	}
	asked := int64(50000)
	ok(t, e.UpdateContainer(ctx, "app", &specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: &asked}}, nil))
	in, err = e.InspectContainer(ctx, "app")
	ok(t, err)
	if got := *in.OCI.Linux.Resources.CPU.Quota; got != asked/2 || *in.Spec.Resources.CPU.Quota != asked {
		t.Errorf("quota %d, asked %d", got, *in.Spec.Resources.CPU.Quota)
	}
	ok(t, e.RemoveContainer(ctx, "app", pod.RemoveOptions{Force: true}))
	eventually(t, "nothing is left", func() bool { return len(m.Live()) == 0 })
}
