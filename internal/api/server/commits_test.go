package server

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/spec"
)

func TestConfigOfACommittedContainer(t *testing.T) {
	base := v1.ImageConfig{
		Entrypoint: []string{"entry"}, Cmd: []string{"cmd"}, Env: []string{"A=1", "AB=2"}, User: "1", WorkingDir: "/w",
		Labels: map[string]string{"a": "1"}, ExposedPorts: map[string]struct{}{"80/tcp": {}},
	}
	for name, c := range map[string]struct {
		container spec.Container
		changes   v1.ImageConfig
		want      func(c *v1.ImageConfig)
	}{
		"nothing":   {spec.Container{}, v1.ImageConfig{}, func(*v1.ImageConfig) {}},
		"arguments": {spec.Container{Args: []string{"x"}}, v1.ImageConfig{}, func(c *v1.ImageConfig) { c.Cmd = []string{"x"} }},
		"a command drops the arguments": {spec.Container{Command: []string{"x"}}, v1.ImageConfig{},
			func(c *v1.ImageConfig) { c.Entrypoint, c.Cmd = []string{"x"}, nil }},
		"environment": {spec.Container{Env: []string{"A=3", "B=4"}}, v1.ImageConfig{Env: []string{"B=5"}},
			func(c *v1.ImageConfig) { c.Env = []string{"A=3", "AB=2", "B=5"} }},
		"changes come last": {spec.Container{User: "2", WorkingDir: "/x"}, v1.ImageConfig{User: "3", StopSignal: "QUIT"},
			func(c *v1.ImageConfig) { c.User, c.WorkingDir, c.StopSignal = "3", "/x", "QUIT" }},
		"labels and ports": {spec.Container{Labels: map[string]string{"b": "2"}}, v1.ImageConfig{ExposedPorts: map[string]struct{}{"1/udp": {}}},
			func(c *v1.ImageConfig) {
				c.Labels = map[string]string{"a": "1", "b": "2"}
				c.ExposedPorts = map[string]struct{}{"80/tcp": {}, "1/udp": {}}
			}},
	} {
		want := base
		c.want(&want)
		if d := cmp.Diff(want, configOf(base, c.container, c.changes)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	if base.Env[0] != "A=1" || len(base.Labels) != 1 || len(base.ExposedPorts) != 1 {
		t.Error("the parent's configuration was changed")
	}
}
