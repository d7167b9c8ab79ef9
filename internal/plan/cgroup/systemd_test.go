package cgroup

import (
	"path"
	"strings"
	"testing"

	"carob/internal/fault"
)

// TestExpandSlice has names and paths as systemd.slice(5) and the kubelet have them.
func TestExpandSlice(t *testing.T) {
	for _, tt := range []struct{ slice, want string }{
		{"-.slice", ""},
		{"system.slice", "/system.slice"},
		{"a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"},
		{"kubepods-besteffort-pod0a1b_2c.slice", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0a1b_2c.slice"},
		{`system-systemd\x2dfsck.slice`, `/system.slice/system-systemd\x2dfsck.slice`},
		{"a.b.slice", "/a.b.slice"},
	} {
		if got, err := ExpandSlice(tt.slice); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v, want %q", tt.slice, got, err, tt.want)
		}
	}
	for _, bad := range []string{
		"", ".slice", "--.slice", "a", "a.scope", "a.slice/b.slice", "/a.slice", "-a.slice", "a-.slice", "a--b.slice",
		"a b.slice", "a\n.slice", "a\x00.slice", "../a.slice", "a/../b.slice", "é.slice", "a@b.slice", "a.slice\nMemoryMax=1",
		"cpu.slice", "memory-a.slice", "cgroup.procs-a.slice", "_a.slice", strings.Repeat("a", 250) + ".slice",
	} {
		if got, err := ExpandSlice(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: got %q, %v", bad, got, err)
		}
	}
}

// TestParseUnit has runc's documented forms of cgroupsPath.
func TestParseUnit(t *testing.T) {
	for _, tt := range []struct{ path, slice, name, full string }{
		{"system.slice:runc:434234", "system.slice", "runc-434234.scope", "/system.slice/runc-434234.scope"},
		{":runc:x", "system.slice", "runc-x.scope", "/system.slice/runc-x.scope"},
		{"a-b.slice:cri-containerd:9f", "a-b.slice", "cri-containerd-9f.scope", "/a.slice/a-b.slice/cri-containerd-9f.scope"},
		{"-.slice::x", "-.slice", "x.scope", "/x.scope"},
		{"a.slice:ignored:a-b.slice", "a.slice", "a-b.slice", "/a.slice/a-b.slice"},
		{"-.slice::b.slice", "-.slice", "b.slice", "/b.slice"},
	} {
		u, err := ParseUnit(tt.path)
		if err != nil || u.Slice != tt.slice || u.Name != tt.name {
			t.Errorf("%s: got %+v, %v", tt.path, u, err)
			continue
		}
		if full, err := u.Path(); err != nil || full != tt.full {
			t.Errorf("%s: path %q, %v, want %q", tt.path, full, err, tt.full)
		}
	}
	for _, bad := range []string{
		"", "/", "/a/b", "a:b", "a:b:c", "a.slice:b:", "a.slice:b:c:d", "a.slice:b:c/d", "a.slice:../b:c", "a.slice:b:c\nd",
		"a.slice:b c:d", "a.slice::b.slice", "a/b.slice:c:d", "a.slice:cgroup.b:c", "a.slice::pids", "a.slice:_b:c",
		"a.slice:b:" + strings.Repeat("c", 255), "a.slice:b:c@d",
	} {
		if u, err := ParseUnit(bad); !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), "linux.cgroupsPath: ") {
			t.Errorf("%q: got %+v, %v", bad, u, err)
		}
	}
}

func FuzzParseUnit(f *testing.F) {
	for _, s := range []string{"system.slice:runc:x", ":a:b", "a-b.slice::c", "a.slice::a-b.slice", "a.slice:b:../c", "-.slice::x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUnit(s)
		if err != nil {
			return
		}
		full, err := u.Path()
		if err != nil {
			t.Fatalf("%q: %+v has no path: %v", s, u, err)
		}
		if path.Clean(full) != full || path.Base(full) != u.Name || strings.ContainsAny(full, "\x00\n\t \"'=") {
			t.Fatalf("%q became %q", s, full)
		}
		for part := range strings.SplitSeq(full[1:], "/") {
			if len(part) > maxUnitName || strings.HasPrefix(part, "cgroup.") {
				t.Fatalf("%q became %q", s, full)
			}
		}
	})
}
