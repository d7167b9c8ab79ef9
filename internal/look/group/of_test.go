package group

import (
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/recorded"
)

// hosted is the host of v2 with the processes of its pod as look sees them.
func hosted(t *testing.T) (*Host, *look.Host) {
	t.Helper()
	root := record(t, v2())
	all, err := recorded.Parse(strings.NewReader(strings.NewReplacer("$P", pod, "$A", app, "$S", sidecar).Replace(`
1 0 0 1 / /sbin/init
30 1 0 30 / carob-pod $P
  mnt=15
  fd/2: -> /run/carob/pods/$P/supervisor.log
31 30 0 31,1 /carob/$P/$A gunicorn
  mnt=19
32 30 0 32,1 /carob/$P/$S sleep 3650d
  mnt=20
`)))
	if err != nil {
		t.Fatal(err)
	}
	if err := recorded.Write(root, all); err != nil {
		t.Fatal(err)
	}
	h, err := look.Read(t.Context(), look.Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return open(t, root), h
}

func TestOf(t *testing.T) {
	cg, h := hosted(t)
	for word, want := range map[string]string{
		"host": "/", "32": "/carob/" + pod + "/" + sidecar, "ddd": "/carob/" + pod, "aaa": "/carob/" + pod + "/" + app,
		"30": "/", // a supervisor is in no group of its pod's
	} {
		th, err := h.Find(word)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cg.Of(h, th)
		if err != nil || got.Paths[0] != want || got.Deepest() != want {
			t.Errorf("%s: %+v, %v, want %s", word, got, err, want)
		}
	}
	if _, err := cg.Of(h, look.Thing{Is: look.ThingContainer, Name: "x"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a thing without a process: %v", err)
	}
}

func TestShort(t *testing.T) {
	cg, _ := hosted(t)
	th, err := cg.Process(32)
	if err != nil {
		t.Fatal(err)
	}
	b := bound(t, cg, th, "memory")
	if got, want := b.Short(false), "memory: 300MiB, set by /carob/dddddddddddd… above it; its own 512MiB is wider; 100MiB left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if b.Short(true) != b.String() {
		t.Errorf("whole: %q", b.Short(true))
	}
}
