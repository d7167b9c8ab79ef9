package draw

import (
	"context"
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
// one of cgroups as recorded.WriteHost has it.
func record(t testing.TB, root, processes, groups string) {
	t.Helper()
	all, err := recorded.Parse(strings.NewReader(processes))
	if err != nil {
		t.Fatal(err)
	}
	if err := recorded.WriteHost(root, all, groups); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, name, text string) {
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
func read(t testing.TB, a *txtar.Archive) scene.Input {
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
