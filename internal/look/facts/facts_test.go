package facts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/mounts"
	"carob/internal/look/recorded"
)

// table is a pod of two on a v1 host, whose app has the host's socket of Docker.
const table = `
1 0 0 1 / /sbin/init
  mountinfo: 20 1 8:1 / / rw - ext4 /dev/sda rw\n21 20 0:21 / /run rw - tmpfs tmpfs rw\n30 20 0:26 / /c/memory rw - cgroup cgroup rw,memory\n31 20 0:27 / /c/devices rw - cgroup cgroup rw,devices
  uid_map: 0 0 4294967295
  gid_map: 0 0 4294967295
30 1 100000 30 / carob-pod $D
  mnt=15 uts=16 net=14 user=13
  fd/2: -> /run/carob/pods/$D/supervisor.log
31 30 100033 31,1 /carob/$D/$A nginx
  mnt=19 pid=20 uts=16 net=14 user=13
  cgroup: 4:memory:/carob/$D/$A\n3:devices:/carob/$D/$A
  uid_map: 0 100000 65536
  gid_map: 0 200000 65536
  attr/current: docker-default (enforce)
  mountinfo: 40 1 0:59 / / rw - overlay overlay rw\n41 40 0:21 /docker.sock /var/run/docker.sock rw - tmpfs tmpfs rw\n42 40 8:1 /srv /data ro - ext4 /dev/sda rw\n43 40 0:70 / /proc rw - proc proc rw\n44 40 0:71 /x /y rw - tmpfs tmpfs rw
32 30 100000 32,1 /carob/$D/$B sleep 9
  mnt=21 pid=22 uts=16 net=14 user=13
`

func reader(t *testing.T) *Reader {
	t.Helper()
	ids := strings.NewReplacer("$A", strings.Repeat("a", 64), "$B", strings.Repeat("b", 64), "$D", strings.Repeat("d", 64))
	all, err := recorded.Parse(strings.NewReader(ids.Replace(table)))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := recorded.Write(root, all); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"c/memory/carob/$D/$A/memory.limit_in_bytes": "268435456\n",
		"c/devices/carob/$D/$A/devices.list":         "c 1:3 rwm\nb 8:0 rwm\n",
		"run/docker.sock":                            "", "srv/x": "",
	} {
		file := filepath.Join(root, ids.Replace(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := look.Read(t.Context(), look.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	g, err := group.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return NewReader(h, g)
}

func sheet(t *testing.T, r *Reader, word string) Sheet {
	t.Helper()
	th, err := r.Host.Find(word)
	if err != nil {
		t.Fatal(err)
	}
	return r.Read(th)
}

func TestContainer(t *testing.T) {
	r := reader(t)
	s := sheet(t, r, "aaa")
	if uid, ok := s.RootOutside(); uid != 100000 || !ok {
		t.Errorf("root is %d, %v", uid, ok)
	}
	if uid, ok := s.Inside(); uid != 33 || !ok {
		t.Errorf("runs as %d, %v", uid, ok)
	}
	if s.UID != 100033 {
		t.Errorf("outside it is %d", s.UID)
	}
	if got := outside(33, s.Users, true); got != 100033 {
		t.Errorf("seen from inside: %d", got)
	}
	if s.Label != "docker-default (enforce)" || s.File("status") != "/proc/31/status" {
		t.Errorf("%q, %s", s.Label, s.File("status"))
	}
	if !s.Shares(look.IPC) || s.Shares(look.Net) || s.Shares(look.User) {
		t.Error("what it shares with the host")
	}
	if d := cmp.Diff([]string{"dddddddddddd/sandbox", "dddddddddddd/bbbbbbbbbbbb"}, s.With[look.Net]); d != "" || len(s.With[look.Mnt]) != 0 || s.With[look.IPC] != nil {
		t.Errorf("net with: %s; mnt %v, ipc %v", d, s.With[look.Mnt], s.With[look.IPC])
	}
	if b, ok := s.Bound("memory"); !ok || b.Amount != 256<<20 || b.SetBy != s.Group {
		t.Errorf("%+v, %v; in %s", b, ok, s.Group)
	}
	if !s.Listed || !slices.Equal(s.Devices, []string{"c 1:3 rwm", "b 8:0 rwm"}) {
		t.Errorf("devices %v", s.Devices)
	}
	if len(s.Unread) > 0 {
		t.Errorf("unread: %v", s.Unread)
	}
	var sources []string
	for _, m := range s.Mounts {
		p, is := s.IsHostPath(m)
		if !is {
			p = "-"
		}
		sources = append(sources, m.Point+" "+s.Source(m)+" "+p)
	}
	want := []string{"/ overlay -", "/var/run/docker.sock /run/docker.sock /run/docker.sock", "/data /srv /srv", "/proc proc -", "/y tmpfs /x -"}
	if d := cmp.Diff(want, sources); d != "" {
		t.Error(d)
	}
}

func TestPodAndHost(t *testing.T) {
	r := reader(t)
	p := sheet(t, r, "ddd")
	if len(p.Members) != 2 || p.Members[0].Process.PID != 31 || p.Process.PID != 30 {
		t.Errorf("%+v", p)
	}
	if len(p.Members[1].Unread) == 0 || !strings.HasPrefix(p.Members[1].Unread[0], "id maps: ") {
		t.Errorf("what is missing is not said: %v", p.Members[1].Unread)
	}
	h := sheet(t, r, "host")
	if h.Process.PID != 1 || !h.Shares(look.Mnt) || h.Group != "/" {
		t.Errorf("%+v", h)
	}
	if uid, ok := h.RootOutside(); uid != 0 || !ok {
		t.Errorf("the host's root is %d, %v", uid, ok)
	}
	app := sheet(t, r, "aaa")
	app.Process.NS = look.NS{} // as for a reader who may not see it
	if app.HostUsers() || !h.HostUsers() {
		t.Error("whose users they are")
	}
	h.Process.NS = look.NS{}
	if !h.HostUsers() {
		t.Error("the host's map is not known again")
	}
	if s := sheet(t, NewReader(r.Host, nil), "aaa"); s.Limits != nil || s.Group != "" {
		t.Errorf("limits without cgroups: %+v", s.Limits)
	}
}

// TestOfWhatHasEnded reads a process that is there no more: all that is missing is said.
func TestOfWhatHasEnded(t *testing.T) {
	r := reader(t)
	th, err := r.Host.Find("aaa")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.Host.Path("proc/31")); err != nil {
		t.Fatal(err)
	}
	s := r.Read(th)
	if len(s.Unread) < 3 || s.Mounts != nil {
		t.Errorf("%v", s.Unread)
	}
	if _, ok := s.RootOutside(); ok {
		t.Error("a root of nobody")
	}
	if m, ok := mounts.Over(s.Mounts, "/"); ok {
		t.Errorf("%+v", m)
	}
}

// TestCapNames holds names and numbers against capabilities(7).
func TestCapNames(t *testing.T) {
	if got := CapNames(1 | 1<<21 | 1<<40 | 1<<63); !slices.Equal(got, []string{"chown", "sys_admin", "checkpoint_restore", "cap_63"}) {
		t.Errorf("%q", got)
	}
	if got := CapNames(0xa80425fb); len(got) != 14 { // Docker's default
		t.Errorf("%q", got)
	}
	if !Has(1<<21, "sys_admin") || Has(1<<20, "sys_admin") || Has(^uint64(0), "no_such") {
		t.Error("Has")
	}
	if !Every(1<<41-1) || !Every(1<<40-1) || Every(1<<39-1) || Every(0xa80425fb) {
		t.Error("Every")
	}
	if AllCaps() != 1<<41-1 {
		t.Errorf("all: %x", AllCaps())
	}
}
