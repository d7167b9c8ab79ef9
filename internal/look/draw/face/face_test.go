package face

import (
	"testing"

	"golang.org/x/image/font"

	"carob/internal/look/draw/layout"
)

// TestMeasure compares with the font package's own measure, which kerns: a few pixels in
// a line at most.
func TestMeasure(t *testing.T) {
	s, err := New(1)
	if err != nil {
		t.Fatal(err)
	}
	for f := range layout.NumFonts {
		for _, text := range []string{"", "sandbox", "memory 60.21MiB of 256MiB", "4026532614", "≠mnt /usr/bin/x"} {
			got, want := s.Measure(f, text), font.MeasureString(s.Face(f), text).Ceil()
			if d := got - want; d < -4 || d > 4 {
				t.Errorf("font %d: %q is %d wide, want about %d", f, text, got, want)
			}
		}
	}
}

// TestLines: letters do not reach beyond their line.
func TestLines(t *testing.T) {
	s, err := New(1)
	if err != nil {
		t.Fatal(err)
	}
	m := s.Pixels()
	for f := range layout.NumFonts {
		b, _ := font.BoundString(s.Face(f), "ÄgjQ|")
		if up := (-b.Min.Y).Ceil(); up > m.Ascent[f]+2 {
			t.Errorf("font %d: letters are %d high, the line has %d", f, up, m.Ascent[f])
		}
		if down := b.Max.Y.Ceil(); down > m.Line[f]-m.Ascent[f]+1 {
			t.Errorf("font %d: letters go down by %d, the line has %d", f, down, m.Line[f]-m.Ascent[f])
		}
	}
}

func TestMissing(t *testing.T) {
	s, err := New(2)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Has(layout.Small, 'é') || s.Has(layout.Small, '容') {
		t.Error("the fonts have other letters than thought")
	}
	if got, want := s.Measure(layout.Small, "容"), int(2*Size(layout.Small)); got != want {
		t.Errorf("a missing letter is %d wide, want %d", got, want)
	}
	if got := s.Measure(layout.Small, "e\u0301"); got != s.Measure(layout.Small, "e") {
		t.Errorf("a mark is %d wide", got-s.Measure(layout.Small, "e"))
	}
}
