package remote

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"carob/internal/api"
)

func TestBars(t *testing.T) {
	var out strings.Builder
	b := &bars{to: &out, size: func() (int, int, bool) { return 70, 24, true }, rows: map[string]api.PullProgress{}}
	b.show(api.PullProgress{Step: "found", Text: "sha256:\x1b[31m"})
	b.show(api.PullProgress{Layer: "aaaaaaaaaaaa", Step: "exists", Total: 5_000_000})
	b.show(api.PullProgress{Layer: "bbbbbbbbbbbb", Step: "downloading", Done: 1_000_000, Total: 2_000_000})
	want := []string{
		"aaaaaaaaaaaa exists      5MB",
		"bbbbbbbbbbbb downloading [============             ] 1MB of 2MB",
	}
	if diff := cmp.Diff(want, b.picture(70, 23)); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(out.String(), "\x1b[31m") {
		t.Error("what a registry says reaches the terminal")
	}
	if diff := cmp.Diff([]string{"bbbbbbbbbbbb downlo"}, b.picture(20, 23)[1:]); diff != "" {
		t.Error(diff)
	}
}

// With more layers than lines, those that are done are only counted.
func TestBarsOnASmallTerminal(t *testing.T) {
	b := &bars{to: &strings.Builder{}, size: func() (int, int, bool) { return 80, 5, true }, rows: map[string]api.PullProgress{}}
	for i := range 10 {
		step := api.PullProgress{Layer: strings.Repeat(string(rune('a'+i)), 12), Step: "pulled"}
		if i > 6 {
			step.Step = "waiting"
		}
		b.show(step)
	}
	want := []string{"7 of 10 layers done", "hhhhhhhhhhhh waiting    ", "iiiiiiiiiiii waiting    ", "jjjjjjjjjjjj waiting    "}
	if diff := cmp.Diff(want, b.picture(80, 4)); diff != "" {
		t.Error(diff)
	}
	if b.drawn != 4 {
		t.Errorf("%d lines on a terminal of 5", b.drawn)
	}
}
