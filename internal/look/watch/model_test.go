package watch

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/ink"
	"carob/internal/look/risk"
	"carob/internal/look/sample"
)

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
