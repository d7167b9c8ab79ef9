package oci

import (
	"path"
	"slices"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/spec"
)

func FuzzProfile(f *testing.F) {
	f.Add(dockerForm)
	f.Add(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"SCMP_CMP_EQ"}]}]}`)
	f.Add(`{`)
	f.Add("{\n\n\"flags\": 1")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Profile(text, machine("CAP_CHOWN"))
		if err != nil {
			if k := fault.KindOf(err); k == fault.Internal || len(err.Error()) > 2000 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: %q", k, err)
			}
			return
		}
		if p.DefaultAction == "" {
			t.Error("no default action")
		}
		for _, s := range p.Syscalls {
			if len(s.Names) == 0 || s.Action == "" {
				t.Errorf("%+v", s)
			}
		}
	})
}

// FuzzMounts: whatever is asked, what is planned is below the root, unique, not in
// the kernel's file systems, and made after its parents.
func FuzzMounts(f *testing.F) {
	f.Add("/data", "/data/sub", "/src", "a/b", "nosuid", "rslave")
	f.Add("/../x", "//", "x", "..", "size=1", "")
	f.Add("/etc/hosts/", "/dev", "/dev", "", "exec", "shared")
	f.Add("/sys/fs/cgroup", "/dev/shm", "/x", ".", "mode=1777", "private")
	f.Fuzz(func(t *testing.T, one, two, source, sub, option, propagation string) {
		r := plain()
		r.Files = map[string]string{"/etc/hosts": "/run/hosts"}
		r.Volumes = map[string]string{"/vol": "/var/vol"}
		r.Container.Mounts = []spec.Mount{
			{Type: spec.Bind, Source: source, Target: one, SubPath: sub, Propagation: propagation},
			{Type: spec.Tmpfs, Target: two, Options: []string{option}},
		}
		mounts, err := tree{newPlanner(&r)}.mounts()
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%v: %v", fault.KindOf(err), err)
			}
			return
		}
		seen := map[string]bool{}
		for i, m := range mounts {
			d := m.Destination
			if !path.IsAbs(d) || path.Clean(d) != d || d == "/" || seen[d] || strings.HasPrefix(d, "/proc/") || (d == "/proc" && i > 0) {
				t.Errorf("target %q in %+v", d, mounts)
			}
			seen[d] = true
			for _, o := range m.Options {
				if p, ok := strings.CutPrefix(o, SubPathOption); ok && (path.IsAbs(p) || slices.Contains(strings.Split(p, "/"), "..")) {
					t.Errorf("subpath %q", p)
				}
			}
			for _, earlier := range mounts[:i] {
				if strings.HasPrefix(earlier.Destination, d+"/") && d != "/dev" && d != "/sys" && d != "/sys/fs" {
					t.Errorf("%s is made after %s", d, earlier.Destination)
				}
			}
		}
	})
}

func FuzzSignal(f *testing.F) {
	for _, s := range []string{"TERM", "SIGRTMIN+3", "RTMAX-", "9", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := Signal(s); err == nil && (n < 1 || n > 64) {
			t.Errorf("Signal(%q) = %d", s, n)
		}
	})
}

func BenchmarkContainer(b *testing.B) {
	r := plain()
	r.Files = map[string]string{"/etc/hosts": "/run/hosts", "/etc/hostname": "/run/hostname", "/etc/resolv.conf": "/run/resolv.conf"}
	r.Image.Env = []string{"PATH=/bin", "LANG=C"}
	builder := New()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := builder.Container(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkContainerAlone has no Builder kept: each plan makes the default profile.
func BenchmarkContainerAlone(b *testing.B) {
	r := plain()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Container(r); err != nil {
			b.Fatal(err)
		}
	}
}
