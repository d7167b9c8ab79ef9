package forest

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/look"
	"carob/internal/look/ink"
	"carob/internal/look/recorded"
)

// table is the article's pod on a host with two shims for it, a container of podman
// with its monitor, an unshared shell and a loop of parents that cannot be.
const table = `
1 0 0 1 / /sbin/init
20 1 0 20 / /usr/bin/containerd
47 1 0 47 / /usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id $A
49 47 0 49,1 /kubepods/podUID/$A /pause
  mnt=15 pid=18 net=14
50 47 0 50,1 /kubepods/podUID/$B gunicorn
  mnt=19 pid=20 net=14
51 50 0 51,7 /kubepods/podUID/$B worker
  mnt=19 pid=20 net=14
52 50 0 52,8 /kubepods/podUID/$B evil` + "\x1b[2J" + `
  mnt=19 pid=20 net=14
60 1 0 60 / conmon -c $C -n web
61 60 0 61,1 /libpod_parent/libpod-$C nginx
  mnt=61 pid=62
70 1 0 70 / unshare
  mnt=71
80 81 0 80 / a
81 80 0 81 / b
`

func host(t *testing.T) *look.Host {
	t.Helper()
	text := strings.NewReplacer("$A", strings.Repeat("a", 64), "$B", strings.Repeat("b", 64), "$C", strings.Repeat("c", 64),
		"podUID", "pod4a8d5c3e-3821-4727-9d20-965febbccfbb").Replace(table)
	all, err := recorded.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := recorded.Write(root, all); err != nil {
		t.Fatal(err)
	}
	h, err := look.Read(t.Context(), look.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func text(t *testing.T, f Forest, o TextOptions) string {
	t.Helper()
	var b strings.Builder
	if err := f.Text(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	h := host(t)
	got := text(t, Grow(h, Options{}), TextOptions{})
	lines := func(s string) []string {
		var out []string
		for l := range strings.Lines(s) {
			out = append(out, strings.Join(strings.Fields(l), " "))
		}
		return out
	}
	wanted := `PID INSIDE UID MEMORY COMMAND
pod 4a8d5c3e-382 (containerd)
47 0 2MiB ├─/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id ` + strings.Repeat("a", 44) + `… [containerd-shim]
├─sandbox
49 1 0 2MiB │ └─/pause
└─container bbbbbbbbbbbb
50 1 0 2MiB └─gunicorn
51 7 0 2MiB ├─worker
52 8 0 2MiB └─evil?[2J
container web
60 0 2MiB └─conmon -c ` + strings.Repeat("c", 64) + ` -n web [conmon]
61 1 0 2MiB └─nginx
engines' own processes
20 0 2MiB └─/usr/bin/containerd [containerd]

Not shown: 3 processes of the host and 1 group in namespaces of their own that no engine runs (--all)
`
	if d := cmp.Diff(lines(wanted), lines(got)); d != "" {
		t.Error(d)
	}
}

func TestThings(t *testing.T) {
	h := host(t)
	for word, want := range map[string]string{
		"web": "container web: 60(61)",
		"50":  "process gunicorn:50: 50(51 52)",
		"80":  "process a:80: 80 81",
		"pod:4a8d5c3e-3821-4727-9d20-965febbccfbb": "pod 4a8d5c3e-382: 47 sandbox sandbox: 49 container bbbbbbbbbbbb: 50(51 52)",
	} {
		th, err := h.Find(word)
		if err != nil {
			t.Fatal(err)
		}
		if got := line(Grow(h, Options{Things: []look.Thing{th}}).Sections[0]); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
	host := Grow(h, Options{All: true})
	last := host.Sections[len(host.Sections)-1]
	if got, want := line(last), "host host: 1 80 81"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if host.Groups != 0 || host.Processes != 0 {
		t.Errorf("with all of it %d groups and %d processes are left out", host.Groups, host.Processes)
	}
}

// line is a section in one line.
func line(s Section) string {
	parts := []string{s.Is + " " + s.Name + ":"}
	for _, n := range s.Trees {
		parts = append(parts, tree(n))
	}
	for _, sub := range s.Sections {
		parts = append(parts, line(sub))
	}
	return strings.Join(parts, " ")
}

func tree(n *Node) string {
	var below []string
	for _, c := range n.Children {
		below = append(below, tree(c))
	}
	if below == nil {
		return strconv.Itoa(n.PID)
	}
	return strconv.Itoa(n.PID) + "(" + strings.Join(below, " ") + ")"
}

// TestEveryProcessOnce holds a forest of this machine against what was read.
func TestEveryProcessOnce(t *testing.T) {
	h, err := look.Read(t.Context(), look.Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]int{}
	var walk func(n *Node)
	walk = func(n *Node) {
		seen[n.PID]++
		for _, c := range n.Children {
			walk(c)
		}
	}
	var sections func(all []Section)
	sections = func(all []Section) {
		for _, s := range all {
			for _, n := range s.Trees {
				walk(n)
			}
			sections(s.Sections)
		}
	}
	sections(Grow(h, Options{All: true}).Sections)
	for i := range h.Processes {
		if p := &h.Processes[i]; !p.Kernel && seen[p.PID] != 1 {
			t.Errorf("process %d %s is shown %d times", p.PID, p.Comm, seen[p.PID])
		}
	}
	if seen[os.Getpid()] != 1 {
		t.Error("the test itself is missing")
	}
}

func TestColour(t *testing.T) {
	got := text(t, Grow(host(t), Options{}), TextOptions{Pen: ink.Pen{Colour: true}, Full: true})
	for _, part := range []string{"\x1b[1mcontainer web\x1b[0m", "[conmon]\x1b[0m", strings.Repeat("a", 64)} {
		if !strings.Contains(got, part) {
			t.Errorf("lacks %q", part)
		}
	}
	if strings.Contains(got, "\x1b[2J") {
		t.Error("a process speaks to the terminal")
	}
}
