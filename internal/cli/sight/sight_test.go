package sight

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"carob/internal/fault"
	"carob/internal/look/recorded"
)

var (
	podID = strings.Repeat("d", 64)
	appID = strings.Repeat("a", 64)
	sideA = strings.Repeat("b", 64)
)

// table is a pod of carob, an unshared shell whose name is hostile, and a process of
// the host.
const table = `
1 0 0 1 / /sbin/init
  mountinfo: 20 1 8:1 / / rw - ext4 /dev/sda rw\n30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 20 0:4 net:[900] /run/netns/a rw - nsfs nsfs rw
  uid_map: 0 0 4294967295
  gid_map: 0 0 4294967295
30 1 100000 30 / carob-pod dddddddddddd
  mnt=15 uts=16 ipc=17 net=14 user=13
  fd/2: -> /run/carob/pods/$D/supervisor.log
31 30 100000 31,1 /carob/$D/$A httpd
  mnt=19 pid=20 uts=16 ipc=17 net=14 user=13
  uid_map: 0 100000 65536
  gid_map: 0 100000 65536
  mountinfo: 40 1 0:59 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/b
32 30 100000 32,1 /carob/$D/$B sleep 9
  mnt=21 pid=22 uts=16 ipc=17 net=14 user=13
  uid_map: 0 100000 65536
  gid_map: 0 100000 65536
  mountinfo: 40 1 0:60 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/b
70 1 0 70 / evil` + "\x1b[2J" + `
  mnt=71
`

func host(t *testing.T) string {
	t.Helper()
	ids := strings.NewReplacer("$D", podID, "$A", appID, "$B", sideA)
	all, err := recorded.Parse(strings.NewReader(ids.Replace(table)))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := recorded.Write(root, all); err != nil {
		t.Fatal(err)
	}
	const cg, state = "sys/fs/cgroup", "run/carob/state"
	for name, text := range map[string]string{
		cg + "/cgroup.controllers": "memory cpu pids\n", cg + "/cgroup.procs": "1\n30\n70\n", cg + "/empty/cgroup.procs": "",
		cg + "/carob/$D/memory.max": "402653184\n", cg + "/carob/$D/memory.stat": "anon 1\n", cg + "/carob/$D/cgroup.procs": "",
		cg + "/carob/$D/$A/memory.max": "268435456\n", cg + "/carob/$D/$A/memory.stat": "anon 1\n", cg + "/carob/$D/$A/cgroup.procs": "31\n",
		cg + "/carob/$D/$B/cgroup.procs": "32\n",
		state + "/pod/$D.json":           `{"status":{"id":"$D","name":"foo","namespace":"default"}}`,
		state + "/container/$A.json":     `{"status":{"id":"$A","name":"app","podID":"$D"}}`,
		state + "/container/$B.json":     `{"status":{"id":"$B","name":"sidecar","podID":"$D"}}`,
	} {
		file := filepath.Join(root, ids.Replace(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(ids.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// run runs one of the commands.
func run(t *testing.T, e Env, args ...string) (string, error) {
	t.Helper()
	var out, errs strings.Builder
	e.Stdout, e.Stderr = &out, &errs
	root := &cobra.Command{Use: "carob", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(Look(e), Explain(e))
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&errs)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// TestCommands runs each command for people and for programs.
func TestCommands(t *testing.T) {
	e := Env{Root: host(t), RunDirs: []string{"/run/carob"}}
	for _, c := range []struct {
		args string
		want []string
		json string
	}{
		{"look ns", []string{"foo/app", "foo: sandbox, app and sidecar share uts, ipc, net and user", "1 group of processes"}, `"says":`},
		{"look ns foo/app", []string{"foo/app", "0-65535 are 100000-165535 outside"}, `"label": "A"`},
		{"look ns --all", []string{"evil?[2J:70", "net:[900] lives by the mount /run/netns/a"}, `"kept":`},
		{"look tree", []string{"pod foo (carob)", "└─container sidecar", "carob-pod dddddddddddd  [carob-pod]", "1 process of the host and 1 group"}, `"sections":`},
		{"look tree 1 --no-trunc", []string{"process init:1", "/sbin/init"}, `"processes":`},
		{"look cgroup", []string{"pod foo", "container foo/app", "of 256MiB", "1 group without processes not shown"}, `"mode": "v2"`},
		{"look cgroup foo/app", []string{"memory: 256MiB, set by its own group /carob/dddddddddddd…/aaaaaaaaaaaa…; the 384MiB of /carob/dddddddddddd… above is wider"}, `"setBy":`},
		{"look cgroup /empty --all", []string{"/empty"}, `"path": "/empty"`},
		{"look diff foo/app foo/sidecar", []string{"foo/app and foo/sidecar share uts, ipc, net and user.", "memory limit", "256MiB"}, `"differ":`},
		{"look diff foo host --all", []string{"one for its 2 containers", "the same in both"}, `"same":`},
		{"look security", []string{"NAME", "foo/app", "More about one"}, `"needs":`},
		{"look security foo", []string{"foo/app (carob, process 31)", "foo/sidecar (carob, process 32)", "What holds: "}, `"holds":`},
		{"look security foo --calls", []string{"which system calls are refused: only the running kernel tells"}, `"unknown":`},
		{"look watch --once --interval 250ms", []string{"NAME▲", "▾ foo", "└ sidecar", "384M", "·ui·nU··"}, `"rows":`},
		{"look watch sidecar --once --all --interval 250ms --sort memory", []string{"MEMORY▼", "sidecar"}, `"cpus":`},
		{"explain foo", []string{"foo is a pod that carob runs with 2 containers: app and sidecar.", "← /proc/31/ns/uts → uts:[16]"}, `"chapters":`},
		{"explain foo/app --lang zh", []string{"它独自拥有"}, `"language": "zh"`},
	} {
		t.Run(c.args, func(t *testing.T) {
			got, err := run(t, e, strings.Fields(c.args)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("lacks %q:\n%s", w, got)
				}
			}
			if strings.Contains(got, "\x1b") {
				t.Errorf("codes of colour, or of a process: %q", got)
			}
			got, err = run(t, e, append(strings.Fields(c.args), "-o", "json")...)
			if err != nil || !json.Valid([]byte(got)) || !strings.Contains(got, c.json) {
				t.Errorf("json: %v, lacks %s:\n%s", err, c.json, got)
			}
			if _, err = run(t, e, append(strings.Fields(c.args), "-o", "yaml")...); err != nil {
				t.Errorf("yaml: %v", err)
			}
		})
	}
}

func TestColour(t *testing.T) {
	e := Env{Root: host(t), RunDirs: []string{"/run/carob"}, Colour: true}
	for _, args := range []string{"look ns --all", "look tree --all", "look security", "look security foo", "look diff foo host", "explain foo"} {
		got, err := run(t, e, strings.Fields(args)...)
		if err != nil || !strings.Contains(got, "\x1b[") || strings.Contains(got, "\x1b[2J") {
			t.Errorf("%s: %v, %q", args, err, got)
		}
	}
}

func TestWrongInput(t *testing.T) {
	e := Env{Root: host(t)}
	for _, c := range []struct {
		args string
		kind fault.Kind
	}{
		{"look ns nobody", fault.NotFound}, {"look tree nobody", fault.NotFound}, {"look cgroup nobody", fault.NotFound},
		{"look cgroup /nowhere", fault.NotFound}, {"look diff foo/app nobody", fault.NotFound}, {"look security nobody", fault.NotFound}, {"look security host", fault.Invalid},
		{"look watch --once --sort luck", fault.Invalid}, {"look watch --interval 1ms", fault.Invalid},
		{"explain nobody", fault.NotFound}, {"explain 1 --lang de", fault.Invalid}, {"look ns -o xml", fault.Invalid}, {"look cgroup -o wide", fault.Invalid},
	} {
		if out, err := run(t, e, strings.Fields(c.args)...); !fault.Is(err, c.kind) || out != "" {
			t.Errorf("%s: %v, want %v; printed %q", c.args, err, c.kind, out)
		}
	}
	for _, args := range []string{"look diff foo", "look cgroup a b", "explain", "explain a b"} {
		if _, err := run(t, e, strings.Fields(args)...); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
	// What is there is shown beside what is not.
	out, err := run(t, e, "look", "ns", "1", "nobody")
	if !strings.Contains(out, "init:1") || !fault.Is(err, fault.NotFound) {
		t.Errorf("%v, %q", err, out)
	}
	if _, err := run(t, Env{Root: t.TempDir()}, "look", "ns"); !fault.Is(err, fault.NotFound) {
		t.Errorf("no proc: %v", err)
	}
}

func TestCompletion(t *testing.T) {
	e := Env{Root: host(t), RunDirs: []string{"/run/carob"}}
	c := nsCommand(e)
	c.SetContext(t.Context())
	got, _ := e.Things(0)(c, nil, "")
	if !slices.Equal(got, []string{"foo", "foo/app", "foo/sidecar"}) {
		t.Errorf("%q", got)
	}
	if got, _ := e.Things(1)(c, []string{"foo"}, ""); got != nil {
		t.Errorf("a second word for one: %q", got)
	}
}

// TestWatchWithoutTerminal says what else there is, in one line.
func TestWatchWithoutTerminal(t *testing.T) {
	out, err := run(t, Env{Root: host(t)}, "look", "watch")
	if err == nil || out != "" || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "look tree") || !strings.Contains(err.Error(), "--once -o json") {
		t.Errorf("%q, %v", out, err)
	}
}
