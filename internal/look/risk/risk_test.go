package risk

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/group"
	"carob/internal/look/ink"
	"carob/internal/look/mounts"
)

// host are the host's namespaces: mnt uts ipc pid net user cgroup time.
var host = look.NS{1, 2, 3, 4, 5, 6, 7, 8}

// dockerDefault is the set that Docker gives.
const dockerDefault = 0xa80425fb

const outside = "1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:21 / /run rw - tmpfs tmpfs rw\n3 1 0:5 / /proc rw - proc proc rw\n4 1 0:6 / /sys rw - sysfs sysfs rw\n"

// usualMounts are those of a container with masked paths, as Docker makes it.
const usualMounts = "10 0 0:50 / / rw - overlay overlay rw\n11 10 0:51 / /proc rw - proc proc rw\n12 11 0:51 /sys /proc/sys ro - proc proc rw\n" +
	"13 11 0:51 /sysrq-trigger /proc/sysrq-trigger ro - proc proc rw\n14 11 0:52 /null /proc/kcore rw - tmpfs tmpfs rw\n15 10 0:53 / /sys ro - sysfs sysfs ro\n" +
	"16 15 0:54 / /sys/firmware ro - tmpfs tmpfs ro\n17 10 8:1 /var/lib/docker/containers/x/hosts /etc/hosts rw - ext4 /dev/sda rw\n" +
	"18 15 0:55 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n"

func mountsOf(text string) []mounts.Mount {
	all, err := mounts.Parse(strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	return all
}

// docker is a container as Docker makes it, root on the host, with limits and a profile.
func docker() facts.Sheet {
	ns := look.NS{11, 12, 13, 14, 15, 6, 17, 8}
	id := strings.Repeat("a", 64)
	return facts.Sheet{
		Thing: look.Thing{Is: look.ThingContainer, Name: "web", Leader: 31, NS: ns, Container: &look.Container{ID: id, Engine: "docker", Class: look.ClassContainer}},
		Process: look.Process{
			PID: 31, NS: ns, Seccomp: 2, Filters: 1, NoNewPrivs: true, Caps: look.Caps{Effective: dockerDefault, Bounding: dockerDefault},
		},
		Users: []look.Map{{Inside: 0, Outside: 0, Size: 1<<32 - 1}}, Host: host, Label: "docker-default (enforce)",
		Group: "/docker/" + id, Listed: true, Devices: usual(), Exposed: []string{"/proc/kcore", "/sys/firmware"}, Switches: []string{"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"},
		Limits: []group.Bound{
			{Resource: "memory", Group: "/docker", SetBy: "/docker", Limit: "1GiB"}, {Resource: "pids", Group: "/docker", SetBy: "/docker", Limit: "100 tasks"},
		},
		Mounts: mountsOf(usualMounts), Outside: mountsOf(outside),
	}
}

// userns is the same in a user namespace of its own.
func userns() facts.Sheet {
	s := docker()
	s.Process.NS[look.User], s.UID = 16, 100000
	s.Users = []look.Map{{Inside: 0, Outside: 100000, Size: 65536}}
	return s
}

func found(r Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, f.Severity.String()+": "+f.Title)
	}
	return out
}

func TestDefaults(t *testing.T) {
	d, u := docker(), userns()
	if got := found(Judge(&d)); !slices.Equal(got, []string{"medium: runs as the host's root"}) {
		t.Errorf("Docker's defaults: %q", got)
	}
	r := Judge(&u)
	if got := found(r); len(got) != 0 {
		t.Errorf("the same in a user namespace: %q", got)
	}
	if want := "An escape needs a bug in the kernel that the seccomp filter leaves within reach, and would then be a user of the host without any rights (100000)."; r.Needs != want {
		t.Errorf("needs: %s", r.Needs)
	}
	if len(r.Holds) != 9 {
		t.Errorf("%d walls hold: %q", len(r.Holds), r.Holds)
	}
	if r := Judge(&d); !strings.HasSuffix(r.Needs, "it would then be root on the host.") {
		t.Errorf("needs: %s", r.Needs)
	}
}

// TestOne changes one thing of Docker's defaults and wants what is found beyond them,
// for the same container without and with a user namespace.
func TestOne(t *testing.T) {
	mount := func(line string) func(*facts.Sheet) {
		return func(s *facts.Sheet) { s.Mounts = append(s.Mounts, mountsOf(line)...) }
	}
	ns := func(k look.Kind) func(*facts.Sheet) {
		return func(s *facts.Sheet) { s.Process.NS[k] = host[k] }
	}
	caps := func(set uint64) func(*facts.Sheet) {
		return func(s *facts.Sheet) { s.Process.Caps.Effective |= set }
	}
	for _, c := range []struct {
		name       string
		change     func(*facts.Sheet)
		ruled, own string
	}{
		{"privileged", caps(facts.AllCaps()), "critical: has every capability", ""},
		{"privileged on an older kernel", caps(facts.AllCaps() >> 1), "critical: has every capability", ""},
		{"sys_admin", caps(1 << 21), "critical: has CAP_SYS_ADMIN", ""},
		{"sys_module", caps(1 << 16), "critical: has CAP_SYS_MODULE", ""},
		{"dac_read_search", caps(1 << 2), "high: has CAP_DAC_READ_SEARCH", ""},
		{"sys_ptrace", caps(1 << 19), "high: has CAP_SYS_PTRACE", ""},
		{"net_admin in its own network", caps(1 << 12), "low: has CAP_NET_ADMIN", ""},
		{"no seccomp", func(s *facts.Sheet) { s.Process.Seccomp = 0 }, "high: has no seccomp filter", "medium: has no seccomp filter"},
		{"new privileges", func(s *facts.Sheet) { s.Process.NoNewPrivs = false }, "low: has no no_new_privs", "low: has no no_new_privs"},
		{"unconfined", func(s *facts.Sheet) { s.Label = "unconfined" }, "low: no security module confines it", "low: no security module confines it"},
		{"complain", func(s *facts.Sheet) { s.Label = "x (complain)" }, "low: its AppArmor profile only complains", "low: its AppArmor profile only complains"},
		{"pid", ns(look.PID), "high: is in the host's pid namespace", "medium: is in the host's pid namespace"},
		{"net", ns(look.Net), "high: is in the host's net namespace", "medium: is in the host's net namespace"},
		{"ipc", ns(look.IPC), "medium: is in the host's ipc namespace", "low: is in the host's ipc namespace"},
		{"uts", ns(look.UTS), "low: is in the host's uts namespace", "low: is in the host's uts namespace"},
		{"docker.sock", mount("30 10 0:21 /docker.sock /var/run/docker.sock ro - tmpfs tmpfs rw\n"),
			"critical: has an engine's socket: /run/docker.sock at /var/run/docker.sock", "high: has an engine's socket: /run/docker.sock at /var/run/docker.sock"},
		{"a directory with a socket", func(s *facts.Sheet) {
			s.Sockets = []string{"/run/docker.sock"}
			s.Mounts = append(s.Mounts, mountsOf("30 10 0:21 / /h ro - tmpfs tmpfs rw\n")...)
		}, "critical: has an engine's socket: /run/docker.sock at /h/docker.sock", "high: has an engine's socket: /run/docker.sock at /h/docker.sock"},
		{"a directory with all below it", mount("30 10 8:1 / /h rw - ext4 /dev/sda rw\n31 30 0:21 / /h/run rw - tmpfs tmpfs rw\n32 30 0:6 / /h/sys rw - sysfs s rw\n"),
			"critical: sees the host's / at /h, writable", "high: sees the host's / at /h, writable"},
		{"a directory with another over it", mount("30 10 8:1 /srv /h rw - ext4 /dev/sda rw\n31 30 8:1 /etc /h/x rw - ext4 /dev/sda rw\n"),
			"high: sees the host's /etc at /h/x, writable\nlow: sees the host's /srv at /h, writable",
			"medium: sees the host's /etc at /h/x, writable\nlow: sees the host's /srv at /h, writable"},
		{"two trees of control groups", mount("30 10 0:55 / /c rw - cgroup2 cgroup rw\n31 10 0:56 / /d rw - cgroup cgroup rw,pids\n"),
			"medium: can write to control groups at /c and 1 other place", "low: can write to control groups at /c and 1 other place"},
		{"host root", mount("30 10 8:1 / /host rw - ext4 /dev/sda rw\n"),
			"critical: sees the host's / at /host, writable", "high: sees the host's / at /host, writable"},
		{"host root, read-only", mount("30 10 8:1 / /host ro - ext4 /dev/sda rw\n"),
			"high: sees the host's / at /host, read-only", "medium: sees the host's / at /host, read-only"},
		{"/etc", mount("30 10 8:1 /etc /e rw - ext4 /dev/sda rw\n"), "high: sees the host's /etc at /e, writable", "medium: sees the host's /etc at /e, writable"},
		{"below /etc", mount("30 10 8:1 /etc/ssl /e rw - ext4 /dev/sda rw\n"), "medium: sees the host's /etc/ssl at /e, writable", "low: sees the host's /etc/ssl at /e, writable"},
		{"data", mount("30 10 8:1 /srv /d rw - ext4 /dev/sda rw\n"), "low: sees the host's /srv at /d, writable", "low: sees the host's /srv at /d, writable"},
		{"data, read-only", mount("30 10 8:1 /srv /d ro - ext4 /dev/sda rw\n"), "", ""},
		{"its own volume", mount("30 10 8:1 /var/lib/docker/volumes/v/_data /d rw - ext4 /dev/sda rw\n"), "", ""},
		{"cgroup", mount("30 10 0:55 / /c rw - cgroup2 cgroup rw\n"), "medium: can write to control groups at /c", "low: can write to control groups at /c"},
		{"sysfs", mount("30 10 0:53 / /sys rw - sysfs sysfs rw\n"), "high: can write to /sys", ""},
		{"debugfs", mount("30 10 0:60 / /d rw - debugfs d rw\n"), "high: has debugfs at /d", "medium: has debugfs at /d"},
		{"kcore", mount("30 11 0:51 / /proc rw - proc proc rw\n"), "", ""}, // the mask over kcore is still there
		{"core_pattern", mount("30 11 0:51 /sys /proc/sys rw - proc proc rw\n"), "high: can write to /proc/sys/kernel/core_pattern", ""},
		{"core_pattern that is not there", func(s *facts.Sheet) {
			s.Switches = nil
			s.Mounts = append(s.Mounts, mountsOf("30 11 0:51 /sys /proc/sys rw - proc proc rw\n")...)
		}, "", ""},
		{"unmasked", func(s *facts.Sheet) { s.Exposed = append(s.Exposed, "/proc/keys") }, "medium: sees /proc/keys", "low: sees /proc/keys"},
		{"every device", func(s *facts.Sheet) { s.Devices = []string{"a *:* rwm"} }, "high: may open every device", "low: may open every device"},
		{"a disk", func(s *facts.Sheet) { s.Devices = append(s.Devices, "b 8:0 rwm") }, "high: may open device b 8:0 rwm", "medium: may open device b 8:0 rwm"},
		{"mem", func(s *facts.Sheet) { s.Devices = append(s.Devices, "c 1:1 rwm") }, "critical: may open device c 1:1 rwm", "medium: may open device c 1:1 rwm"},
		{"no limit of memory", func(s *facts.Sheet) { s.Limits[0].SetBy = "" }, "low: has no limit of memory", "low: has no limit of memory"},
		{"twins", func(s *facts.Sheet) { s.Twins = []string{"a", "b", "c", "d"} }, "low: its users are those of a, b, c and others outside", "low: its users are those of a, b, c and others outside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, u := docker(), userns()
			c.change(&d)
			c.change(&u)
			rest := slices.DeleteFunc(found(Judge(&d)), func(s string) bool { return s == "medium: runs as the host's root" })
			if got := strings.Join(rest, "\n"); got != c.ruled {
				t.Errorf("as the host's root: %q, want %q", got, c.ruled)
			}
			if got := strings.Join(found(Judge(&u)), "\n"); got != c.own {
				t.Errorf("in a user namespace: %q, want %q", got, c.own)
			}
		})
	}
}

// TestTogether is what two things make of each other.
func TestTogether(t *testing.T) {
	s := docker()
	s.Process.Caps.Effective |= 1<<21 | 1<<19 | 1<<12
	s.Process.NS[look.PID], s.Process.NS[look.Net] = host[look.PID], host[look.Net]
	s.Mounts = append(s.Mounts, mountsOf("30 10 0:56 / /sys/fs/cgroup/rdma rw - cgroup cgroup rw,rdma\n")...)
	r := Judge(&s)
	want := []string{
		"critical: has CAP_SYS_ADMIN", "critical: has CAP_SYS_PTRACE", "critical: can write to control groups at /sys/fs/cgroup/rdma",
		"high: has CAP_NET_ADMIN", "high: is in the host's pid namespace", "high: is in the host's net namespace", "medium: runs as the host's root",
	}
	if d := cmp.Diff(want, found(r)); d != "" {
		t.Error(d)
	}
	if !strings.HasPrefix(r.Needs, "An escape needs nothing more: it has CAP_SYS_ADMIN, has CAP_SYS_PTRACE and can write") {
		t.Error(r.Needs)
	}
	for _, f := range r.Findings {
		if f.Why == "" || f.Close == "" || !strings.HasPrefix(f.Evidence, "/proc/31/") {
			t.Errorf("%+v: not all is said", f)
		}
	}
}

func TestOthers(t *testing.T) {
	s := docker()
	s.Process.NS[look.Mnt] = host[look.Mnt]
	if got := found(Judge(&s)); got[0] != "critical: is in the host's mount namespace" {
		t.Errorf("%q", got)
	}
	s = docker()
	s.UID, s.Process.Caps.Effective = 1000, 0
	if r := Judge(&s); found(r)[0] != "low: has no user namespace" || !strings.Contains(r.Needs, "user 1000 on the host") {
		t.Errorf("%q, %s", found(r), r.Needs)
	}
	s = userns()
	s.Users[0].Outside = 0
	if got := found(Judge(&s)); got[0] != "high: has a user namespace whose root is the host's root" {
		t.Errorf("%q", got)
	}
	s = docker()
	s.Mounts = mountsOf("10 0 8:1 / / rw - ext4 /dev/sda rw\n11 10 0:51 / /proc rw - proc proc rw\n")
	if got := found(Judge(&s)); got[0] != "critical: has the host's root directory for its own" {
		t.Errorf("%q", got)
	}
	// What is not known is not called safe.
	s = userns()
	s.Process.NS, s.Mounts, s.Listed = look.NS{}, nil, false
	s.Unread = []string{"mounts: denied"}
	if r := Judge(&s); len(r.Unknown) != 2 || len(found(r)) != 0 || !strings.HasPrefix(r.Needs, "Not all could be seen.") {
		t.Errorf("unknown %q, found %q, needs %q", r.Unknown, found(r), r.Needs)
	}
	s.Users = nil // not even the map
	if r := Judge(&s); slices.ContainsFunc(r.Holds, func(h string) bool { return strings.Contains(h, "user namespace") }) {
		t.Errorf("holds %q", r.Holds)
	}
}

func TestText(t *testing.T) {
	s := docker()
	s.Thing.Name = "web\x1b[2J"
	s.Process.Caps.Effective |= 1 << 21
	r := Judge(&s)
	var b strings.Builder
	if err := r.Text(&b, ink.Pen{Colour: true}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"web?[2J\x1b[0m (docker, process 31)", "\x1b[31mCRITICAL  \x1b[0m\x1b[1mhas CAP_SYS_ADMIN\x1b[0m\n", "close it: ", "seen in:  /proc/31/status",
		"What holds: ", "Capabilities: chown", "(--calls stops the",
	} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("lacks %q:\n%s", part, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if ink.Width(ink.Safe(line)) > columns+20 {
			t.Errorf("a line is too long: %q", line)
		}
	}
	b.Reset()
	u := userns()
	if err := Table(&b, []Report{r, Judge(&u)}, ink.Pen{}); err != nil {
		t.Fatal(err)
	}
	want := `NAME     PID  CRITICAL  HIGH  MEDIUM  LOW  WORST
web?[2J  31   1         -     1       -    has CAP_SYS_ADMIN
web      31   -         -     -       -    nothing found
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	j, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(j), `"severity":"critical"`) {
		t.Errorf("%s, %v", j, err)
	}
	r.Rights.Refused = []string{"kexec_load", "reboot"}
	b.Reset()
	_ = r.Text(&b, ink.Pen{})
	if !strings.Contains(b.String(), "System calls refused (2): kexec_load, reboot\n") {
		t.Error(b.String())
	}
}
