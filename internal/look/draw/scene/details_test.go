package scene

import (
	"strings"
	"testing"

	"carob/internal/look"
)

// TestDetails asks for every key that a scene has, and for the facts of some.
func TestDetails(t *testing.T) {
	h := host(
		container("app", "foo", changed(map[look.Kind]uint64{look.Net: 50, look.Mnt: 60, look.User: 90})),
		container("side", "foo", changed(map[look.Kind]uint64{look.Net: 50, look.Mnt: 61, look.User: 90})),
		container("lone", "", changed(map[look.Kind]uint64{look.Net: 51})),
	)
	s := Build(Input{Host: h, Addresses: map[uint64][]string{50: {"10.0.0.5"}}, Maps: map[uint64]string{90: "root is 7 outside"}})
	for key, want := range map[string]string{
		"cgroup-/":      "holds: pod foo",
		"cgroup-/foo":   "holds: pod foo",
		"pod-foo":       "addresses: 10.0.0.5",
		"container-app": "net: 50, shared with side",
		"net:[50]":      "in it: foo/side",
		"mnt:[60]":      "in it: foo/app",
		"user:[90]":     "about: root is 7 outside",
		"ipc:[3]":       "in it: lone", // the host's, in both cards
	} {
		d, ok := s.Details(key)
		var all []string
		for _, r := range d.Rows {
			all = append(all, r.Name+": "+r.Value)
		}
		if text := strings.Join(all, "\n"); !ok || d.Key != key || d.Title == "" || !strings.Contains(text, want) {
			t.Errorf("%s: got %v %+v, no %q", key, ok, d, want)
		}
	}
	if d, _ := s.Details("ipc:[3]"); !strings.Contains(d.Words, "host") {
		t.Errorf("the host's: %+v", d)
	}
	for _, key := range []string{"", "x", "net:[99]", "net:[0]", "pod-", "cgroup-"} {
		if d, ok := s.Details(key); ok {
			t.Errorf("%q is %+v", key, d)
		}
	}
}

// TestCompany says of a container who else is in its namespaces.
func TestCompany(t *testing.T) {
	h := host(
		container("a", "p", changed(map[look.Kind]uint64{look.Net: 50})),
		container("b", "p", changed(map[look.Kind]uint64{look.Net: 50, look.UTS: 70})),
	)
	s := Build(Input{Host: h})
	got := map[string]string{}
	d, _ := s.Details("container-b")
	for _, r := range d.Rows {
		got[r.Name] = r.Value
	}
	for kind, want := range map[string]string{"net": "50, shared with a", "uts": "70, its own", "pid": "4, the host's"} {
		if got[kind] != want {
			t.Errorf("%s is %q, want %q", kind, got[kind], want)
		}
	}
	if d.Thing != "b" {
		t.Errorf("is found by %q", d.Thing)
	}
}
