package host

import (
	"testing"
	"testing/fstest"
)

func TestSwapAccounting(t *testing.T) {
	const v1 = "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"
	for _, tt := range []struct {
		name, mode string
		files      map[string]string
		want       bool
	}{
		{"v1", "hybrid", map[string]string{v1: "9223372036854771712\n"}, true},
		{"v1 without", "v1", map[string]string{"proc/swaps": "Filename\n"}, false},
		{"v2", "v2", map[string]string{"proc/swaps": "Filename\n", "proc/cmdline": "quiet swapaccount=1\n"}, true},
		{"v2 switched off", "v2", map[string]string{"proc/swaps": "Filename\n", "proc/cmdline": "quiet swapaccount=0\n"}, false},
		{"v2 without swap", "v2", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			r := reader{root: root}
			if got := r.swapAccounting(tt.mode); got != tt.want || r.err != nil {
				t.Errorf("%v, %v; want %v", got, r.err, tt.want)
			}
		})
	}
}
