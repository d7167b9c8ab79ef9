package look

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carob/internal/look/recorded"
)

// The identifiers of the recorded hosts. One letter in a row is enough for a path to
// be an engine's.
var (
	idA = strings.Repeat("a", 64)
	idB = strings.Repeat("b", 64)
	idC = strings.Repeat("c", 64)
	idD = strings.Repeat("d", 64)
	idE = strings.Repeat("e", 64)
)

const uid = "4a8d5c3e-3821-4727-9d20-965febbccfbb"

// recordTree writes a table of processes below a directory of its own. $A to $E and $UID
// stand for the identifiers.
func recordTree(t *testing.T, table string) string {
	t.Helper()
	table = strings.NewReplacer("$A", idA, "$B", idB, "$C", idC, "$D", idD, "$E", idE, "$UID", uid).Replace(table)
	all, err := recorded.Parse(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := recorded.Write(root, all); err != nil {
		t.Fatal(err)
	}
	return root
}

func readTree(t *testing.T, root string, o Options) *Host {
	t.Helper()
	o.Root = root
	h, err := Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// seen is a container in one line: its pod, name, class, engine, leader and members.
func seen(h *Host) []string {
	var out []string
	for i := range h.Containers {
		c := &h.Containers[i]
		pod := "-"
		if p := h.podOf(c); p != nil {
			pod = p.Title()
		}
		var pids []string
		for _, p := range c.PIDs {
			pids = append(pids, h.Process(p).Comm)
		}
		engine := c.Engine
		if engine == "" {
			engine = "-"
		}
		out = append(out, strings.Join([]string{pod, c.Name, c.Class, engine, h.Process(c.Leader).Comm, strings.Join(pids, "+")}, " "))
	}
	return out
}
