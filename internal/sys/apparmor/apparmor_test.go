package apparmor

import (
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/testenv"
)

const profiles = `docker-default (enforce)
/usr/bin/man//filter (enforce)
a profile (of mine) (complain)
`

func TestFind(t *testing.T) {
	for name, want := range map[string]bool{
		"docker-default": true, "/usr/bin/man//filter": true, "a profile (of mine)": true, "a profile": false, "docker": false, "": false, "enforce": false,
	} {
		if got, err := find(strings.NewReader(profiles), name); got != want || err != nil {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(profiles, "docker-default")
	f.Fuzz(func(t *testing.T, text, name string) {
		if found, _ := find(strings.NewReader(text), name); found && !strings.Contains(text, name+" (") {
			t.Errorf("%q is not in %q", name, text)
		}
	})
}

// TestCheck asks a kernel that has AppArmor.
func TestCheck(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.AppArmor)
	if err := Check("no-such-profile"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a profile that is not loaded: %v", err)
	}
	if err := Check("a//&no-such-profile"); err != nil {
		t.Errorf("a stack: %v", err)
	}
}
