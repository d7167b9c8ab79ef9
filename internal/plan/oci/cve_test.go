package oci

import (
	"encoding/json"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ident"
	"carob/internal/spec"
)

// TestCVE202224769: no capability is inheritable or ambient, whatever was asked.
func TestCVE202224769(t *testing.T) {
	for _, s := range []spec.Security{{}, {Privileged: true}, {CapAdd: []string{"ALL"}}} {
		for _, uid := range []uint32{0, 1000} {
			r := plain()
			r.Container.Security, r.Identity.UID = s, uid
			out, err := Container(r)
			if err != nil {
				t.Fatal(err)
			}
			x, err := Process(r, out.Process, spec.Exec{Command: []string{"id"}, Privileged: s.Privileged}, ident.Identity{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []*specs.LinuxCapabilities{out.Process.Capabilities, x.Capabilities} {
				if len(c.Inheritable) > 0 || len(c.Ambient) > 0 {
					t.Errorf("%+v uid %d: inheritable %v, ambient %v", s, uid, c.Inheritable, c.Ambient)
				}
				if uid != 0 && len(c.Effective)+len(c.Permitted) > 0 {
					t.Errorf("%+v uid %d: effective %v, permitted %v", s, uid, c.Effective, c.Permitted)
				}
			}
		}
	}
}

// TestCVE20224318: a HOME that is a line of /etc/passwd. CVE-2026-15809 was a first
// fix that looked for a backslash and an n.
func TestCVE20224318(t *testing.T) {
	const line = "HOME=/x\nevil:x:0:0::/root:/bin/sh"
	for name, bend := range map[string]func(*Request){
		"image":   func(r *Request) { r.Image.Env = []string{line} },
		"request": func(r *Request) { r.Container.Env = []string{line} },
		"passwd":  func(r *Request) { r.Identity.Home = line[len("HOME="):] },
	} {
		r := plain()
		bend(&r)
		if out, err := Container(r); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	r := plain()
	out, err := Container(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Process(r, out.Process, spec.Exec{Command: []string{"id"}, Env: []string{line}}, ident.Identity{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("exec: %v", err)
	}
}

// TestCVE202440635: a uid that does not fit never becomes root, and runAsNonRoot
// looks at the number that the process gets.
func TestCVE202440635(t *testing.T) {
	for _, user := range []string{"4294967296", "2147483648", "18446744073709551616", "-1"} {
		if id, err := ident.Lookup(ident.Wish{User: user}, nil, nil); err == nil {
			t.Errorf("user %s: %+v", user, id)
		}
	}
	id, err := ident.Lookup(ident.Wish{User: "00"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := plain()
	r.Identity, r.Container.User, r.Container.Security.NonRoot = id, "00", true
	if _, err := Container(r); !fault.Is(err, fault.Invalid) {
		t.Errorf("uid %d: %v", id.UID, err)
	}
}

// TestCVE202223648: an image's VOLUME is a path of its author's choice.
func TestCVE202223648(t *testing.T) {
	for _, target := range []string{"/../../etc", "/data/../../etc", "/", "/proc/self", "data", "", "/a\x00b"} {
		r := plain()
		r.Volumes = map[string]string{target: "/var/lib/carob/volumes/x"}
		if _, err := Container(r); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", target, err)
		}
	}
}

// TestCVE20220532: sysctls are the sandbox's; a container never brings one, not even
// through annotations (CVE-2024-3154) or labels (CVE-2026-53488).
func TestCVE20220532(t *testing.T) {
	r := plain()
	r.Pod.Sysctls = map[string]string{"kernel.core_pattern": "|/evil"}
	r.Container.Annotations = map[string]string{"org.systemd.property.ExecStart": "/evil", "run.oci.hooks": "/evil"}
	r.Image.Labels = map[string]string{"io.containerd.log": "binary:///evil"}
	out, err := Container(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "evil") || out.Hooks != nil {
		t.Errorf("%s", text)
	}
}

// TestCVE202325809: without a cgroup namespace of its own a container sees the
// host's hierarchy, which must not be writable.
func TestCVE202325809(t *testing.T) {
	r := plain()
	r.Namespaces.Cgroup = spec.Host
	out, err := Container(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range out.Mounts {
		if m.Type == "cgroup" && m.Options[0] != "ro" {
			t.Errorf("%+v", m)
		}
	}
}
