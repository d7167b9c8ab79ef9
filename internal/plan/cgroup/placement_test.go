package cgroup

import (
	"path"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/host"
	"carob/internal/spec"
)

var (
	pure   = host.Facts{CgroupMode: "v2", Systemd: true}
	hybrid = host.Facts{CgroupMode: "hybrid", Systemd: true}
	alone  = host.Facts{CgroupMode: "v2"}
)

func TestPlace(t *testing.T) {
	for _, tt := range []struct {
		wish Driver
		f    host.Facts
		want Driver
		kind fault.Kind
	}{
		{Auto, pure, Systemd, 0}, {Auto, hybrid, Cgroupfs, 0}, {Auto, alone, Cgroupfs, 0},
		{Cgroupfs, pure, Cgroupfs, 0}, {Systemd, pure, Systemd, 0},
		{Systemd, hybrid, "", fault.Unsupported}, {Systemd, alone, "", fault.Unsupported}, {"dbus", pure, "", fault.Invalid},
	} {
		p, err := Place(tt.wish, tt.f)
		if tt.want == "" {
			if !fault.Is(err, tt.kind) || !strings.HasPrefix(err.Error(), "cgroup driver ") {
				t.Errorf("%s on %s: %v", tt.wish, tt.f.CgroupMode, err)
			}
			continue
		}
		if err != nil || p.Driver != tt.want {
			t.Errorf("%s on %s: %s, %v", tt.wish, tt.f.CgroupMode, p.Driver, err)
		}
	}
}

func TestPodAndContainer(t *testing.T) {
	pod, container := strings.Repeat("a", 64), strings.Repeat("b", 64)
	in := func(slice string) string { return slice + "/carob-" + pod + ".scope/" + pod }
	const kubelets = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx_y.slice"
	for _, tt := range []struct {
		name      string
		wish      Driver
		f         host.Facts
		solo      bool
		parent    string
		pod, tree string // the container's parent
	}{
		{"nothing said", Cgroupfs, hybrid, false, "", "/carob/" + pod, "/carob/" + pod},
		{"auto stays out of systemd", Auto, pure, false, "", "/carob/" + pod, "/carob/" + pod},
		{"systemd", Systemd, pure, false, "", in("/machine.slice"), in("/machine.slice")},
		{"systemd, solo", Systemd, pure, true, "", in("/machine.slice"), in("/machine.slice")},
		{"a slice", Auto, pure, false, "a-b.slice", in("/a.slice/a-b.slice"), in("/a.slice/a-b.slice")},
		{"the root", Systemd, pure, false, "-.slice", in(""), in("")},
		{"the kubelet's", Auto, pure, false, kubelets, in(kubelets), in(kubelets)},
		{"a path", Systemd, pure, false, "/a/b", "/a/b/" + pod, "/a/b/" + pod},
		{"a path that looks so", Cgroupfs, pure, false, "/x/y.slice", "/x/y.slice/" + pod, "/x/y.slice/" + pod},
		{"solo on v1", Cgroupfs, hybrid, true, "", "", "/carob"},
		{"solo on v2", Cgroupfs, alone, true, "", "/carob/" + pod, "/carob/" + pod},
		{"solo with a path", Auto, pure, true, "/a", "", "/a"},
		{"solo with a slice", Auto, pure, true, "a.slice", in("/a.slice"), in("/a.slice")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Place(tt.wish, tt.f)
			if err != nil {
				t.Fatal(err)
			}
			s := &spec.Pod{Solo: tt.solo, CgroupParent: tt.parent}
			group, err := p.Pod(s, pod)
			if err != nil || group != tt.pod {
				t.Errorf("pod: %s, %v", group, err)
			}
			c, err := p.Container(s, group, &spec.Container{}, container)
			if err != nil || c != tt.tree+"/"+container {
				t.Errorf("container: %s, %v", c, err)
			}
			if _, scoped := Scope(c); scoped != strings.Contains(tt.pod, ".scope/") {
				t.Errorf("Scope(%s): %v", c, scoped)
			}
		})
	}
}

func TestRefusedParents(t *testing.T) {
	auto, _ := Place(Auto, pure)
	files, _ := Place(Cgroupfs, pure)
	for _, tt := range []struct {
		p      Placement
		parent string
		kind   fault.Kind
	}{
		{files, "a.slice", fault.Unsupported},
		{auto, "/a-b.slice", fault.Invalid},         // it is at /a.slice/a-b.slice
		{auto, "/b.slice/a-b.slice", fault.Invalid}, // and not there
		{auto, "/x/--.slice", fault.Invalid},
	} {
		if got, err := tt.p.Pod(&spec.Pod{CgroupParent: tt.parent}, "x"); !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.parent) {
			t.Errorf("%s: %q, %v", tt.parent, got, err)
		}
	}
	if _, err := auto.Container(&spec.Pod{}, "/carob/p", &spec.Container{CgroupParent: "a.slice"}, "x"); !fault.Is(err, fault.Unsupported) {
		t.Errorf("a container's own slice: %v", err)
	}
	for _, bad := range []string{"a", "a.scope", "a/b.slice", "../a.slice", "/a/../b", "/a//b", "/a/", "/a\nb", "a b.slice", "a.slice\n"} {
		if err := CheckParent(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, good := range []string{"", "/", "/a/b", "a-b.slice", "-.slice", "/a.slice/a-b.slice"} {
		if err := CheckParent(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

// TestScope: no path that a user chooses is taken for a scope that systemd must make.
func TestScope(t *testing.T) {
	id := strings.Repeat("0a", 32)
	u, ok := Scope("/a.slice/a-b.slice/carob-" + id + ".scope/" + id + "/c")
	if want := (Unit{"a-b.slice", "carob-" + id + ".scope"}); !ok || u != want {
		t.Errorf("%+v %v", u, ok)
	}
	if u, ok := Scope("/carob-" + id + ".scope/" + id); !ok || u.Slice != "-.slice" {
		t.Errorf("in the root: %+v %v", u, ok)
	}
	for _, other := range []string{
		"", "/", "/carob/" + id, "/a.slice/carob-" + id + ".scope", "/a.slice/carob-" + id + ".scope/x", "/a.slice/carob-x.scope/x",
		"/a/carob-" + id + ".scope/" + id, "/b.slice/a-b.slice/carob-" + id + ".scope/" + id,
		"/a.slice/docker-" + id + ".scope/" + id, "/a.slice/carob-" + id + ".service/" + id,
	} {
		if u, ok := Scope(other); ok {
			t.Errorf("%s: %+v", other, u)
		}
	}
}

func FuzzParent(f *testing.F) {
	for _, s := range []string{"", "/a", "a.slice", "a-b.slice", "/a.slice/a-b.slice", "-.slice"} {
		f.Add(s)
	}
	p, _ := Place(Systemd, pure)
	id := strings.Repeat("1", 64)
	f.Fuzz(func(t *testing.T, parent string) {
		s := &spec.Pod{CgroupParent: parent}
		group, err := p.Pod(s, id)
		if CheckParent(parent) != nil || err != nil {
			return
		}
		if path.Clean(group) != group || path.Base(group) != id || strings.ContainsAny(group, "\x00\n") {
			t.Fatalf("%q became %q", parent, group)
		}
	})
}
