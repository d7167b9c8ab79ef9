package matrix

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/look"
	"carob/internal/look/ink"
	"carob/internal/look/recorded"
)

var (
	idA = strings.Repeat("a", 64)
	idB = strings.Repeat("b", 64)
	idC = strings.Repeat("c", 64)
	idD = strings.Repeat("d", 64)
)

func host(t *testing.T, table string, o look.Options) *look.Host {
	t.Helper()
	table = strings.NewReplacer("$A", idA, "$B", idB, "$C", idC, "$D", idD).Replace(table)
	all, err := recorded.Parse(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	o.Root = t.TempDir()
	if err := recorded.Write(o.Root, all); err != nil {
		t.Fatal(err)
	}
	h, err := look.Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// table has a pod of two with an odd process, a helper of the runtime in the pod's
// network, a container that shares the host's network, and an unshared shell.
const table = `
1 0 0 1 / /sbin/init
30 1 0 30 /libpod_parent/$D/libpod-conmon-$A conmon -c $A -n infra
31 30 0 31,1 /libpod_parent/$D/libpod-$A catatonit
  mnt=15 pid=18 uts=16 ipc=17 net=14 user=13
  environ: HOSTNAME=duo\0
  uid_map: 0 100000 65536
  gid_map: 0 100000 65536
40 1 0 40 /libpod_parent/$D/libpod-conmon-$B conmon -c $B -n web
41 40 0 41,1 /libpod_parent/$D/libpod-$B nginx
  mnt=19 pid=20 uts=16 ipc=17 net=14 user=13
  environ: HOSTNAME=duo\0
42 41 0 42,2 /libpod_parent/$D/libpod-$B sh
  mnt=99 pid=20 uts=16 ipc=17 net=14 user=13
50 1 0 50 / slirp4netns 31 tap0
  net=14
60 1 0 60 /docker/$C nginx
  mnt=61 pid=62
70 1 0 70 / evil` + "\x1b[2J" + `
  mnt=71 uts=72
`

func texts(m Matrix) []string {
	var out []string
	for _, s := range m.Says {
		out = append(out, strings.TrimPrefix(s.About+": ", ": ")+s.Text)
	}
	return out
}

func cells(m Matrix) []string {
	var out []string
	for _, r := range m.Rows {
		out = append(out, r.Name+" "+r.Class+": "+strings.Join(r.Cells[:], " "))
	}
	return out
}

func TestMatrix(t *testing.T) {
	h := host(t, table, look.Options{})
	m := Build(h, Options{Maps: h.Maps})
	// Kinds are mnt uts ipc pid net user cgroup time.
	want := []string{
		"duo/infra sandbox: own A A own B A host host",
		"duo/web container: own A A C B A host host",
		"duo/web (sh:42) container: own A A C B A host host",
		"cccccccccccc container: own host host own host host host host",
		"slirp4netns:50 runtime: host host host host B host host host",
	}
	if d := cmp.Diff(want, cells(m)); d != "" {
		t.Error(d)
	}
	says := []string{
		"duo/infra, duo/web and duo/web (sh:42) share uts, ipc and user",
		"duo/web and duo/web (sh:42) share pid",
		"duo/infra, duo/web, duo/web (sh:42) and slirp4netns:50 share net",
		"duo/infra, duo/web and duo/web (sh:42) each have their own mnt",
		"duo/infra has its own pid",
		"slirp4netns:50 is in the host's mnt, uts, ipc, pid and user",
		"all are in the host's cgroup and time",
		"cccccccccccc: has its own mnt and pid",
		"cccccccccccc: is in the host's uts, ipc, net, user, cgroup and time",
	}
	got := texts(m)
	slices.Sort(says)
	slices.Sort(got)
	if d := cmp.Diff(says, got); d != "" {
		t.Error(d)
	}
	if m.Groups != 1 || m.Inner {
		t.Errorf("%d groups left out, inner %v", m.Groups, m.Inner)
	}
	i := slices.IndexFunc(m.Namespaces, func(n Namespace) bool { return n.Kind == look.User })
	if u := m.Namespaces[i]; u.Inode != 13 || len(u.Rows) != 3 || len(u.Users) != 1 || u.Users[0] != (look.Map{Inside: 0, Outside: 100000, Size: 65536}) {
		t.Errorf("user namespace: %+v", u)
	}
}

func TestThings(t *testing.T) {
	h := host(t, table, look.Options{})
	for _, c := range []struct {
		word string
		all  bool
		rows []string
	}{
		{"duo", false, []string{"duo/infra", "duo/web", "duo/web (sh:42)"}},
		{"web", false, []string{"duo/web", "duo/web (sh:42)"}},
		{"42", false, []string{"duo/web (sh:42)"}},
		{"1", false, []string{"init:1"}},
		{"50", false, []string{"slirp4netns:50"}},
		{"host", false, []string{"slirp4netns:50", "host"}},
		{"", true, []string{"duo/infra", "duo/web", "duo/web (sh:42)", "cccccccccccc", "evil\x1b[2J:70", "slirp4netns:50", "host"}},
	} {
		o := Options{All: c.all}
		if c.word != "" {
			th, err := h.Find(c.word)
			if err != nil {
				t.Fatal(err)
			}
			o.Things = []look.Thing{th}
		}
		var names []string
		for _, r := range Build(h, o).Rows {
			names = append(names, r.Name)
		}
		if !slices.Equal(names, c.rows) {
			t.Errorf("%q: rows %q, want %q", c.word, names, c.rows)
		}
	}
	// What others share counts also when they are not shown.
	th, _ := h.Find("42")
	if m := Build(h, Options{Things: []look.Thing{th}}); m.Rows[0].Cells[look.Net] == Own {
		t.Error("a shared namespace is called its own")
	}
}

func TestText(t *testing.T) {
	h := host(t, `
1 0 0 1 / /sbin/init
  mountinfo: 22 1 0:4 net:[900] /run/netns/a rw - nsfs nsfs rw
41 1 0 41,1 /docker/$B nginx
  mnt=19 pid=20 user=13
  uid_map: 0 100000 65536
  gid_map: 0 5 1\n1 100001 65535
70 1 0 70 / evil`+"\x1b[2J"+`
  mnt=71
`, look.Options{Kept: true})
	m := Build(h, Options{All: true, Maps: h.Maps})
	var b strings.Builder
	if err := m.Text(&b, TextOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	want := `NAME          PID  mnt   uts   ipc   pid   net   user  cgroup  time
bbbbbbbbbbbb  41   own   host  host  own   host  own   host    host
evil?[2J:70   70   own   host  host  host  host  host  host    host
host          -    host  host  host  host  host  host  host    host
(own: nobody else is in it; host: not isolated)

bbbbbbbbbbbb: has its own mnt, pid and user; is in the host's uts, ipc, net, cgroup and time.
evil?[2J:70: has its own mnt; is in the host's uts, ipc, pid, net, user, cgroup and time.

USER NAMESPACES
bbbbbbbbbbbb: user:[13]; users 0-65535 are 100000-165535 outside; groups 0 is 5 outside and 1-65535 are 100001-165535 outside

PID NAMESPACES
bbbbbbbbbbbb: pid:[20]

NAMESPACES WITHOUT A PROCESS
net:[900] lives by the mount /run/netns/a seen by process 1
`
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(b.String(), "\n")); d != "" {
		t.Error(d)
	}
	if j, err := json.Marshal(m.Rows[0]); err != nil || !strings.Contains(string(j), `"cells":{"cgroup":"host","ipc":"host","mnt":"own",`) {
		t.Errorf("%s, %v", j, err)
	}
	b.Reset()
	if err := m.Text(&b, TextOptions{Wide: true, Pen: ink.Pen{Colour: true}}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"\x1b[2m19\x1b[0m", "\x1b[31mhost\x1b[0m", "1 namespace has no process"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("lacks %q:\n%q", part, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b[2J") {
		t.Error("a process speaks to the terminal")
	}
}

func TestTextOfNothing(t *testing.T) {
	h := host(t, "1 0 0 1 / /sbin/init\n  user=5\n", look.Options{})
	m := Build(h, Options{})
	var b strings.Builder
	if err := m.Text(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := "No container runs that could be seen here.\n\n1 group of processes that no engine runs is in namespaces of their own (--all)\n" +
		"This is seen from inside of a container: of the machine nothing else is to be seen.\n"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
	j, err := json.Marshal(m)
	if err != nil || !strings.Contains(string(j), `"rows":[]`) || !strings.Contains(string(j), `"inner":true`) {
		t.Errorf("%s, %v", j, err)
	}
}

func TestUnreadable(t *testing.T) {
	h := host(t, "1 0 0 1 / /sbin/init\n60 1 0 60 /docker/$C nginx\n  mnt=61\n", look.Options{})
	h.Process(60).NS, h.Containers[0].NS = look.NS{}, look.NS{} // as for a reader who may not
	m := Build(h, Options{})
	if got := cells(m); got[0] != "cccccccccccc container: ? ? ? ? ? ? ? ?" {
		t.Errorf("%q", got)
	}
	if got := texts(m); len(got) != 1 || got[0] != "cccccccccccc: its namespaces could not be read" {
		t.Errorf("%q", got)
	}
}

func TestHolders(t *testing.T) {
	k := look.Kept{
		Mounts: []look.Held{{PID: 1, Path: "/run/netns/a"}}, Files: []look.Held{{PID: 2, Path: "fd/3"}}, Children: []int{4},
		Threads: []look.Held{{PID: 5, Path: "task/6"}, {PID: 5, Path: "task/7"}, {PID: 8, Path: "task/9"}},
	}
	want := "the mount /run/netns/a seen by process 1, /proc/2/fd/3, 2 threads of process 5 (/proc/5/task/6 and others), " +
		"1 thread of process 8 (/proc/8/task/9) and process 4, whose children will be in it"
	if got := ink.List(holders(k)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLetters(t *testing.T) {
	for n, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 27: "AB", 51: "AZ", 52: "BA", 702: "AAA"} {
		if got := letters(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// TestSharingIsTrue holds every cell of this machine against stat of /proc/PID/ns.
func TestSharingIsTrue(t *testing.T) {
	read := func() Matrix {
		h, err := look.Read(t.Context(), look.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return Build(h, Options{All: true})
	}
	// What others start here may move while it is read: those count that were at the same
	// place before and after.
	before := places(read())
	m := read()
	after := places(m)
	var rows []Row
	for _, r := range m.Rows {
		if r.PID != 0 && before[r.PID] == after[r.PID] && r.Cells[look.Mnt] != Unknown && after[r.PID].Known() {
			rows = append(rows, r)
		}
	}
	for _, k := range look.Kinds() {
		for i, a := range rows {
			n := after[a.PID][k]
			if (a.Cells[k] == Host) != (n == m.Host[k]) {
				t.Errorf("%s: %s is %q with %d, the host's is %d", a.Name, k, a.Cells[k], n, m.Host[k])
			}
			for _, b := range rows[:i] {
				same := a.Cells[k] == b.Cells[k] && a.Cells[k] != Own
				if same != (n == after[b.PID][k]) {
					t.Errorf("%s and %s: %s is %q and %q, stat says %d and %d", a.Name, b.Name, k, a.Cells[k], b.Cells[k], n, after[b.PID][k])
				}
			}
		}
	}
}

// places are the namespaces of the rows' first processes by stat.
func places(m Matrix) map[int]look.NS {
	all := map[int]look.NS{}
	for _, r := range m.Rows {
		var ns look.NS
		for _, k := range look.Kinds() {
			if info, err := os.Stat(fmt.Sprintf("/proc/%d/ns/%v", r.PID, k)); err == nil {
				ns[k] = info.Sys().(*syscall.Stat_t).Ino
			}
		}
		all[r.PID] = ns
	}
	return all
}
