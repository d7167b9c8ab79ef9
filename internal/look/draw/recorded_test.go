package draw

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"

	"carob/internal/look/draw/scene"
	"carob/internal/look/recorded"
)

// record writes a host below root: a table of processes as recorded.Parse has it, and
// one of cgroups v2, a line each:
//
//	PATH memory=LIMIT/USED cpu=QUOTA/PERIOD pids=LIMIT/USED
func record(t *testing.T, root, processes, groups string) {
	t.Helper()
	all, err := recorded.Parse(strings.NewReader(processes))
	if err != nil {
		t.Fatal(err)
	}
	if err := recorded.Write(root, all); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) { put(t, filepath.Join(root, name), text) }
	put("proc/1/mountinfo", "24 1 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n")
	put("proc/meminfo", "MemTotal:       16310816 kB\n")
	put("proc/sys/kernel/hostname", "node-1\n")
	const fs = "sys/fs/cgroup"
	put(fs+"/cgroup.controllers", "cpuset cpu io memory pids\n")
	members := map[string]string{"/": ""}
	for _, p := range all {
		members[p.Cgroup] += fmt.Sprintln(p.PID)
	}
	for path, pids := range members {
		put(fs+path+"/cgroup.procs", pids)
	}
	for line := range strings.Lines(groups) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		for _, word := range f[1:] {
			name, value, _ := strings.Cut(word, "=")
			limit, used, _ := strings.Cut(value, "/")
			switch name {
			case "memory":
				put(fs+f[0]+"/memory.max", limit+"\n")
				put(fs+f[0]+"/memory.current", used+"\n")
				put(fs+f[0]+"/memory.stat", "inactive_file 0\n")
			case "cpu":
				put(fs+f[0]+"/cpu.max", strings.ReplaceAll(value, "/", " ")+"\n")
				put(fs+f[0]+"/cpu.stat", "usage_usec 1000000\n")
			case "pids":
				put(fs+f[0]+"/pids.max", limit+"\n")
				put(fs+f[0]+"/pids.current", used+"\n")
			default:
				t.Fatalf("%s: what is %q?", f[0], word)
			}
		}
	}
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// section is a file of an archive.
func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// seen are the hosts that were observed, by what describes them.
var seen sync.Map

// read observes the host that an archive describes, once.
func read(t *testing.T, a *txtar.Archive) scene.Input {
	t.Helper()
	key := string(txtar.Format(a))
	if in, ok := seen.Load(key); ok {
		return in.(scene.Input)
	}
	root := t.TempDir()
	record(t, root, section(a, "processes"), section(a, "cgroups"))
	for _, f := range a.Files {
		if strings.HasPrefix(f.Name, "host/") {
			put(t, filepath.Join(root, strings.TrimPrefix(f.Name, "host/")), string(f.Data))
		}
	}
	in, err := Read(context.Background(), Options{Root: root, Thing: strings.TrimSpace(section(a, "thing"))})
	if err != nil {
		t.Fatal(err)
	}
	seen.Store(key, in)
	return in
}
