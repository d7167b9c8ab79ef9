package oci

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ident"
	"carob/internal/spec"

	"github.com/google/go-cmp/cmp"
)

func TestExecRefusals(t *testing.T) {
	r := plain()
	out, err := Container(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]spec.Exec{
		"no command":         {},
		"empty command":      {Command: []string{""}},
		"NUL":                {Command: []string{"a\x00b"}},
		"relative directory": {Command: []string{"a"}, WorkingDir: "tmp"},
		"env":                {Command: []string{"a"}, Env: []string{"="}},
	} {
		if x, err := Process(r, out.Process, e, ident.Identity{}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
}

// TestExecEnvironment: what was said stays, what was a default follows the user and
// the terminal.
func TestExecEnvironment(t *testing.T) {
	tests := []struct {
		name      string
		container spec.Container
		image     []string
		exec      spec.Exec
		want      []string
	}{
		{"same", spec.Container{TTY: true}, nil, spec.Exec{TTY: true}, []string{"TERM=xterm", "HOME=/root"}},
		{"no terminal", spec.Container{TTY: true}, nil, spec.Exec{}, []string{"HOME=/root"}},
		{"no terminal, TERM said", spec.Container{TTY: true, Env: []string{"TERM=vt100"}}, nil, spec.Exec{}, []string{"TERM=vt100", "HOME=/root"}},
		{"a terminal", spec.Container{}, nil, spec.Exec{TTY: true}, []string{"HOME=/root", "TERM=xterm"}},
		{"another user", spec.Container{}, nil, spec.Exec{User: "u"}, []string{"HOME=/home/u"}},
		{"another user, HOME of the image", spec.Container{}, []string{"HOME=/data"}, spec.Exec{User: "u"}, []string{"HOME=/data"}},
		{"another user, own HOME", spec.Container{}, nil, spec.Exec{User: "u", Env: []string{"HOME=/x", "A=1", "A"}}, []string{"HOME=/x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := plain()
			r.Image.Env = tt.image
			r.Container = &tt.container
			out, err := Container(r)
			if err != nil {
				t.Fatal(err)
			}
			before := slices.Clone(out.Process.Env)
			tt.exec.Command = []string{"env"}
			x, err := Process(r, out.Process, tt.exec, ident.Identity{UID: 7, Home: "/home/u"})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(append([]string{defaultPath}, tt.want...), x.Env); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(before, out.Process.Env); d != "" {
				t.Errorf("the container's changed: %s", d)
			}
		})
	}
}

// TestExecKeeps: limits, labels and no_new_privs go over to the exec, and an exec as
// root has no more than the container's bounding set.
func TestExecKeeps(t *testing.T) {
	r := plain()
	r.Facts.AppArmor, r.Facts.SELinux = true, true
	r.Identity.UID = 1000
	r.Container.OOMScoreAdj = ptr(100)
	r.Container.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}}
	r.Container.Security = spec.Security{NoNewPrivileges: true, AppArmor: "web", SELinux: "u:r:t:s0", CapDrop: []string{"ALL"}, CapAdd: []string{"CHOWN"}}
	out, err := Container(r)
	if err != nil {
		t.Fatal(err)
	}
	x, err := Process(r, out.Process, spec.Exec{Command: []string{"id"}, User: "0"}, ident.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if !x.NoNewPrivileges || x.ApparmorProfile != "web" || x.SelinuxLabel != "u:r:t:s0" || *x.OOMScoreAdj != 100 || len(x.Rlimits) != 1 {
		t.Errorf("%+v", x)
	}
	if d := cmp.Diff([]string{"CAP_CHOWN"}, x.Capabilities.Effective); d != "" {
		t.Error(d)
	}
	same, err := Process(r, out.Process, spec.Exec{Command: []string{"id"}}, ident.Identity{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(out.Process.User, same.User); d != "" || len(same.Capabilities.Effective) > 0 {
		t.Errorf("%s %v", d, same.Capabilities.Effective)
	}
}

// TestDeviceAccess: the request nearest to a node decides.
func TestDeviceAccess(t *testing.T) {
	r := plain()
	r.Container.Devices = []spec.Device{
		{Source: "/dev/snd", Access: "r"}, {Source: "/dev/snd/seq", Access: "rw"}, {Source: "/dev/sda", Target: "/dev/disk"},
	}
	for _, p := range []string{"/dev/snd/timer", "/dev/snd/seq", "/dev/disk"} {
		r.Devices = append(r.Devices, specs.LinuxDevice{Path: p, Type: "c", Major: 1, Minor: 2})
	}
	out, err := Container(r)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range out.Linux.Resources.Devices[12:] {
		got = append(got, d.Access)
	}
	if d := cmp.Diff([]string{"r", "rw", "rwm"}, got); d != "" {
		t.Error(d)
	}
	r.Devices = append(r.Devices, r.Devices[0])
	if _, err := Container(r); !fault.Is(err, fault.Invalid) {
		t.Errorf("twice: %v", err)
	}
}
