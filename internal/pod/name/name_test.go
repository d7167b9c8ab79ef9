package name

import (
	"regexp"
	"testing"
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
