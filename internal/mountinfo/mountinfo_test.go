package mountinfo

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]Mount{
		`30 27 254:1 /a\134b /data\040disk\043 rw,nosuid shared:1 master:2 - xfs /dev/v\011b ro,x`: {
			ID: 30, Parent: 27, Device: "254:1", Root: `/a\b`, Point: "/data disk#", Options: []string{"rw", "nosuid"},
			Tags: []string{"shared:1", "master:2"}, Type: "xfs", Source: "/dev/v\tb", Super: []string{"ro", "x"},
		},
		`22 27 0:21 / /p\9 ro - tmpfs  rw`: { // no source; not the kernel's escape
			ID: 22, Parent: 27, Device: "0:21", Root: "/", Point: `/p\9`, Options: []string{"ro"}, Tags: []string{}, Type: "tmpfs", Super: []string{"rw"},
		},
	} {
		got, ok := Parse(line)
		if d := cmp.Diff(want, got); !ok || d != "" {
			t.Errorf("%s: %v %s", line, ok, d)
		}
	}
	for _, line := range []string{"", "broken line", "1 2 0:3 / / rw shared:1", "x 2 0:3 / / rw - tmpfs tmpfs rw", "1 2 0:3 / /  - tmpfs tmpfs rw", "1 2 0:3 / / rw -  "} {
		if m, ok := Parse(line); ok {
			t.Errorf("%q is %+v", line, m)
		}
	}
}

func TestReadOnly(t *testing.T) {
	for line, want := range map[string]bool{
		"1 2 0:3 / / rw - tmpfs tmpfs rw": false, "1 2 0:3 / / ro,nodev - tmpfs tmpfs rw": true, "1 2 0:3 / / rw - tmpfs  ro": true,
	} {
		if m, ok := Parse(line); !ok || m.ReadOnly() != want {
			t.Errorf("%s: %+v", line, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`30 27 254:1 / /data\040disk rw - xfs /dev/vdb ro`)
	f.Fuzz(func(t *testing.T, line string) {
		if m, ok := Parse(line); ok && (m.Point == "" || m.Type == "") {
			t.Errorf("%q: %+v", line, m)
		}
	})
}
