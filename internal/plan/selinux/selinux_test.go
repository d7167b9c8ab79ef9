package selinux

import (
	"strings"
	"testing"

	"carob/internal/fault"
)

var policy = Labels{Process: "system_u:system_r:container_t:s0", Mount: "system_u:object_r:container_file_t:s0"}

func TestWith(t *testing.T) {
	for _, x := range []struct {
		name   string
		policy Labels
		level  string
		asked  []string
		want   Labels
	}{
		{"nothing", policy, "s0:c1,c2", nil,
			Labels{"system_u:system_r:container_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"}},
		{"no level", policy, "", []string{"", ""}, policy},
		{"type", policy, "s0:c1,c2", []string{"", "::spc_t:"},
			Labels{"system_u:system_r:spc_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"}},
		{"level of the pod, type of the container", policy, "s0:c1,c2", []string{":::s0:c7,c8", "::web_t:"},
			Labels{"system_u:system_r:web_t:s0:c7,c8", "system_u:object_r:container_file_t:s0:c7,c8"}},
		{"the container's above the pod's", policy, "", []string{":::s0:c7", ":::s0:c9"},
			Labels{"system_u:system_r:container_t:s0:c9", "system_u:object_r:container_file_t:s0:c9"}},
		{"user", policy, "s0:c1,c2", []string{"me_u:::"},
			Labels{"me_u:system_r:container_t:s0:c1,c2", "me_u:object_r:container_file_t:s0:c1,c2"}},
		{"disable", policy, "s0:c1,c2", []string{"", Disable}, Labels{"", "system_u:object_r:container_file_t:s0:c1,c2"}},
		{"the pod disables, the container asks", policy, "s0:c1,c2", []string{Disable, "::web_t:"},
			Labels{"system_u:system_r:web_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"}},
		{"no policy", Labels{}, "", nil, Labels{}},
		{"no policy, all said", Labels{}, "", []string{"u:r:t:s0-s0:c0.c1023"}, Labels{Process: "u:r:t:s0-s0:c0.c1023"}},
		{"a policy without levels", Labels{"u:r:t", "u:o:f"}, "", nil, Labels{"u:r:t", "u:o:f"}},
	} {
		got, err := x.policy.With(x.level, x.asked...)
		if err != nil || got != x.want {
			t.Errorf("%s: %+v, %v, want %+v", x.name, got, err, x.want)
		}
	}
}

func TestWithRefuses(t *testing.T) {
	for asked, kind := range map[string]fault.Kind{
		"t": fault.Invalid, "a:b:c": fault.Invalid, "a b:::": fault.Invalid, `:::s0",x="`: fault.Invalid, ":::s0\x00": fault.Invalid,
		":::" + strings.Repeat("c", 5000): fault.Invalid,
	} {
		if l, err := policy.With("s0:c1,c2", asked); !fault.Is(err, kind) {
			t.Errorf("%.40q: %+v, %v", asked, l, err)
		}
	}
	if l, err := (Labels{}).With("", "::web_t:"); !fault.Is(err, fault.Unsupported) || !strings.Contains(err.Error(), "web_t") {
		t.Errorf("a part without a policy: %+v, %v", l, err)
	}
}

func TestShared(t *testing.T) {
	for mount, want := range map[string]string{
		"u:o:f:s0:c1,c2": "u:o:f:s0", "u:o:f": "u:o:f", "": "",
	} {
		if got := (Labels{Mount: mount}).Shared(); got != want {
			t.Errorf("%q: %q, want %q", mount, got, want)
		}
	}
}

func TestContext(t *testing.T) {
	for label, ok := range map[string]bool{
		"u:r:t:s0:c1,c2": true, "u:r:t": true, "u:r:t:s0-s15:c0.c1023": true, "u:r": false, "": false, Disable: false, "::t:": false, "u:r:t:s0\"": false,
	} {
		if err := Context(label); (err == nil) != ok {
			t.Errorf("%q: %v", label, err)
		}
	}
}

// TestFreeLevel: what is in use is not given again, and a policy without levels needs none.
func TestFreeLevel(t *testing.T) {
	used := map[string]bool{}
	for range 2000 {
		l, err := policy.FreeLevel(func(level string) bool { return used[level] })
		if err != nil || used[l] || !words.MatchString(":::"+l) || !strings.HasPrefix(l, "s0:c") {
			t.Fatalf("%q after %d, %v", l, len(used), err)
		}
		used[l] = true
	}
	if l, err := (Labels{Process: "u:r:t"}).FreeLevel(nil); l != "" || err != nil {
		t.Errorf("%q, %v", l, err)
	}
}

func FuzzWith(f *testing.F) {
	f.Add("::spc_t:", "s0:c1,c2")
	f.Add(Disable, "")
	f.Fuzz(func(t *testing.T, asked, level string) {
		if Check(":::"+level) != nil {
			return
		}
		got, err := policy.With(level, asked)
		if err == nil && strings.ContainsAny(got.Mount+got.Process, "\"\\ \n\x00") {
			t.Errorf("%q gives %+v", asked, got)
		}
	})
}
