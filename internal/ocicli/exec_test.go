package ocicli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGroups(t *testing.T) {
	for line, want := range map[string]map[string]string{
		"":                      {},
		"a/b":                   {"": "a/b"},
		"/":                     {"": "/"},
		"cpu:a":                 {"cpu": "a"},
		"cpu,cpuacct:a memory:": {"cpu": "a", "cpuacct": "a", "memory": ""},
		"name=systemd:/a":       {"name=systemd": "/a"},
		"a b":                   nil,
		":a":                    nil,
		"cpu,:a":                nil,
		"cpu:a cpu:a":           nil,
	} {
		got, err := groups(strings.Fields(line))
		if (err != nil) != (want == nil) {
			t.Errorf("%q: %v", line, err)
		}
		if d := cmp.Diff(want, got); err == nil && d != "" {
			t.Errorf("%q: %s", line, d)
		}
	}
}
