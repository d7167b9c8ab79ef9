package watch

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/group"
	"carob/internal/look/ink"
	"carob/internal/look/risk"
	"carob/internal/look/sample"
)

func to[T any](v T) *T { return &v }

// The host's namespaces in the samples.
func hostNS() look.NS { return look.NS{1, 2, 3, 4, 5, 6, 7, 8} }

const evil = "evil\x1b[2J\u202e\nname"

// at is a sample n seconds after the first: a pod of carob with a busy and an idle
// container, a container of Docker in the host's network, one that shares the pod's
// network from outside, carob's pod around a single container, and a hostile group.
func at(n int) *sample.Sample {
	sec := uint64(n)
	s := &sample.Sample{
		At: time.Date(2026, 11, 30, 6, 0, n, 0, time.UTC), Nets: map[uint64]sample.Net{14: {Received: 1000 * sec, Sent: 50 * sec}, 64: {}, 5: {Received: 4096 * sec}},
		Machine: sample.Machine{
			Name: "box", CPUs: 4, Busy: 100 * sec, Total: 400 * sec, Memory: 8 << 30, Available: 6 << 30, Load: "0.50 0.40 0.30", Processes: 42,
			Pressure: group.Pressure{CPU: &group.Stall{Some10: 12.3}, Memory: &group.Stall{}, IO: &group.Stall{Some10: 1.5}}, NS: hostNS(),
		},
	}
	in := func(change ...uint64) look.NS { // pairs of kind and inode
		ns := hostNS()
		for i := 0; i < len(change); i += 2 {
			ns[change[i]] = change[i+1]
		}
		return ns
	}
	const mnt, uts, ipc, pid, net, user = uint64(look.Mnt), uint64(look.UTS), uint64(look.IPC), uint64(look.PID), uint64(look.Net), uint64(look.User)
	pod := in(mnt, 11, uts, 12, ipc, 13, net, 14, user, 15)
	s.Things = []sample.Thing{
		{Key: "pod:d", Kind: sample.ThingPod, Name: "foo", ID: "dddd", Engine: look.Carob, PID: 30, State: sample.Running, Processes: 3, NS: pod, Use: sample.Use{
			From: "/carob/d", CPU: to(600_000_000 * sec), Memory: to(uint64(200 << 20)), Limit: to(uint64(256 << 20)), Read: to(uint64(0)), Written: to(1 << 20 * sec), Pids: to(uint64(9)),
			Pressure: &group.Pressure{CPU: &group.Stall{Some10: 33}},
		}},
		{Key: "sandbox:d", Pod: "pod:d", Kind: look.ClassSandbox, Name: "sandbox", Engine: look.Carob, PID: 30, State: sample.Running, Processes: 1, NS: pod, Use: sample.Use{
			CPU: to(uint64(0)), Memory: to(uint64(1 << 20)), Pids: to(uint64(4)),
		}},
		{Key: "container:a", Pod: "pod:d", Kind: look.ClassContainer, Name: "app", ID: "aaaa", Engine: look.Carob, PID: 31, State: sample.Running, Processes: 1,
			NS: in(mnt, 21, uts, 12, ipc, 13, pid, 22, net, 14, user, 15), Use: sample.Use{
				From: "/carob/d/a", CPU: to(500_000_000 * sec), Quota: to(0.5), Periods: 10 * sec, Throttled: 4 * sec,
				Memory: to(uint64(120 << 20)), Limit: to(uint64(128 << 20)), Read: to(uint64(0)), Written: to(1 << 20 * sec), Pids: to(uint64(4)), PidsLimit: to(uint64(5)),
				Pressure: &group.Pressure{CPU: &group.Stall{Some10: 60}, Memory: &group.Stall{Some10: 2}},
			}},
		{Key: "container:b", Pod: "pod:d", Kind: look.ClassContainer, Name: "sidecar", ID: "bbbb", Engine: look.Carob, PID: 32, State: sample.Paused, Processes: 1,
			NS: in(mnt, 31, uts, 12, ipc, 13, pid, 32, net, 14, user, 15), Use: sample.Use{From: "/carob/d/b", CPU: to(uint64(7)), Memory: to(uint64(80 << 20)), Pids: to(uint64(1))}},
		{Key: "pod:e", Kind: sample.ThingPod, Name: "solo", ID: "eeee", Engine: look.Carob, PID: 60, State: sample.Running, Solo: true, Processes: 2, NS: in(mnt, 61, uts, 62, ipc, 63, net, 64)},
		{Key: "sandbox:e", Pod: "pod:e", Kind: look.ClassSandbox, Name: "sandbox", Engine: look.Carob, PID: 60, State: sample.Running, Processes: 1, NS: in(mnt, 61, uts, 62, ipc, 63, net, 64)},
		{Key: "container:e", Pod: "pod:e", Kind: look.ClassContainer, Name: "solo", ID: "e0e0", Engine: look.Carob, PID: 61, State: sample.Running, Processes: 1,
			NS: in(mnt, 65, uts, 62, ipc, 63, pid, 66, net, 64), Use: sample.Use{From: "/carob/e", CPU: to(10_000_000 * sec), Memory: to(uint64(3 << 20)), Limit: to(uint64(64 << 20)), Pids: to(uint64(1))}},
		{Key: "container:c", Kind: look.ClassContainer, Name: "web", ID: "cccc", Engine: look.Docker, PID: 50, State: sample.Running, Processes: 5,
			NS: in(mnt, 51, uts, 52, ipc, 53, pid, 54), Use: sample.Use{From: "/docker/c", CPU: to(1_500_000_000 * sec), Memory: to(uint64(1500 << 20)), Pids: to(uint64(40))}},
		{Key: "container:f", Kind: look.ClassContainer, Name: "spy", ID: "ffff", Engine: look.Docker, PID: 55, State: sample.Running, Processes: 1,
			NS: in(mnt, 56, net, 14), Use: sample.Use{From: "/docker/f", CPU: to(uint64(0)), Memory: to(uint64(2 << 20))}},
		{Key: "group:70@1", Kind: look.ClassGroup, Name: evil, PID: 70, State: sample.Running, Processes: 1, NS: in(mnt, 71), Use: sample.Use{Memory: to(uint64(1 << 20)), Pids: to(uint64(1))}},
	}
	return s
}

// model is a view that has taken two samples.
func model(width, height int) *Model {
	m := NewModel(time.Second, View{Order: ByName})
	m.Resize(width, height)
	m.Take(at(1))
	m.Take(at(2))
	return m
}

func press(m *Model, keys ...Key) (last Action) {
	for _, k := range keys {
		last = m.Press(k)
	}
	return last
}

// TestRates holds what two samples say against numbers worked out by hand.
func TestRates(t *testing.T) {
	table := Rates(at(1), at(3)) // two seconds
	row := func(key string) *Row {
		if r := find(table.Rows, key); r != nil {
			return r
		}
		t.Fatalf("no row %s", key)
		return nil
	}
	near := func(what string, got *float64, want float64) {
		t.Helper()
		if got == nil || math.Abs(*got-want) > 1e-6 {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	app, pod, solo, web, spy := row("container:a"), row("pod:d"), row("container:e"), row("container:c"), row("container:f")
	near("app's cpu: half a second each second", app.CPU, 50)
	near("app's throttling: 8 of 20 periods", app.Throttled, 40)
	near("app's writes: 1 MiB each second", app.Written, 1<<20)
	near("app's reads", app.Read, 0)
	near("web's cpu", web.CPU, 150)
	near("pod's received", pod.Received, 1000)
	near("pod's sent", pod.Sent, 50)
	near("machine's cpu: a quarter of 4", table.Machine.CPU, 100)
	near("machine's received", table.Machine.Received, 4096)
	near("solo's received", solo.Received, 0)
	if web.Throttled != nil || web.Read != nil || web.Received != nil {
		t.Errorf("web has numbers that nobody counts: %+v", web)
	}
	for _, c := range []struct{ who, got, want string }{
		{"foo", pod.Network, NetOwn}, {"app", app.Network, NetPod}, {"web", web.Network, NetHost}, {"spy", spy.Network, "foo"}, {"solo", solo.Network, NetOwn},
	} {
		if c.got != c.want {
			t.Errorf("the network of %s is %q, want %q", c.who, c.got, c.want)
		}
	}
	if app.PodLimit || *app.Limit != 128<<20 {
		t.Errorf("app's limit is its own: %+v", app)
	}
	if side := row("container:b"); !side.PodLimit || *side.Limit != 256<<20 {
		t.Errorf("sidecar's limit is the pod's: %+v", side)
	}
	if find(table.Rows, "pod:e") != nil || len(solo.Rows) != 1 || solo.Rows[0].Kind != look.ClassSandbox {
		t.Errorf("carob's pod around one container is the container: %+v", table.Rows)
	}
	if table.Seconds != 2 {
		t.Errorf("%v seconds", table.Seconds)
	}
}

// TestShares holds every kind of the pod's and the spy's against the samples.
func TestShares(t *testing.T) {
	table := Rates(nil, at(1))
	for key, want := range map[string]Shares{
		//              mnt       uts        ipc        pid       net          user       cgroup    time
		"container:a": {Own, WithPod, WithPod, Own, WithOthers, WithPod, WithHost, WithHost},
		"pod:d":       {Own, WithPod, WithPod, Own, WithOthers, WithPod, WithHost, WithHost},
		"container:c": {Own, Own, Own, Own, WithHost, WithHost, WithHost, WithHost},
		"container:f": {Own, WithHost, WithHost, WithHost, WithOthers, WithHost, WithHost, WithHost},
		"container:e": {Own, WithPod, WithPod, Own, WithPod, WithHost, WithHost, WithHost},
	} {
		if got := find(table.Rows, key).Shares; got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
}

// TestFirstSample has no rates, and does not pretend to.
func TestFirstSample(t *testing.T) {
	table := Rates(nil, at(1))
	if r := find(table.Rows, "container:a"); r.CPU != nil || r.Written != nil || table.Machine.CPU != nil || r.Memory == nil {
		t.Errorf("%+v", r)
	}
}

// TestSumFalls: a process of a sandbox ends, and with it what it had counted.
func TestSumFalls(t *testing.T) {
	before, now := at(1), at(2)
	before.Things[1].Use.CPU, now.Things[1].Use.CPU = to(uint64(900)), to(uint64(100))
	if r := find(Rates(before, now).Rows, "sandbox:d"); *r.CPU != 0 {
		t.Errorf("%v", *r.CPU)
	}
}

// TestPodWithoutGroup sums up its containers.
func TestPodWithoutGroup(t *testing.T) {
	before, now := at(1), at(2)
	before.Things[0].Use, now.Things[0].Use = sample.Use{}, sample.Use{}
	r := find(Rates(before, now).Rows, "pod:d")
	if r.CPU == nil || math.Abs(*r.CPU-50) > 1e-6 || *r.Memory != (1+120+80)<<20 || *r.Pids != 9 {
		t.Errorf("%+v", r)
	}
	if *find(r.Rows, "container:a").CPU != *r.CPU {
		t.Error("the pod's number and the container's are one")
	}
	*r.CPU = 1
	if *find(r.Rows, "container:a").CPU == 1 {
		t.Error("the pod's number is the container's own")
	}
}

// names are the first words of the rows that are shown.
func names(m *Model) string {
	var out []string
	for _, v := range m.visible() {
		out = append(out, ink.Safe(v.row.Name))
	}
	return strings.Join(out, " ")
}

func TestList(t *testing.T) {
	for _, c := range []struct {
		name string
		keys []Key
		want string
	}{
		{"by name", nil, "foo app sidecar solo spy web"},
		{"the other way round", []Key{"r"}, "web spy solo foo sidecar app"},
		{"by cpu", []Key{"s"}, "web foo app sidecar solo spy"},
		{"by memory", []Key{"s", "s"}, "web foo app sidecar solo spy"},
		{"back from names is by pressure", []Key{"S"}, "foo app sidecar solo spy web"},
		{"by network", []Key{"s", "s", "s", "s"}, "foo app sidecar solo spy web"},
		{"by pids", []Key{"s", "s", "s", "s", "s"}, "web foo app sidecar solo spy"},
		{"all", []Key{"a"}, "evil?[2J??name:70 foo app sandbox sidecar solo sandbox spy web"},
		{"folded", []Key{"f"}, "foo solo spy web"},
		{"folded by a container in it", []Key{"j", Left}, "foo solo spy web"},
		{"and unfolded", []Key{Left, Right}, "foo app sidecar solo spy web"},
		{"all folded", []Key{"a", "F"}, "evil?[2J??name:70 foo solo spy web"},
		{"all unfolded", []Key{"F", "F"}, "foo app sidecar solo spy web"},
		{"a container matches", []Key{"/", "s", "i", "d", Enter}, "foo sidecar"},
		{"a pod matches", []Key{"/", "f", "o", "o", Enter}, "foo app sidecar"},
		{"two words", []Key{"/", "d", "o", "c", "k", " ", "w", Enter}, "web"},
		{"upper case", []Key{"/", "W", "E", "B", Enter}, "web"},
		{"a PID", []Key{"/", "5", "0", Enter}, "web"},
		{"an ID", []Key{"/", "f", "f", "f", Enter}, "spy"},
		{"nothing", []Key{"/", "x", "x", Enter}, ""},
		{"one character less", []Key{"/", "w", "x", Backspace, Enter}, "web"},
		{"no filter", []Key{"/", "x", Escape}, "foo app sidecar solo spy web"},
		{"no filter any more", []Key{"/", "x", Enter, Escape}, "foo app sidecar solo spy web"},
		{"q is a letter of a filter", []Key{"/", "q", Escape}, "foo app sidecar solo spy web"},
	} {
		m := model(120, 30)
		press(m, c.keys...)
		if got := strings.ReplaceAll(names(m), "evil?[2J??name ", "evil?[2J??name:70 "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSelection stays with its row when the order changes, and with its place when the
// row ends.
func TestSelection(t *testing.T) {
	m := model(120, 30)
	press(m, "j", "j") // sidecar
	if m.selected != "container:b" {
		t.Fatalf("selected %s", m.selected)
	}
	press(m, "r", "s", "s")
	if m.selected != "container:b" {
		t.Errorf("after sorting %s", m.selected)
	}
	m = model(120, 30)
	press(m, "j", "j")
	s := at(3)
	s.Things = append(s.Things[:3:3], s.Things[4:]...)
	m.Take(s)
	if m.selected != "container:e" { // what has moved up into its place
		t.Errorf("after its end %s", m.selected)
	}
	s = at(4)
	s.Things = nil
	m.Take(s)
	if m.selected != "" || press(m, Enter) != None {
		t.Errorf("of nothing %q", m.selected)
	}
	m.Take(at(5))
	if m.selected != "pod:d" {
		t.Errorf("after all came back %q", m.selected)
	}
}

// TestScroll keeps the selected row in sight.
func TestScroll(t *testing.T) {
	m := NewModel(time.Second, View{Order: ByName})
	m.Resize(80, 12)
	s := at(1)
	s.Things = nil
	for i := range 100 {
		s.Things = append(s.Things, sample.Thing{Key: fmt.Sprint(i), Kind: look.ClassContainer, Name: fmt.Sprintf("c%02d", i), State: sample.Running})
	}
	m.Take(s)
	for _, c := range []struct {
		key  Key
		want string
	}{{End, "c99"}, {Up, "c98"}, {PageUp, "c90"}, {Home, "c00"}, {PageDown, "c08"}, {"k", "c07"}, {"G", "c99"}, {"g", "c00"}} {
		press(m, c.key)
		text := m.Draw().Text()
		if !strings.Contains(text, "›   "+c.want) {
			t.Errorf("after %s %s is not selected in sight:\n%s", c.key, c.want, text)
		}
	}
}

func TestActions(t *testing.T) {
	m := model(80, 24)
	for _, c := range []struct {
		key  Key
		want Action
	}{{"q", Quit}, {Interrupt, Quit}, {"p", Tick}, {"+", Tick}, {"-", Tick}, {"j", None}, {"x", None}, {Enter, Look}, {"q", Quit}, {Interrupt, Quit}} {
		if got := m.Press(c.key); got != c.want {
			t.Errorf("%s: %v, want %v", c.key, got, c.want)
		}
	}
	press(m, Escape, "/")
	if got := m.Press(Interrupt); got != Quit {
		t.Errorf("control-c while typing: %v", got)
	}
	m = model(80, 24)
	if press(m, "+"); m.Interval() != 2*time.Second {
		t.Errorf("longer: %v", m.Interval())
	}
	if press(m, "-", "-", "-", "-", "-"); m.Interval() != Fastest {
		t.Errorf("shortest: %v", m.Interval())
	}
	for range 20 {
		press(m, "+")
	}
	if m.Interval() != Slowest {
		t.Errorf("longest: %v", m.Interval())
	}
	if press(m, "p"); !m.Paused() {
		t.Error("not paused")
	}
}

// details of the app, with text that its process chose.
func details() *sample.Details {
	return &sample.Details{
		Key: "container:a", Is: look.ThingContainer, Name: "foo/app", Engine: look.Carob, ID: "aaaa", PID: 31, Command: "httpd " + evil, UID: 100000, Cgroup: "/carob/d/a",
		Namespaces: []sample.Namespace{{Kind: look.Mnt, Inode: 21}, {Kind: look.Net, Inode: 14, With: []string{"foo/sidecar", evil}}, {Kind: look.Time, Inode: 8, Host: true}},
		Says:       []string{"app and sidecar share net"}, Limits: []string{"memory: 128MiB, set by its own group /carob/d/a"},
		Needs: "An escape would need a fault of the kernel.", Findings: []sample.Finding{{Severity: risk.High, Title: "may load modules"}, {Severity: risk.Low, Of: "foo/b", Title: "no limit"}},
		Processes: []string{"PID  COMMAND", "31   httpd"}, Unread: []string{"label: permission denied"},
	}
}

func TestDetails(t *testing.T) {
	m := model(120, 60)
	press(m, "j")
	if got := m.Press(Enter); got != Look || m.Asks() != "container:a" {
		t.Fatalf("%v, asks %q", got, m.Asks())
	}
	if text := m.Draw().Text(); !strings.Contains(text, "reading…") {
		t.Errorf("before it was read:\n%s", text)
	}
	m.Explain(details())
	text := m.Draw().Text()
	for _, want := range []string{
		"foo/app  container of carob, process 31", "command  httpd evil?[2J??name", "50.0% of 50%, throttled in 40.0% of its periods", "120M/128M",
		"written 1M /s", "is the pod's, which has the numbers", "4 of 5 in 1 process", "mnt    21          its own", "with foo/sidecar and evil?[2J??name",
		"time   8           the host's", "app and sidecar share net", "memory: 128MiB, set by its own group", "1 high and 1 low", "high      may load modules",
		"low       foo/b: no limit", "An escape would need", "31   httpd", "not read: label", "for cpu 60.0%",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	m.Resize(60, 12)
	top := m.Draw().Text()
	press(m, PageDown)
	if m.Draw().Text() == top || m.Asks() != "container:a" {
		t.Error("the page does not move")
	}
	press(m, End, End, Home)
	if m.Draw().Text() != top {
		t.Errorf("the page does not move back:\n%s", m.Draw().Text())
	}
	m.Explain(&sample.Details{Key: "container:a", Gone: true})
	if text := m.Draw().Text(); !strings.Contains(text, "It has ended.") {
		t.Errorf("after its end:\n%s", text)
	}
	if press(m, Escape); m.Asks() != "" || !strings.Contains(m.Draw().Text(), "NAME") {
		t.Error("escape does not lead back")
	}
}

// TestDetailsOfWhatEnds stays on the page.
func TestDetailsOfWhatEnds(t *testing.T) {
	m := model(120, 40)
	press(m, "j", Enter)
	m.Explain(details())
	s := at(3)
	s.Things = nil
	m.Take(s)
	if m.Asks() != "container:a" || !strings.Contains(m.Draw().Text(), "foo/app") {
		t.Errorf("asks %q:\n%s", m.Asks(), m.Draw().Text())
	}
}

func TestHelp(t *testing.T) {
	m := model(100, 50)
	press(m, "?")
	text := m.Draw().Text()
	for _, k := range columns() {
		for word := range strings.FieldsSeq(strings.NewReplacer("/s", "", "c/m/i", "").Replace(k.head)) {
			switch word {
			case "NAME", "ENGINE", "PID", "STATE": // need no words
			default:
				if !strings.Contains(text, word) {
					t.Errorf("no word about %s", word)
				}
			}
		}
	}
	if press(m, "?"); strings.Contains(m.Draw().Text(), "COLUMNS") {
		t.Error("still there")
	}
}

// TestEverySize draws every page at every size: it fits, is filled to the last line, and
// nothing in it speaks to a terminal.
func TestEverySize(t *testing.T) {
	for height := 1; height <= 60; height += 1 + height/8 {
		for width := 1; width <= 220; width += 1 + width/25 {
			m := model(width, height)
			m.table.Rows[1].Name = "容器和容器组e\u0301\u200b"
			press(m, "a")
			pages := []Screen{m.Draw()}
			press(m, "/", "é")
			pages = append(pages, m.Draw())
			press(m, Escape, "j", "j", Enter)
			m.Explain(details())
			pages = append(pages, m.Draw())
			press(m, "?", End)
			pages = append(pages, m.Draw())
			for i, s := range pages {
				if len(s) != height {
					t.Fatalf("%d×%d, page %d: %d lines", width, height, i, len(s))
				}
				for _, l := range s {
					if l.width() > width || strings.ContainsFunc(l.text(), func(r rune) bool { return !unicode.IsPrint(r) }) {
						t.Fatalf("%d×%d, page %d: %d columns: %q", width, height, i, l.width(), l.text())
					}
				}
			}
		}
	}
}

// TestColumns gives the room that there is to what matters more.
func TestColumns(t *testing.T) {
	heads := func(width int, pressure bool) string {
		var out []string
		for _, c := range layout(width, 10, pressure) {
			out = append(out, c.head)
		}
		return strings.Join(out, " ")
	}
	for _, c := range []struct {
		width int
		want  string
	}{
		{60, "NAME CPU% MEMORY RX/s TX/s"},
		{80, "NAME CPU% MEMORY  RX/s TX/s SHARED"},
		{200, "NAME ENGINE PID STATE CPU% TREND THR% MEMORY  READ/s WRIT/s RX/s TX/s PIDS PSI c/m/i SHARED HOST'S"},
	} {
		if got := heads(c.width, true); got != c.want {
			t.Errorf("%d: %s, want %s", c.width, got, c.want)
		}
	}
	if strings.Contains(heads(200, false), "PSI") {
		t.Error("a column for pressure that nobody counts")
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.4: "0", 999: "999", 1000: "1000", 1023: "1023", 1024: "1K", 1536: "1.5K", 10239: "10K", 12 << 20: "12M", 384 << 20: "384M", 1000 << 20: "1000M",
		1.5 * (1 << 30): "1.5G", 1 << 40: "1T", 1 << 60: "1E", 5 << 60: "5E", 999 << 10: "999K",
	} {
		if got := short(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
	for v := 1.0; v < 1<<63; v *= 1.01 {
		if s := short(v); len(s) > 5 {
			t.Fatalf("%v is %s", v, s)
		}
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  string
	}{{0, "····"}, {0.001, "▏···"}, {0.5, "██··"}, {0.53, "██▏·"}, {1, "████"}, {7, "████"}, {-1, "····"}} {
		if got := bar(c.share, 4).text(); got != c.want {
			t.Errorf("%v: %s, want %s", c.share, got, c.want)
		}
	}
}

func TestTrend(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{nil, "     "}, {[]float64{0}, "    ▁"}, {[]float64{0, 4, 8}, "  ▁▅█"}, {[]float64{9, 9, 9, 1, 1, 1, 1, 1}, "▅▅▅▅▅"}, {[]float64{0.1}, "    ▁"},
	} {
		if got := trend(c.values, 2, 5); got != c.want {
			t.Errorf("%v: %q, want %q", c.values, got, c.want)
		}
	}
}

// TestHistory remembers what lives, up to a bound, and forgets what has ended.
func TestHistory(t *testing.T) {
	m := NewModel(time.Second, View{Order: ByName})
	for i := range remembered + 10 {
		m.Take(at(i + 1))
	}
	if n := len(m.history["container:a"].cpu); n != remembered {
		t.Errorf("%d values", n)
	}
	s := at(500)
	s.Things = s.Things[:1]
	m.Take(s)
	if len(m.history) != 1 {
		t.Errorf("histories of %d rows", len(m.history))
	}
}

func TestParseOrder(t *testing.T) {
	for _, name := range OrderNames() {
		if o, err := ParseOrder(name); err != nil || string(o) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseOrder("luck"); !fault.Is(err, fault.Invalid) {
		t.Errorf("luck: %v", err)
	}
}

func TestNothing(t *testing.T) {
	m := NewModel(time.Second, View{Order: ByName})
	m.Resize(120, 20)
	if text := m.Draw().Text(); !strings.Contains(text, "reading…") {
		t.Errorf("before the first sample:\n%s", text)
	}
	s := at(1)
	s.Things, s.Limited = nil, true
	m.Take(s)
	if text := m.Draw().Text(); !strings.Contains(text, "no container runs that could be seen here") || !strings.Contains(text, "as root more can be seen") {
		t.Errorf("nothing runs:\n%s", text)
	}
	s.Inner = true
	m.Take(s)
	press(m, "a")
	if text := m.Draw().Text(); !strings.Contains(text, "inside of a container") || !strings.Contains(text, "nothing runs in namespaces") {
		t.Errorf("inside:\n%s", text)
	}
}
