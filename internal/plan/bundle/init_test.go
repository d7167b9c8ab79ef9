package bundle

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestUnderInit(t *testing.T) {
	plan := func(mounts ...specs.Mount) *specs.Spec {
		return &specs.Spec{Process: &specs.Process{Args: []string{"a", "b"}, Cwd: "/"}, Mounts: mounts}
	}
	for _, test := range []struct{ dev, want string }{{"tmpfs", "/dev/carob-init"}, {"bind", "/run/carob-init"}} {
		dev := specs.Mount{Destination: "/dev", Type: test.dev}
		in := plan(dev)
		out := UnderInit(in, "/x")
		if d := cmp.Diff(plan(dev), in); d != "" {
			t.Errorf("the plan has changed: %s", d)
		}
		want := plan(dev, specs.Mount{Destination: test.want, Type: "bind", Source: "/x", Options: []string{"bind", "ro", "nosuid", "nodev"}})
		want.Process.Args = []string{test.want, "a", "b"}
		if d := cmp.Diff(want, out); d != "" {
			t.Error(d)
		}
	}
}
