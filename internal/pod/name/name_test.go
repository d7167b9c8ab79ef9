package name

import (
	"regexp"
	"testing"

	"carob/internal/fault"
)

func TestFree(t *testing.T) {
	taken := map[string]bool{}
	shape := regexp.MustCompile(`^[a-z]+-[a-z]+(-[0-9a-f]{4,})?$`)
	for range 5000 { // more than there are pairs of words
		n := Free(func(n string) bool { return taken[n] })
		if taken[n] || !shape.MatchString(n) || len(n) > 63 {
			t.Fatalf("%q, taken %v", n, taken[n])
		}
		taken[n] = true
	}
}

func TestWithin(t *testing.T) {
	pod := []Candidate{{ID: "1", Title: "kp/app", Rank: 1}, {ID: "2", Title: "kp/app", Rank: 2}, {ID: "3", Title: "kp/init"}}
	for _, c := range []struct{ ref, want, id, says string }{
		{"kp/app", "app", "2", ""},
		{"kp/nosuch", "nosuch", "", "container kp/nosuch: no such container; the pod's are kp/app, kp/init"},
		{"kp", "", "", "container kp: is a pod; its containers are kp/app, kp/init"},
	} {
		id, err := Within(c.ref, c.want, pod)
		if id != c.id || (err == nil) != (c.says == "") || err != nil && err.Error() != c.says {
			t.Errorf("%s: %q, %v", c.ref, id, err)
		}
	}
	if _, err := Within("kp", "", nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("an empty pod: %v", err)
	}
}
