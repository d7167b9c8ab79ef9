package scene

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"carob/internal/look"
	"carob/internal/look/group"
)

// own are the namespaces of the host in these tests.
func own() look.NS { return look.NS{1, 2, 3, 4, 5, 6, 7, 8} }

// changed is the host's namespaces with some exchanged.
func changed(change map[look.Kind]uint64) look.NS {
	ns := own()
	for k, inode := range change {
		ns[k] = inode
	}
	return ns
}

func container(name, pod string, ns look.NS) look.Container {
	return look.Container{Class: look.ClassContainer, Name: name, ID: name, Pod: pod, Leader: 100 + int(name[0]), Cgroup: "/" + pod + "/" + name, NS: ns}
}

// host is one with containers, and pods of those that name one.
func host(all ...look.Container) *look.Host {
	h := &look.Host{NS: own(), Containers: all}
	for i, c := range all {
		at := slices.IndexFunc(h.Pods, func(p look.Pod) bool { return p.ID == c.Pod })
		switch {
		case c.Pod == "":
		case at < 0:
			h.Pods = append(h.Pods, look.Pod{ID: c.Pod, Name: c.Pod, Containers: []int{i}})
		default:
			h.Pods[at].Containers = append(h.Pods[at].Containers, i)
		}
	}
	return h
}

// cards are all cards of a scene, from the outside in.
func cards(f *Frame) []*Card {
	out := slices.Clone(f.Cards)
	for _, sub := range f.Frames {
		out = append(out, cards(sub)...)
	}
	return out
}

func TestWords(t *testing.T) {
	shared := map[look.Kind]uint64{look.Net: 50, look.IPC: 51, look.UTS: 52}
	private := func(n uint64) look.NS {
		ns := changed(shared)
		ns[look.Mnt], ns[look.PID] = n, n+1
		return ns
	}
	for name, c := range map[string]struct {
		all  []look.Container
		want string
	}{
		// The article's findings about its pod, in one sentence.
		"the article's pod": {
			[]look.Container{container("app", "foo", private(60)), container("sidecar", "foo", private(70))},
			"app and sidecar share uts, ipc, net; each has its own mnt, pid; the host's: user, cgroup, time",
		},
		"one container": {
			[]look.Container{container("web", "", changed(map[look.Kind]uint64{look.Mnt: 60, look.Net: 61}))},
			"it has its own mnt, net; the host's: uts, ipc, pid, user, cgroup, time",
		},
		"one uses the host's network": {
			[]look.Container{container("a", "p", changed(map[look.Kind]uint64{look.Mnt: 60, look.IPC: 9})), container("b", "p", changed(map[look.Kind]uint64{look.Mnt: 61, look.IPC: 9, look.Net: 62}))},
			"a and b share ipc; a uses the host's net; each has its own mnt; the host's: uts, pid, user, cgroup, time",
		},
	} {
		all := cards(Build(Input{Host: host(c.all...)}).Root)
		if len(all) != 1 || all[0].Words != c.want {
			t.Errorf("%s: %d cards, %q\nwant %q", name, len(all), all[0].Words, c.want)
		}
	}
}

// TestWide: what very many share does not make one card of them; it is said.
func TestWide(t *testing.T) {
	var all []look.Container
	for i := range 20 {
		all = append(all, container(fmt.Sprint(string(rune('a'+i)), i), "", changed(map[look.Kind]uint64{look.User: 99, look.Mnt: uint64(200 + i)})))
	}
	got := cards(Build(Input{Host: host(all...)}).Root)
	if len(got) != 20 {
		t.Fatalf("%d cards", len(got))
	}
	for _, c := range got {
		for _, l := range c.Lanes {
			for _, o := range l.Outlines {
				want := 0
				if o.Namespaces[0].Kind == look.User {
					want = 19
				}
				if o.Elsewhere != want {
					t.Errorf("%s: %v is in %d others, want %d", c.Name, o.Namespaces, o.Elsewhere, want)
				}
			}
		}
	}
}

// TestOrder: when there is an order in which all that share stand side by side, it is
// found. The containers are made from such an order and then shuffled.
func TestOrder(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		n := 3 + r.IntN(permuted-2)
		all := make([]look.Container, n)
		for i := range all {
			all[i] = container(string(rune('a'+i)), "p", changed(map[look.Kind]uint64{look.Net: 50}))
		}
		for _, k := range []look.Kind{look.Mnt, look.IPC, look.PID} {
			inode := uint64(100 * (1 + int(k)))
			for i := range all {
				if r.IntN(2) == 0 {
					inode++
				}
				all[i].NS[k] = inode
			}
		}
		r.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, c := range cards(Build(Input{Host: host(all...)}).Root) {
			for _, l := range c.Lanes {
				for _, o := range l.Outlines {
					if last := len(o.Members) - 1; o.Members[last]-o.Members[0] != last {
						t.Errorf("seed %d: %v is torn: %v", seed, o.Namespaces, o.Members)
					}
				}
			}
		}
	}
}

// TestClusters: sharing joins, also over several; the host's namespaces do not.
func TestClusters(t *testing.T) {
	h := host(
		container("a", "", changed(map[look.Kind]uint64{look.Net: 50})),
		container("b", "", changed(map[look.Kind]uint64{look.Net: 50, look.IPC: 60})),
		container("c", "", changed(map[look.Kind]uint64{look.IPC: 60})),
		container("d", "", changed(map[look.Kind]uint64{look.Net: 51})),
		container("e", "p", changed(map[look.Kind]uint64{look.Net: 52})),
		container("f", "p", changed(map[look.Kind]uint64{look.Net: 53})),
	)
	var got []string
	for _, c := range cards(Build(Input{Host: h}).Root) {
		got = append(got, c.Is+" "+strings.Join(names(c.Columns), ""))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"container d", "pod ef", "shared abc"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func limit(n uint64) *group.Memory { return &group.Memory{Usage: n / 4, Limit: &n} }

// TestFrames: a cgroup is a frame where ways part or a limit is; its others are joined.
func TestFrames(t *testing.T) {
	h := host(
		container("a", "p", changed(map[look.Kind]uint64{look.Net: 50})), container("b", "p", changed(map[look.Kind]uint64{look.Net: 50})),
		container("c", "", changed(map[look.Kind]uint64{look.Net: 51})), container("d", "", changed(map[look.Kind]uint64{look.Net: 51})),
	)
	for i, p := range []string{"/k/burst/slice/p/a", "/k/burst/slice/p/b", "/docker/c", "/docker/d"} {
		h.Containers[i].Cgroup = p
	}
	tree := &group.Group{Path: "/", Memory: limit(1), Children: []*group.Group{{Path: "/k", Children: []*group.Group{
		{Path: "/k/burst", Children: []*group.Group{{Path: "/k/burst/slice", Memory: limit(4096), Children: []*group.Group{{Path: "/k/burst/slice/p", Memory: limit(1024)}}}}},
	}}, {Path: "/docker"}}}
	s := Build(Input{Host: h, Groups: tree})
	var got []string
	var walk func(f *Frame, deep string)
	walk = func(f *Frame, deep string) {
		got = append(got, deep+f.Label+" "+inline(f.Meters))
		for _, c := range f.Cards {
			line := deep + "  card " + c.Name
			if c.Group != nil {
				line += " in " + c.Group.Label + " " + inline(c.Group.Meters)
			}
			got = append(got, line)
		}
		for _, sub := range f.Frames {
			walk(sub, deep+"  ")
		}
	}
	walk(s.Root, "")
	want := []string{
		"/ ", // what the root uses is the machine's matter
		"  card c + d in docker ",
		"  k/burst/slice 1KiB of 4KiB",
		"    card p in p 256B of 1KiB",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func inline(all []Meter) string {
	var out []string
	for _, m := range all {
		out = append(out, m.Text)
	}
	return strings.Join(out, " ")
}

func TestOutside(t *testing.T) {
	h := host(
		look.Container{Class: look.ClassSandbox, Name: "sandbox", Pod: "p", Leader: 7, Cgroup: "/daemon", NS: changed(map[look.Kind]uint64{look.Net: 50})},
		container("a", "p", changed(map[look.Kind]uint64{look.Net: 50})), container("b", "p", changed(map[look.Kind]uint64{look.Net: 50})),
	)
	c := cards(Build(Input{Host: h}).Root)[0]
	if c.Group == nil || c.Group.Path != "/p" || c.Outside != 1 || c.Columns[0].Name != "sandbox" || c.Columns[0].Label != "/daemon" || c.Columns[1].Label != "a" {
		t.Errorf("got %+v in %+v", c, c.Group)
	}
}

// TestSolo: where a sandbox is elsewhere, a pod stands where its container is.
func TestSolo(t *testing.T) {
	h := host(
		look.Container{Class: look.ClassSandbox, Name: "sandbox", Pod: "p", Leader: 7, Cgroup: "/daemon/x", NS: changed(map[look.Kind]uint64{look.Net: 50})},
		container("a", "p", changed(map[look.Kind]uint64{look.Net: 50})),
	)
	h.Containers[1].Cgroup = "/carob/a"
	root := Build(Input{Host: h}).Root
	if len(root.Frames) != 1 || root.Frames[0].Path != "/carob" || len(root.Frames[0].Cards) != 1 {
		t.Fatalf("got %+v", root)
	}
	c := root.Frames[0].Cards[0]
	if c.Group != nil || c.Outside != 0 || c.Columns[0].Label != "/daemon/x" || c.Columns[1].Label != "a" {
		t.Errorf("got %+v", c)
	}
}

// TestJoined: a container that was put into the network of another makes one card of two
// pods, in an order that keeps each pod's own together, under the names of both.
func TestJoined(t *testing.T) {
	sandbox := func(pod string, leader int, ns map[look.Kind]uint64) look.Container {
		return look.Container{Class: look.ClassSandbox, Name: "sandbox", Pod: pod, Leader: leader, Cgroup: "/daemon/x", NS: changed(ns)}
	}
	in := func(uts, mnt uint64) map[look.Kind]uint64 {
		return map[look.Kind]uint64{look.Net: 50, look.UTS: uts, look.IPC: uts + 1, look.Mnt: mnt}
	}
	h := host(sandbox("one", 7, in(60, 1000)), sandbox("two", 8, in(70, 1001)), container("a", "one", changed(in(60, 1002))), container("b", "two", changed(in(70, 1003))))
	h.Containers = append(h.Containers, container("other", "", changed(map[look.Kind]uint64{look.Net: 51}))) // so that /carob is not theirs
	h.Containers[4].Cgroup = "/carob/other"
	h.Containers[2].NS[look.PID], h.Containers[3].NS[look.PID] = 1004, 1005
	h.Containers[2].Cgroup, h.Containers[3].Cgroup = "/carob/a", "/carob/b"
	for i := range h.Pods {
		h.Pods[i].Solo = true
	}
	all := cards(Build(Input{Host: h}).Root)
	if len(all) != 2 || all[0].Name != "a + b" || all[0].Is != "shared" {
		t.Fatalf("got %+v", all)
	}
	var got []string
	for _, c := range all[0].Columns {
		got = append(got, c.Name)
	}
	// Each pod's two stand together, and the sandboxes, which are in the host's pid namespace.
	if diff := cmp.Diff([]string{"a", "one/sandbox", "two/sandbox", "b"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestLimits: only what is a container's own is shown as its own.
func TestLimits(t *testing.T) {
	c := &look.Container{PIDs: []int{7, 8}}
	mine, others := []group.Process{{PID: 7}, {PID: 8}}, []group.Process{{PID: 7}, {PID: 9}}
	quota := 0.5
	for _, x := range []struct {
		g     *group.Group
		texts []string
		note  string
	}{
		{nil, nil, "limits unknown"},
		{&group.Group{Path: "/", Memory: limit(64)}, nil, "no limit"},
		{&group.Group{Path: "/a", Memory: limit(64), Processes: others}, nil, "in a cgroup of others"},
		{&group.Group{Path: "/a", Memory: &group.Memory{Usage: 5}, Processes: mine}, []string{"5B, no limit"}, "no limit"},
		{&group.Group{Path: "/a", Memory: limit(64), CPU: &group.CPU{Quota: &quota}, Processes: mine}, []string{"16B of 64B", "at most 0.5 CPU"}, ""},
	} {
		all, note := limits(x.g, c)
		var texts []string
		for _, m := range all {
			texts = append(texts, m.Text)
		}
		if note != x.note || !slices.Equal(texts, x.texts) {
			t.Errorf("%+v: got %q, %q", x.g, texts, note)
		}
	}
}

func TestNotes(t *testing.T) {
	h := host(container("a", "", changed(map[look.Kind]uint64{look.Net: 50})))
	h.NSFrom = "/proc/self/ns"
	h.Unread = []look.Unread{{What: "names\x1b", Count: 1, Why: "permission denied"}, {What: "mounts", Count: 3, Why: "so"}}
	want := []string{
		"names? of 1 process could not be read: permission denied", "mounts of 3 processes could not be read: so",
		"the host's namespaces may not be seen: those of this program are taken for them", "cgroups could not be read: limits are not shown",
	}
	if diff := cmp.Diff(want, Build(Input{Host: h}).Notes); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	h.NSFrom, h.Unread = "/proc/1/ns", nil
	if got := Build(Input{Host: h, Groups: &group.Group{Path: "/"}}).Notes; len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31m", "a\u202eb", "\xff\xfe", "e\u0301\u0301\u0301\u0301", strings.Repeat("long", 200), "容器"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		marks := 0
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %q", got, r)
			}
			if marks++; !unicode.In(r, unicode.Mn, unicode.Me) {
				marks = 0
			}
			if marks > 2 {
				t.Errorf("%q is a heap of marks", got)
			}
		}
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > longest+1 {
			t.Errorf("%q is not text, or too long", got)
		}
		if Clean(got) != got && utf8.RuneCountInString(got) <= longest {
			t.Errorf("%q is not clean at once", s)
		}
	})
}
