package group

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"carob/internal/testenv"
)

// TestThisMachine compares what is read of the test's own groups with the files.
func TestThisMachine(t *testing.T) {
	h, err := Open("")
	if err != nil {
		t.Skipf("needs cgroups: %v", err)
	}
	th, err := h.Process(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range h.Limits(th) {
		if b.SetBy == "" || b.Resource == "cpu" || b.Resource == "cpus" || b.Resource == "mems" {
			continue
		}
		text, err := os.ReadFile(b.File)
		if err != nil || strings.TrimSpace(string(text)) != strconv.FormatFloat(b.Amount, 'f', 0, 64) {
			t.Errorf("%s: %g, its file says %q, %v", b.Resource, b.Amount, text, err)
		}
	}
	top, err := h.Tree(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	if g := owner(top, os.Getpid()); g == nil {
		t.Error("the test's own process is in no group")
	}
}

func owner(g *Group, pid int) *Group {
	for _, p := range g.Processes {
		if p.PID == pid {
			return g
		}
	}
	for _, c := range g.Children {
		if found := owner(c, pid); found != nil {
			return found
		}
	}
	return nil
}

// TestRealLimits makes a group with a limit below one with a tighter limit.
func TestRealLimits(t *testing.T) {
	testenv.Require(t, testenv.Root, testenv.Cgroup)
	h, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	tree := h.of("memory")
	if tree < 0 {
		t.Skip("needs the memory controller")
	}
	file := "memory.limit_in_bytes"
	if h.Hierarchies[tree].V2 {
		file = "memory.max"
	}
	outer, err := os.MkdirTemp(h.Hierarchies[tree].Dir, "carob-look-test-")
	if err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(outer, "inner")
	t.Cleanup(func() {
		_ = os.Remove(inner)
		if err := os.Remove(outer); err != nil {
			t.Error(err)
		}
	})
	if h.Hierarchies[tree].V2 {
		if err := os.WriteFile(outer+"/cgroup.subtree_control", []byte("+memory"), 0); err != nil {
			t.Skipf("needs the memory controller handed down: %v", err)
		}
	}
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	// v1 takes a limit below that is wider than the one above, v2 too.
	for _, w := range []struct{ dir, limit string }{{outer, "67108864"}, {inner, "134217728"}} {
		if err := os.WriteFile(filepath.Join(w.dir, file), []byte(w.limit), 0); err != nil {
			t.Fatal(err)
		}
	}
	th, err := h.Group("/" + filepath.Base(outer) + "/inner")
	if err != nil {
		t.Fatal(err)
	}
	b := bound(t, h, th, "memory")
	if b.SetBy != "/"+filepath.Base(outer) || b.Amount != 64<<20 || len(b.Wider) == 0 || b.Wider[0].Amount != 128<<20 {
		t.Errorf("%+v", b)
	}
}
