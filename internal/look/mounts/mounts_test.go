package mounts

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const host = `27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 27 0:21 / /proc rw - proc proc rw
30 27 254:1 / /data\040disk rw - xfs /dev/vdb ro
31 27 0:40 / /home rw - tmpfs tmpfs rw
broken line
40 27 254:0 /srv /export ro,idmapped master:2 - ext4 /dev/vda rw
`

func read(t *testing.T) []Mount {
	t.Helper()
	all, err := Parse(strings.NewReader(host))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestParse(t *testing.T) {
	all := read(t)
	if len(all) != 5 {
		t.Fatalf("%d mounts, want 5", len(all))
	}
	want := Mount{
		Line: 3, Text: `30 27 254:1 / /data\040disk rw - xfs /dev/vdb ro`, ID: 30, Parent: 27, Device: "254:1", Root: "/",
		Point: "/data disk", Options: []string{"rw"}, Type: "xfs", Source: "/dev/vdb", Super: []string{"ro"},
	}
	if d := cmp.Diff(want, all[2]); d != "" {
		t.Error(d)
	}
	if !all[2].ReadOnly() || all[0].ReadOnly() || !all[4].ReadOnly() {
		t.Error("read-only: want the options of the mount or of its file system to count")
	}
	if all[0].Shared != 1 || all[4].Shared != 0 || !all[4].IDMapped() || all[4].Line != 6 {
		t.Errorf("got %+v, %+v", all[0], all[4])
	}
}

func TestOver(t *testing.T) {
	all := read(t)
	for _, c := range []struct{ path, point string }{
		{"/", "/"}, {"/proc/sys", "/proc"}, {"/process", "/"}, {"/data disk", "/data disk"}, {"/export/a", "/export"},
	} {
		if m, ok := Over(all, c.path); !ok || m.Point != c.point {
			t.Errorf("%s: in %q, want %q", c.path, m.Point, c.point)
		}
	}
	if _, ok := Over(nil, "/"); ok {
		t.Error("found a mount among none")
	}
}

func TestHostPath(t *testing.T) {
	for _, c := range []struct{ name, device, root, want string }{
		{"whole", "254:0", "/", "/"},
		{"below", "254:0", "/var/run", "/var/run"},
		{"other disk", "254:1", "/a", "/data disk/a"},
		{"seen at two places", "254:0", "/srv/a", "/srv/a"},
		{"hidden by another mount", "254:0", "/home/me", ""},
		{"not mounted", "9:9", "/", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := HostPath(read(t), Mount{Device: c.device, Root: c.root}); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(host)
	f.Add("1 1 0:1 \\1 \\777 rw - a b")
	f.Fuzz(func(t *testing.T, s string) {
		all, err := Parse(strings.NewReader(s))
		if err != nil {
			return
		}
		for _, m := range all {
			if m.Line < 1 || len(m.Options) == 0 {
				t.Errorf("%+v", m)
			}
			HostPath(all, m)
		}
	})
}
