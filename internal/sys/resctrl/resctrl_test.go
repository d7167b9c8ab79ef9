package resctrl

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// machine is a directory that is like a resctrl file system of a processor with two caches, as far as
// the kernel's document goes. What is written to a file comes after what was in it.
type machine struct {
	FS
	*testing.T
	room int // how many groups can still be made
}

const initially = "    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n"

func newMachine(t *testing.T) *machine {
	m := &machine{T: t, room: 3}
	m.FS = FS{Root: t.TempDir(), Mkdir: m.mkdir, Rmdir: m.rmdir}
	m.fill(m.Root)
	if err := os.Mkdir(filepath.Join(m.Root, "info"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.say("ok")
	return m
}

func (m *machine) say(status string) {
	if err := os.WriteFile(filepath.Join(m.Root, "info/last_cmd_status"), []byte(status+"\n"), 0o644); err != nil {
		m.Fatal(err)
	}
}

// fill makes a group's files. A monitoring group has no schemata, and none below it.
func (m *machine) fill(dir string) {
	if filepath.Base(filepath.Dir(dir)) != "mon_groups" {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "schemata"), []byte(initially), 0o644), os.Mkdir(filepath.Join(dir, "mon_groups"), 0o755)); err != nil {
			m.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "tasks"), nil, 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) mkdir(dir string) error {
	if m.room == 0 {
		m.say("Out of CLOSIDs")
		return &os.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOSPC}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	m.room--
	m.fill(dir)
	return nil
}

func (m *machine) rmdir(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	m.room++
	return os.RemoveAll(dir)
}

// has is what has been written to a file, or is there of a directory's; "" is no such file.
func (m *machine) has(name string) string {
	text, err := os.ReadFile(filepath.Join(m.Root, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.Fatal(err)
	}
	return strings.TrimPrefix(string(text), initially)
}

// groups lists all groups.
func (m *machine) groups() (all []string) {
	for _, pattern := range []string{"*/tasks", "mon_groups/*/tasks", "*/mon_groups/*/tasks"} {
		found, err := filepath.Glob(filepath.Join(m.Root, pattern))
		if err != nil {
			m.Fatal(err)
		}
		for _, f := range found {
			name, err := filepath.Rel(m.Root, filepath.Dir(f))
			if err != nil {
				m.Fatal(err)
			}
			all = append(all, name)
		}
	}
	return all
}

// TestGroup: which group a container is in, and what of it ends with the container, by the
// rules of config-linux.md.
func TestGroup(t *testing.T) {
	for name, test := range map[string]struct {
		asked    specs.LinuxIntelRdt
		group    string // where the process is
		schemata string // what has been written there
		made     []string
		stay     []string // when the container is gone
	}{
		"nothing": {specs.LinuxIntelRdt{}, "id", "", []string{"id"}, nil},
		"its own": {specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f", MemBwSchema: "MB:0=20"}, "id", "L3:0=f\nMB:0=20\n", []string{"id"}, nil},
		"schemata come last": {
			specs.LinuxIntelRdt{L3CacheSchema: "L3CODE:0=f\nL3DATA:0=f0\n", Schemata: []string{"L3:0=1", "L2:0=3"}},
			"id", "L3CODE:0=f\nL3DATA:0=f0\nL3:0=1\nL2:0=3\n", []string{"id"}, nil,
		},
		"a new class":         {specs.LinuxIntelRdt{ClosID: "new", MemBwSchema: "MB:0=20"}, "new", "MB:0=20\n", []string{"new"}, []string{"new"}},
		"a class":             {specs.LinuxIntelRdt{ClosID: "gold"}, "gold", "", nil, nil},
		"a class that fits":   {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:1=0x07FF", MemBwSchema: "MB:0= 100;1=100"}, "gold", "", nil, nil},
		"a class is set":      {specs.LinuxIntelRdt{ClosID: "gold", Schemata: []string{"L3:0=f"}}, "gold", "L3:0=f\n", nil, nil},
		"what all have":       {specs.LinuxIntelRdt{ClosID: "/"}, ".", "", nil, nil},
		"counted":             {specs.LinuxIntelRdt{EnableMonitoring: true}, "id", "", []string{"id", "id/mon_groups/id"}, nil},
		"counted in a class":  {specs.LinuxIntelRdt{ClosID: "gold", EnableMonitoring: true}, "gold", "", []string{"gold/mon_groups/id"}, nil},
		"counted outside all": {specs.LinuxIntelRdt{ClosID: "/", EnableMonitoring: true}, ".", "", []string{"mon_groups/id"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if err := m.Mkdir(filepath.Join(m.Root, "gold")); err != nil {
				t.Fatal(err)
			}
			g := Of(m.FS, &test.asked, "id")
			if err := errors.Join(g.Make(&test.asked), g.Add(7)); err != nil {
				t.Fatal(err)
			}
			with := func(more []string) []string { return slices.Sorted(slices.Values(append([]string{"gold"}, more...))) }
			if got := slices.Sorted(slices.Values(m.groups())); !slices.Equal(got, with(test.made)) {
				t.Errorf("groups %q", got)
			}
			if got := m.has(test.group + "/schemata"); got != test.schemata {
				t.Errorf("schemata %q", got)
			}
			if got := m.has(test.group + "/tasks"); got != "7\n" {
				t.Errorf("tasks %q", got)
			}
			if got := m.has(test.group + "/mon_groups/id/tasks"); (got == "7\n") != test.asked.EnableMonitoring {
				t.Errorf("tasks that are counted: %q", got)
			}
			again := Of(m.FS, &test.asked, "id") // another process removes
			if err := errors.Join(again.Remove(), again.Remove()); err != nil {
				t.Error(err)
			}
			if got := m.groups(); !slices.Equal(got, with(test.stay)) {
				t.Errorf("left: %q", got)
			}
		})
	}
}

// TestRefused: the error names the field and says why, and nothing is left behind.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		asked specs.LinuxIntelRdt
		kind  fault.Kind
		want  string
	}{
		"no such class":        {specs.LinuxIntelRdt{ClosID: "silver"}, fault.NotFound, "linux.intelRdt.closID: silver"},
		"no class, monitoring": {specs.LinuxIntelRdt{ClosID: "silver", EnableMonitoring: true}, fault.NotFound, "linux.intelRdt.closID: silver"},
		"not a class":          {specs.LinuxIntelRdt{ClosID: "tasks"}, fault.Internal, "linux.intelRdt.closID: tasks"},
		"the container's name": {specs.LinuxIntelRdt{EnableMonitoring: true}, fault.Exists, "linux.intelRdt.closID: make "},
		"another bitmask":      {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=7ff;1=f"}, fault.Conflict, "linux.intelRdt.l3CacheSchema: the class gold is there already, with other schemata: L3:1=7ff, not f"},
		"another bandwidth":    {specs.LinuxIntelRdt{ClosID: "gold", MemBwSchema: "MB:0=10"}, fault.Conflict, "linux.intelRdt.memBwSchema: the class gold"},
		"no such cache":        {specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:2=0"}, fault.Conflict, "L3:2="},
		"too much":             {specs.LinuxIntelRdt{ClosID: "new", Schemata: []string{strings.Repeat("x", os.Getpagesize())}}, fault.Invalid, "linux.intelRdt.schemata: "},
		"no more classes":      {specs.LinuxIntelRdt{ClosID: "new", MemBwSchema: "MB:0=10"}, fault.Unavailable, "linux.intelRdt.closID: make "},
		"no more to count":     {specs.LinuxIntelRdt{ClosID: "new", MemBwSchema: "MB:0=10", EnableMonitoring: true}, fault.Unavailable, "linux.intelRdt.enableMonitoring: make "},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			if err := errors.Join(m.Mkdir(filepath.Join(m.Root, "gold")), m.Mkdir(filepath.Join(m.Root, "id"))); err != nil {
				t.Fatal(err)
			}
			switch name {
			case "no more classes":
				m.room = 0
			case "no more to count":
				m.room = 1
			}
			before, room := m.groups(), m.room
			err := Of(m.FS, &test.asked, "id").Make(&test.asked)
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v: %v", fault.KindOf(err), err)
			}
			if test.kind == fault.Unavailable && !strings.Contains(err.Error(), "Out of CLOSIDs") {
				t.Errorf("what the kernel says is missing: %v", err)
			}
			if got := m.groups(); !slices.Equal(got, before) || m.room != room {
				t.Errorf("groups %q, room for %d", got, m.room)
			}
		})
	}
}

// TestAddOrUndo: a process that cannot be moved is an error; Undo removes a class, too,
// that this create has made.
func TestAddOrUndo(t *testing.T) {
	m := newMachine(t)
	asked := &specs.LinuxIntelRdt{ClosID: "new", Schemata: []string{"L3:0=f"}, EnableMonitoring: true}
	g := Of(m.FS, asked, "id")
	if err := g.Make(asked); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(m.Root, "new/mon_groups/id/tasks")); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(7); err == nil || !strings.Contains(err.Error(), "linux.intelRdt") {
		t.Error(err)
	}
	if err := g.Undo(); err != nil || len(m.groups()) > 0 {
		t.Errorf("%v, left %q", err, m.groups())
	}
}

// TestFind: where the file system is not, it says so.
func TestFind(t *testing.T) {
	fsys, err := Find()
	if table, e := os.ReadFile("/proc/self/mountinfo"); e != nil {
		t.Fatal(e)
	} else if mounted := strings.Contains(string(table), " - resctrl "); mounted != (err == nil) || !mounted && !fault.Is(err, fault.Unsupported) {
		t.Errorf("%v, %v", fsys, err)
	}
}

func FuzzDiffers(f *testing.F) {
	f.Add(initially, "L3:0=7ff")
	f.Add("MB:0= 20;1=100", "MB:1=0x100;0=20\nL2:;=;0")
	f.Fuzz(func(t *testing.T, file, asked string) {
		_ = differs(file, lines(asked))
		for _, line := range lines(asked) {
			if at := differs(line, []string{line}); at != "" {
				t.Errorf("%q differs from itself: %s", line, at)
			}
		}
	})
}
