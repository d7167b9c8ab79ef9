package tell

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/facts"
	"carob/internal/look/group"
	"carob/internal/look/ink"
	"carob/internal/look/mounts"
)

// host are the host's namespaces: mnt uts ipc pid net user cgroup time.
var host = look.NS{1, 2, 3, 4, 5, 6, 7, 8}

func mountsOf(text string) []mounts.Mount {
	all, err := mounts.Parse(strings.NewReader(text))
	if err != nil {
		panic(err)
	}
	return all
}

// container is one of the article's: with a limit of memory and Docker's rights.
func container(name string, pid int, ns look.NS, limit string) facts.Sheet {
	c := &look.Container{Class: look.ClassContainer, Name: name, Engine: "containerd", From: "/proc/" + name + "/cgroup"}
	return facts.Sheet{
		Thing: look.Thing{Is: look.ThingContainer, Name: "foo/" + name, Leader: pid, PIDs: []int{pid, pid + 1}, Container: c, Pod: &look.Pod{}},
		Process: look.Process{
			PID: pid, NS: ns, NSpid: []int{pid, 1}, Args: []string{name, "-v"}, Seccomp: 2, Filters: 1, Caps: look.Caps{Effective: 1 | 1<<13},
		},
		Users: []look.Map{{Inside: 0, Outside: 0, Size: 1<<32 - 1}}, Host: host, Group: "/kubepods/p/" + name,
		Limits: []group.Bound{
			{Resource: "memory", Group: "/kubepods/p/" + name, SetBy: "/kubepods/p/" + name, Limit: limit, File: "/c/" + name + "/memory.max"},
			{Resource: "cpu", Group: "/kubepods/p/" + name, SetBy: "/kubepods/p", Limit: "1 CPU", File: "/c/cpu.max"},
			{Resource: "pids", Group: "/kubepods/p/" + name},
		},
		Mounts:  mountsOf("10 0 0:50 / / rw - overlay overlay rw,lowerdir=/a:/b:/c,upperdir=/u\n11 10 8:1 /srv /data rw - ext4 /dev/sda rw\n"),
		Outside: mountsOf("1 0 8:1 / / rw - ext4 /dev/sda rw\n"),
	}
}

// article is the pod foo of the seed article; its user namespace is the host's.
func article() facts.Sheet {
	app := container("app", 5001, look.NS{19, 16, 17, 20, 14, 6, 7, 8}, "256MiB")
	sidecar := container("sidecar", 5035, look.NS{21, 16, 17, 22, 14, 6, 7, 8}, "128MiB")
	pod := container("pause", 4966, look.NS{15, 16, 17, 18, 14, 6, 7, 8}, "384MiB")
	pod.Thing = look.Thing{Is: look.ThingPod, Name: "foo", Leader: 4966, Pod: &look.Pod{Engine: "containerd", Sandbox: 4966, From: "/proc/4966/cgroup"}}
	pod.Group, pod.Limits[0].Group, pod.Limits[0].SetBy = "/kubepods/p", "/kubepods/p", "/kubepods/p"
	pod.Members = []facts.Sheet{app, sidecar}
	return pod
}

func sentences(w Walk) []string {
	var out []string
	for _, c := range w.Chapters {
		for _, s := range c.Sentences {
			out = append(out, s.Text)
		}
	}
	return out
}

func TestPod(t *testing.T) {
	pod := article()
	got := sentences(Explain(&pod, English))
	want := []string{
		"foo is a pod that containerd runs with 2 containers: app and sidecar.",
		"Its sandbox is process 4966 (pause -v): it holds the namespaces that the containers share, and does none of their work.",
		"app is process 5001 (app -v), number 1 inside.",
		"sidecar is process 5035 (sidecar -v), number 1 inside.",
		"They are in the same uts (the host's name), ipc (shared memory and message queues) and net (network devices, addresses and ports): the numbers are equal.",
		"So they reach each other on localhost, have one address, and a port can be taken once.",
		"So they can talk through shared memory and message queues.",
		"So they have one hostname.",
		"lsns lists such a namespace once, under the process it saw first, which hides that others are in it.",
		"They are in the host's user (users and rights), cgroup (where in the tree of control groups the view begins) and time (clocks).",
		"It has no user namespace: root inside is root of the host. Beware!",
		"Each has its own mnt (which file systems are mounted where) and pid (the processes that can be seen, and their numbers).",
		"So none sees the processes of another.",
		"So each has its own files, from its own image.",
		"The pod has a control group of its own, /kubepods/p, and each container one below it.",
		"Together their memory is limited to 384MiB.",
		"Together their CPU time is limited to 1 CPU.",
		"app: its memory is limited to 256MiB.",
		"sidecar: its memory is limited to 128MiB.",
		"A pod is neither one machine nor a heap of containers: here 2 containers with uts, ipc and net in common and mnt and pid apart, under one control group.",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	zh := sentences(Explain(&pod, Chinese))
	for i, want := range map[int]string{
		0:  "foo 是一个由 containerd 运行的 Pod，里面有 2 个容器：app 和 sidecar。",
		1:  "它的沙盒是进程 4966（pause -v）：它维持容器共享的命名空间，自己不做容器的工作。",
		4:  "它们处在同一个 uts（主机名和域名）、ipc（共享内存和消息队列）和 net（网络设备、地址和端口）里：编号相同。",
		16: "它们的 CPU 时间合计上限是 1 个 CPU。",
		17: "app：它的内存上限是 256MiB。",
	} {
		if zh[i] != want {
			t.Errorf("%d: %s, want %s", i, zh[i], want)
		}
	}
}

// TestSolo is the pod that carob makes around one container.
func TestSolo(t *testing.T) {
	pod := article()
	pod.Members = pod.Members[:1]
	got := strings.Join(sentences(Explain(&pod, English)), "\n")
	for _, no := range []string{"None sees", "heap of containers", "localhost"} {
		if strings.Contains(got, no) {
			t.Errorf("of one container it is said: %q", no)
		}
	}
	if !strings.Contains(got, "Each has its own mnt") {
		t.Error(got)
	}
}

func TestContainer(t *testing.T) {
	s := article().Members[0]
	s.With[look.Net] = []string{"foo/pause", "foo/sidecar"}
	s.With[look.IPC] = []string{"foo/pause", "foo/sidecar"}
	s.With[look.UTS] = []string{"foo/pause"}
	s.Thing.Pod = nil
	got := sentences(Explain(&s, English))
	want := []string{
		"foo/app is a container that containerd runs. The kernel knows no containers: there is process 5001 (app -v), and what it may see, use and do.",
		"On the host it is process 5001, inside it has number 1.",
		"2 processes belong to it.",
		"It has to itself: mnt (which file systems are mounted where) and pid (the processes that can be seen, and their numbers).",
		"With foo/pause it shares uts (the host's name).",
		"With foo/pause and foo/sidecar it shares ipc (shared memory and message queues) and net (network devices, addresses and ports).",
		"It is in the host's user (users and rights), cgroup (where in the tree of control groups the view begins) and time (clocks): there it is not isolated at all.",
		"It has no user namespace: root inside is root of the host. Beware!",
		"Its root directory is an overlay: 3 layers of its image below, and one of its own on top that takes what it writes.",
		"Of the host's files it sees /data.",
		"It is in the control group /kubepods/p/app.",
		"Its memory is limited to 256MiB; its own group sets that.",
		"Its CPU time is limited to 1 CPU; the group /kubepods/p above it sets that.",
		"Nothing limits its number of tasks but the machine.",
		"Of root's rights it has 2 capabilities: chown, net_raw.",
		"What system calls reach the kernel is decided by 1 seccomp filter.",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// variants are sheets that between them reach every sentence.
func variants() map[string]facts.Sheet {
	base := func() facts.Sheet { return article().Members[0] }
	group := base()
	group.Thing.Container = &look.Container{Class: look.ClassGroup, From: "/proc/1/ns"}
	alone := base()
	alone.Thing.Is, alone.Thing.Container, alone.Thing.Pod = look.ThingProcess, nil, nil
	inside := base()
	inside.Thing.Is = look.ThingProcess
	inside.Thing.Container = &look.Container{Class: look.ClassContainer, ID: strings.Repeat("a", 64)}
	machine := base()
	machine.Thing = look.Thing{Is: look.ThingHost, Name: "host", PIDs: []int{1, 2}}
	machine.Process.NS, machine.Mounts = host, mountsOf("1 0 8:1 / / rw - ext4 /dev/sda rw\n")
	unseen := base()
	unseen.Process.NS, unseen.Mounts, unseen.Group, unseen.Users = look.NS{}, nil, "", nil
	unseen.Unread = []string{"mounts: denied\x1b[2J"}
	rootless := base()
	rootless.Process.NS[look.User], rootless.Process.UID, rootless.Users = 66, 100005, []look.Map{{Inside: 0, Outside: 100000, Size: 65536}}
	rootless.Process.Seccomp, rootless.Process.NoNewPrivs, rootless.Label, rootless.Process.Caps.Effective = 1, true, "docker-default", 0
	rootless.Mounts = mountsOf("10 0 0:50 / / rw - tmpfs tmpfs rw\n")
	nobody := rootless
	nobody.Users = []look.Map{{Inside: 5, Outside: 100000, Size: 1}}
	nobody.Process.Seccomp, nobody.Process.Caps.Effective = 0, facts.AllCaps()
	apart := article()
	apart.Members[0].Process.NS, apart.Members[1].Process.NS = look.NS{11, 12, 13, 14, 15, 6, 7, 8}, look.NS{21, 22, 23, 24, 25, 6, 7, 8}
	apart.Thing.Pod.Sandbox, apart.Group = 0, ""
	fused := article()
	fused.Members[1].Process.NS = fused.Members[0].Process.NS
	return map[string]facts.Sheet{
		"pod": article(), "container": base(), "group": group, "alone": alone, "inside": inside, "host": machine, "unseen": unseen,
		"rootless": rootless, "nobody": nobody, "apart": apart, "fused": fused,
	}
}

// TestBothLanguages wants the same said in both: as many chapters, sentences and files,
// no English left in the Chinese, and no verb of a format.
func TestBothLanguages(t *testing.T) {
	for name, s := range variants() {
		en, zh := Explain(&s, English), Explain(&s, Chinese)
		if len(en.Chapters) != len(zh.Chapters) {
			t.Fatalf("%s: %d and %d chapters", name, len(en.Chapters), len(zh.Chapters))
		}
		for i := range en.Chapters {
			a, b := en.Chapters[i], zh.Chapters[i]
			if len(a.Sentences) != len(b.Sentences) || len(a.Sentences) == 0 {
				t.Fatalf("%s: %s has %d sentences, %s %d", name, a.Title, len(a.Sentences), b.Title, len(b.Sentences))
			}
			for j := range a.Sentences {
				x, y := a.Sentences[j], b.Sentences[j]
				if len(x.Evidence) != len(y.Evidence) {
					t.Errorf("%s: evidence of %q and %q", name, x.Text, y.Text)
				}
				if !strings.HasSuffix(x.Text, ".") && !strings.HasSuffix(x.Text, "!") || !strings.HasSuffix(y.Text, "。") && !strings.HasSuffix(y.Text, "！") {
					t.Errorf("%s: no whole sentence: %q, %q", name, x.Text, y.Text)
				}
				for _, text := range []string{x.Text, y.Text} {
					if strings.Contains(text, "%!") {
						t.Errorf("%s: %q", name, text)
					}
				}
				for _, word := range []string{" the ", " its ", " and ", " is ", "container ", " tasks", "CPUs"} {
					if strings.Contains(y.Text, word) {
						t.Errorf("%s: English in %q", name, y.Text)
					}
				}
			}
		}
	}
}

func TestText(t *testing.T) {
	s := variants()["unseen"]
	s.Process.Args = []string{"evil\x1b[2J" + strings.Repeat("x", 100)}
	s.Thing.Name = "evil\n\x1b[2J"
	for _, lang := range []Language{English, Chinese} {
		var b strings.Builder
		if err := Explain(&s, lang).Text(&b, ink.Pen{Colour: true}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "\x1b[2J") || strings.Contains(b.String(), "evil\n") {
			t.Errorf("%s: a process speaks to the terminal", lang)
		}
		for line := range strings.Lines(b.String()) {
			if !strings.Contains(line, "←") && ink.Width(line) > columns+14 { // with the codes of colour
				t.Errorf("too long: %q", line)
			}
		}
		if !strings.Contains(b.String(), "mounts: denied?[2J\n") {
			t.Errorf("%s: what was not read is not said", lang)
		}
	}
}

func TestParseLanguage(t *testing.T) {
	for in, want := range map[string]Language{"en": English, "zh": Chinese, "zh_CN.UTF-8": Chinese, "ZH-Hans": Chinese, "en_GB": English} {
		if got, err := ParseLanguage(in); got != want || err != nil {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "de", "english", "C"} {
		if _, err := ParseLanguage(in); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestSpaced(t *testing.T) {
	for in, want := range map[string]string{
		"它 的 CPU时间 和 内存": "它的 CPU 时间和内存", "（a） 和 b": "（a）和 b", "a b": "a b", "": "", "\xff容": "\ufffd容", "用户 5，": "用户 5，",
	} {
		if got := spaced(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzSpaced(f *testing.F) {
	f.Add("它 的 CPU时间 \xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := spaced(s)
		if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), " ", "") {
			t.Errorf("%q lost something: %q", s, got)
		}
	})
}
