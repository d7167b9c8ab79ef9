package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/checkpoint"
)

const mountinfo = `10 9 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/l
11 10 0:51 / /dev rw,nosuid - tmpfs tmpfs rw,size=64k
12 10 0:52 / /proc rw - proc proc rw
13 12 0:51 /null /proc/keys rw - tmpfs tmpfs rw
14 12 0:52 /sys /proc/sys ro,relatime - proc proc rw
15 11 0:53 / /dev/shm rw - tmpfs shm rw
16 10 8:1 /srv/a\\040b /data\\040dir ro - ext4 /dev/sda1 rw
17 10 0:54 / /cg rw - tmpfs tmpfs rw
18 17 0:30 /x /cg/memory ro - cgroup cgroup rw,memory
19 10 0:55 / /tmp rw - tmpfs tmpfs ro
`

func mounts(t *testing.T, text string) []checkpoint.Mount {
	t.Helper()
	all, err := checkpoint.Mounts(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestExternal: masks and read-only paths are the container's own, volumes, cgroups and what is
// named are not.
func TestExternal(t *testing.T) {
	all := mounts(t, strings.ReplaceAll(mountinfo, `\\`, `\`))
	got := checkpoint.External(all, []string{"/dev/shm"})
	if diff := cmp.Diff([]string{"/dev/shm", "/data dir", "/cg/memory"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStreams(t *testing.T) {
	all := mounts(t, mountinfo)
	for want, s := range map[string]checkpoint.Stream{
		"pipe:[7]":   {Link: "pipe:[7]", Mount: 3},
		"file[3:1f]": {Link: "/dev/null", Mount: 3, Inode: 31},
		"":           {Link: "/dev/pts/0", Mount: 11, Inode: 31},
	} {
		if got := s.Key(all); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

func wish() *checkpoint.Wish {
	caps := []string{"CAP_CHOWN"}
	return &checkpoint.Wish{
		Spec: &specs.Spec{
			Root: &specs.Root{},
			Process: &specs.Process{
				User: specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9}}, NoNewPrivileges: true, ApparmorProfile: "mine",
				Capabilities: &specs.LinuxCapabilities{Bounding: caps, Permitted: caps, Effective: caps},
			},
			Mounts: []specs.Mount{{Destination: "/data dir", Options: []string{"ro"}}},
			Linux: &specs.Linux{
				Seccomp: &specs.LinuxSeccomp{}, MaskedPaths: []string{"/proc/keys", "/proc/none"}, ReadonlyPaths: []string{"/proc/sys"},
			},
		},
		Namespaces: map[string]string{"net": "net:[1]"}, Not: map[string]string{"mnt of self": "mnt:[2]"},
		Cgroup: "/carob/x", Devices: []string{"0:50", "8:1"}, Absent: []string{"/proc/none"},
	}
}

func seen(t *testing.T) checkpoint.Seen {
	return checkpoint.Seen{
		Status: "Name:\tx\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t8 9 \nCapInh:\t0\nCapPrm:\t1\nCapEff:\t1\nCapBnd:\t1\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n",
		Cgroup: "4:memory:/carob/x/sub\n0::/\n", Profile: "mine (enforce)\n",
		Namespaces: map[string]string{"net": "net:[1]", "mnt": "mnt:[9]"}, Mounts: mounts(t, strings.ReplaceAll(mountinfo, `\\`, `\`)),
	}
}

// TestJudge: each thing that is too much is refused by name; what was asked for is not.
func TestJudge(t *testing.T) {
	if err := wish().Judge(seen(t)); err != nil {
		t.Fatalf("what was asked for: %v", err)
	}
	status := func(from, to string) func(*checkpoint.Wish, *checkpoint.Seen) {
		return func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Status = strings.Replace(s.Status, from, to, 1) }
	}
	for want, bend := range map[string]func(*checkpoint.Wish, *checkpoint.Seen){
		"capabilities 0x20 in CapBnd": status("CapBnd:\t1", "CapBnd:\t21"),
		"capabilities 0x2 in CapAmb":  status("CapAmb:\t0", "CapAmb:\t2"),
		"CapEff is":                   status("CapEff:\t1\n", ""),
		"new privileges":              status("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
		"no seccomp filter":           status("Seccomp:\t2", "Seccomp:\t0"),
		"user 0":                      status("Uid:\t7\t7", "Uid:\t7\t0"),
		"group 0":                     status("Gid:\t8\t8", "Gid:\t8\t0"),
		"group 5":                     status("Groups:\t8 9", "Groups:\t8 5"),
		"another net namespace":       func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Namespaces["net"] = "net:[3]" },
		"the mnt of self":             func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Namespaces["mnt"] = "mnt:[2]" },
		"cgroup /carob/xy of memory":  func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Cgroup = "4:memory:/carob/xy\n" },
		"another cgroup":              func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Cgroup = "0::/\n" },
		`AppArmor profile "other"`:    func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Profile = "other (enforce)" },
		"a file system of type ext4":  func(w *checkpoint.Wish, _ *checkpoint.Seen) { w.Devices = w.Devices[:1] },
		"a writable root file system": func(w *checkpoint.Wish, _ *checkpoint.Seen) { w.Spec.Root.Readonly = true },
		"/data dir writable":          func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Mounts[6].ReadOnly = false },
		"/proc/sys writable":          func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Mounts[4].ReadOnly = false },
		"/proc/keys, which is masked": func(_ *checkpoint.Wish, s *checkpoint.Seen) { s.Mounts[3].Point = "/proc/other" },
		"/proc/none, which is masked": func(w *checkpoint.Wish, _ *checkpoint.Seen) { w.Absent = nil },
	} {
		w, s := wish(), seen(t)
		bend(w, &s)
		if err := w.Judge(s); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func FuzzMounts(f *testing.F) {
	f.Add(mountinfo)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := checkpoint.Mounts(strings.NewReader(text))
		if err == nil && len(checkpoint.External(all, nil)) > len(all) {
			t.Error("more external mounts than mounts")
		}
	})
}
