package compare

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

// The host's namespaces are 1 to 8 by kind: mnt uts ipc pid net user cgroup time.
var host = look.NS{1, 2, 3, 4, 5, 6, 7, 8}

// container is a sheet of a container with namespaces and a memory limit.
func container(name string, pid int, ns look.NS, memory string) facts.Sheet {
	c := &look.Container{Class: look.ClassContainer, Name: name, Engine: "carob"}
	return facts.Sheet{
		Thing: look.Thing{Is: look.ThingContainer, Name: name, Leader: pid, PIDs: []int{pid}, NS: ns, Container: c},
		Process: look.Process{
			PID: pid, NS: ns, UID: 100000, Seccomp: 2, Caps: look.Caps{Effective: 1, Bounding: 1},
		},
		Users: []look.Map{{Inside: 0, Outside: 100000, Size: 65536}}, Host: host,
		Limits:  []group.Bound{{Resource: "memory", Group: "/a", SetBy: "/a", Limit: memory}},
		Mounts:  mountsOf("1 0 0:5 / / rw - overlay o rw\n2 1 0:6 / /proc rw - proc p rw\n3 1 8:1 /srv/" + name + " /data rw - ext4 /dev/sda rw\n"),
		Outside: mountsOf("1 0 8:1 / / rw - ext4 /dev/sda rw\n"),
	}
}

func mountsOf(text string) []mounts.Mount {
	all, err := mounts.Parse(strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	return all
}

// foo is the article's pod, web a container that has the host's network and may more.
func foo() (pod, app, sidecar, web facts.Sheet) {
	app = container("app", 31, look.NS{11, 12, 13, 14, 15, 16, 17, 8}, "256MiB")
	sidecar = container("sidecar", 32, look.NS{21, 12, 13, 24, 15, 16, 27, 8}, "128MiB")
	pod = container("foo", 30, look.NS{41, 12, 13, 4, 15, 16, 7, 8}, "384MiB")
	pod.Thing = look.Thing{Is: look.ThingPod, Name: "foo", Leader: 30, Pod: &look.Pod{Engine: "carob", Sandbox: 30}}
	pod.Members = []facts.Sheet{app, sidecar}
	web = container("web", 51, look.NS{51, 52, 53, 54, 5, 6, 57, 8}, "64MiB")
	web.Users = []look.Map{{Inside: 0, Outside: 0, Size: 1<<32 - 1}}
	web.Process.UID, web.Process.Seccomp, web.Process.Caps = 0, 0, look.Caps{Effective: 1 | 1<<21, Bounding: 1<<21 | 3}
	return pod, app, sidecar, web
}

func TestTwoOfAPod(t *testing.T) {
	_, app, sidecar, _ := foo()
	r := Build(&app, &sidecar)
	want := []string{
		"app is a container of carob: one process tree, 1 process.",
		"sidecar is a container of carob: one process tree, 1 process.",
		"app and sidecar share uts, ipc, net and user.",
		"Both are in the host's time.",
		"They are apart in mnt, pid and cgroup.",
	}
	if d := cmp.Diff(want, r.Says); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Topic{
		{"memory limit", []string{"256MiB"}, []string{"128MiB"}, false},
		{"mounts", []string{"/data from the host's /srv/app"}, []string{"/data from the host's /srv/sidecar"}, true},
	}, r.Differ); d != "" {
		t.Error(d)
	}
}

func TestContainerAndPod(t *testing.T) {
	pod, _, _, web := foo()
	r := Build(&web, &pod)
	want := "foo is a pod of carob of 2 containers, app and sidecar, and a sandbox (process 30) that holds what they share." +
		" Its containers have one uts, ipc, net and user in common, and each has its own mnt, pid and cgroup."
	if r.Says[1] != want {
		t.Errorf("got %s\nwant %s", r.Says[1], want)
	}
	var kinds []string
	for _, k := range r.Namespaces {
		kinds = append(kinds, k.Kind.String()+": "+k.A+" | "+k.B)
	}
	if d := cmp.Diff([]string{
		"mnt: its own | each container's own", "uts: its own | one for its 2 containers", "ipc: its own | one for its 2 containers",
		"pid: its own | each container's own", "net: the host's | one for its 2 containers", "user: the host's | one for its 2 containers",
		"cgroup: its own | each container's own", "time: the host's | the host's",
	}, kinds); d != "" {
		t.Error(d)
	}
	for _, w := range []Topic{
		{"root inside", []string{"is the host's root"}, []string{"is user 100000 of the host"}, false},
		{"memory limit", []string{"64MiB"}, []string{"256MiB (app)", "128MiB (sidecar)"}, false},
		{"capabilities", []string{"sys_admin"}, []string{}, true},
		{"capabilities it could get", []string{"dac_override"}, nil, true},
		{"seccomp", []string{"none"}, []string{"filter"}, false},
		{"id map", nil, []string{"0-65535 are 100000-165535 outside"}, false},
	} {
		i := slices.IndexFunc(r.Differ, func(d Topic) bool { return d.Name == w.Name })
		if i < 0 || !slices.Equal(r.Differ[i].A, w.A) || !slices.Equal(r.Differ[i].B, w.B) {
			t.Errorf("%s: not as wanted in %+v", w.Name, r.Differ)
		}
	}
}

func TestMembersOfSeveralKinds(t *testing.T) {
	pod, app, _, _ := foo()
	twin := app
	pod.Members = append(pod.Members, twin)
	if s := stateOf(&pod, look.Mnt); s.inode != 0 || s.words != "not one for all of its containers" {
		t.Errorf("two of three are in one mnt namespace: %+v", s)
	}
	unseen := app
	unseen.Process.NS = look.NS{}
	if s := stateOf(&unseen, look.Mnt); s.words != "not to be seen" {
		t.Errorf("%+v", s)
	}
	if r := Build(&unseen, &pod.Members[1]); r.Says[len(r.Says)-1] != "Whether they share mnt, uts, ipc, pid, net, user, cgroup and time could not be seen." {
		t.Errorf("%q", r.Says)
	}
	shared := app
	shared.With[look.Net] = []string{"a", "b", "c", "d", "e"}
	if s := stateOf(&shared, look.Net); s.words != "shared with a, b, c and 2 more" {
		t.Errorf("%+v", s)
	}
}

func TestItself(t *testing.T) {
	_, app, _, _ := foo()
	r := Build(&app, &app)
	if len(r.Differ) != 0 || len(r.Same) < 6 {
		t.Errorf("a thing differs from itself: %+v", r.Differ)
	}
	var b strings.Builder
	if err := r.Text(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if want := "app is a container of carob: one process tree, 1 process.\nIt is compared with itself.\n\nThe same in both: "; !strings.HasPrefix(b.String(), want) {
		t.Errorf("%q", b.String())
	}
}

func TestWhat(t *testing.T) {
	_, app, _, _ := foo()
	for _, c := range []struct {
		th   look.Thing
		want string
	}{
		{look.Thing{Is: look.ThingHost, Name: "host"}, "host is the machine as its first process sees it."},
		{look.Thing{Is: look.ThingProcess, Name: "sh:7"}, "sh:7 is a process outside of all containers."},
		{look.Thing{Is: look.ThingProcess, Name: "sh:7", Container: app.Thing.Container}, "sh:7 is a process in container app of carob."},
		{look.Thing{Is: look.ThingContainer, Name: "sh:8", Container: &look.Container{Class: look.ClassGroup}}, "sh:8 is a group of processes in namespaces of their own that no engine runs."},
	} {
		if got := what(&facts.Sheet{Thing: c.th}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestText(t *testing.T) {
	pod, app, _, web := foo()
	web.Thing.Name = "web\x1b[2J"
	pod.Members[0].Unread = []string{"label: denied"}
	for i := range 20 {
		web.Mounts = append(web.Mounts, mounts.Mount{Point: "/m/" + strings.Repeat("f", i), Type: "tmpfs", Root: "/"})
	}
	var b strings.Builder
	if err := Build(&web, &pod).Text(&b, TextOptions{Pen: ink.Pen{Colour: true}}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"the host's\x1b[0m", "mounts only in web?[2J (21)", "… and 9 more (--all)", "  sys_admin\n", "The same in both: ",
		"Could not read app: label: denied", "256MiB (app); 128MiB (sidecar)",
	} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("lacks %q:\n%s", part, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b[2J") {
		t.Error("a name speaks to the terminal")
	}
	b.Reset()
	if err := Build(&app, &app).Text(&b, TextOptions{Full: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "  memory limit: 256MiB\n") || !strings.Contains(b.String(), "mnt namespace") {
		t.Errorf("all of it:\n%s", b.String())
	}
	j, err := json.Marshal(Build(&web, &pod))
	if err != nil || !strings.Contains(string(j), `"differ":[`) {
		t.Errorf("%s, %v", j, err)
	}
}
