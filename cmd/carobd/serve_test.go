package main

import (
	"strings"
	"testing"
)

// TestAble: what the daemon cannot work without is said when it starts, by name.
func TestAble(t *testing.T) {
	files := func(n uint64) func() (uint64, uint64) { return func() (uint64, uint64) { return n, n } }
	for name, c := range map[string]struct {
		euid  int
		files uint64
		says  string
	}{
		"root":      {0, leastFiles, ""},
		"nobody":    {65534, leastFiles, "only root"},
		"few files": {0, 64, "open files is 64"},
	} {
		err := able(c.euid, files(c.files))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
