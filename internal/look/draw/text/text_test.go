package text

import (
	"strings"
	"testing"

	"carob/internal/look"
	"carob/internal/look/draw/layout"
)

func TestMeasure(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "容器": 4, "e\u0301": 1, "ａ": 2, "═": 1, "…": 1} {
		if got := Measure(layout.Small, s); got != want {
			t.Errorf("%q takes %d, want %d", s, got, want)
		}
	}
}

// TestWrite draws three containers, of which the outer two share a namespace.
func TestWrite(t *testing.T) {
	p := &layout.Picture{W: 31, H: 6, Boxes: []layout.Box{{Rect: layout.Rect{W: 31, H: 6}, Parent: -1}}}
	for i := range 3 {
		p.Boxes = append(p.Boxes, layout.Box{Rect: layout.Rect{X: 11 * i, W: 9, H: 4}, Role: layout.Container})
	}
	p.Boxes[3].Focus = true
	p.Outlines = []layout.Outline{
		{
			Kinds: []look.Kind{look.Net}, Members: []int{1, 3}, Pieces: []layout.Rect{{Y: 1, W: 9, H: 1}, {X: 22, Y: 1, W: 9, H: 1}},
			Links: []layout.Link{{X1: 9, X2: 22, Top: 1, Y: 4}},
		},
		{Kinds: []look.Kind{look.PID}, Host: true, Members: []int{1, 2, 3}, Pieces: []layout.Rect{{Y: 2, W: 31, H: 1}}},
	}
	p.Texts = []layout.Text{{X: 2, Y: 0, S: "a", Tone: layout.Strong}, {X: 2, Y: 1, S: "net", Tone: layout.Colored, Kind: look.Net}, {X: 13, Y: 3, S: "容", Tone: layout.Soft}}
	want := strings.Join([]string{
		"┌ a ────┐  ┌───────┐  ┏━━━━━━━┓",
		"╞ net ══╡╗ │       │ ╔╞═══════╡",
		"┊┄┄┄┄┄┄┄┊║┄┊┄┄┄┄┄┄┄┊┄║┊┄┄┄┄┄┄┄┊",
		"└───────┘║ └ 容 ───┘ ║┗━━━━━━━┛",
		"         ╚═══════════╝",
		"", "",
	}, "\n")
	for _, color := range []bool{false, true} {
		var b strings.Builder
		if err := Write(&b, p, color); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		if color {
			if !strings.Contains(got, bold+hue(look.Net)+"net") {
				t.Errorf("the kind has not its colour:\n%q", got)
			}
			for _, style := range []string{"\x1b[0m", bold, faint, hue(look.Net), hue(look.PID)} {
				got = strings.ReplaceAll(got, style, "")
			}
		}
		if got != want {
			t.Errorf("color %v: got\n%s\nwant\n%s", color, got, want)
		}
	}
}

func TestHues(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range look.Kinds() {
		if h := hue(k); seen[h] || !strings.HasPrefix(h, "\x1b[") {
			t.Errorf("%v has the colour of another, or none", k)
		}
		seen[hue(k)] = true
	}
}
