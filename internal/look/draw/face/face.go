// Package face measures and has the letters of drawings: the Go fonts, which are part of
// the program, so that a drawing comes out the same on every machine.
package face

import (
	"fmt"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"

	"carob/internal/look/draw/layout"
)

// Size is a font's size in pixels.
func Size(f layout.Font) float64 {
	switch f {
	case layout.Title:
		return 22
	case layout.Heading:
		return 17
	case layout.Name:
		return 14
	case layout.Label, layout.Small:
		return 12
	}
	return 11
}

// Bold reports whether a font is the bold one.
func Bold(f layout.Font) bool {
	return f == layout.Title || f == layout.Heading || f == layout.Name || f == layout.Label
}

// Set has the letters in every size. It is for one goroutine.
type Set struct {
	faces [layout.NumFonts]font.Face
	fonts [layout.NumFonts]*sfnt.Font
	buf   sfnt.Buffer
	scale float64
}

// New makes the letters scale times as large as their Size.
func New(scale float64) (*Set, error) {
	s := &Set{scale: scale}
	for f := range layout.NumFonts {
		ttf := goregular.TTF
		switch {
		case f == layout.Mono:
			ttf = gomono.TTF
		case Bold(f):
			ttf = gobold.TTF
		}
		parsed, err := opentype.Parse(ttf)
		if err != nil {
			return nil, fmt.Errorf("font: %w", err)
		}
		s.fonts[f] = parsed
		if s.faces[f], err = opentype.NewFace(parsed, &opentype.FaceOptions{Size: Size(f) * scale, DPI: 72}); err != nil {
			return nil, fmt.Errorf("font: %w", err)
		}
	}
	return s, nil
}

// Face is a font's letters.
func (s *Set) Face(f layout.Font) font.Face { return s.faces[f] }

// Has reports whether a font has a letter. The Go fonts have Latin, Greek and Cyrillic.
func (s *Set) Has(f layout.Font, r rune) bool {
	i, err := s.fonts[f].GlyphIndex(&s.buf, r)
	return err == nil && i != 0
}

// Advance is how far a letter moves on. One that is not in the font is as wide as it is
// high, which is what East Asian letters and symbols are; a mark stands on a letter.
func (s *Set) Advance(f layout.Font, r rune) fixed.Int26_6 {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case !s.Has(f, r):
		return fixed.Int26_6(Size(f) * s.scale * 64)
	}
	a, _ := s.faces[f].GlyphAdvance(r) // it has it
	return a
}

// Measure is the width of a text in whole pixels.
func (s *Set) Measure(f layout.Font, text string) int {
	var w fixed.Int26_6
	for _, r := range text {
		w += s.Advance(f, r)
	}
	return w.Ceil()
}

// Pixels are the measures of pictures.
func (s *Set) Pixels() layout.Metrics {
	m := layout.Metrics{
		Measure: s.Measure,
		Line:    [layout.NumFonts]int{30, 23, 19, 17, 17, 16},
		Ascent:  [layout.NumFonts]int{22, 17, 14, 13, 13, 12},
		Margin:  24, Gap: 16, Pad: 16, Head: 10, Foot: 16,
		ColPad: 14, ColHead: 10, ColFoot: 14, ColGap: 32, MinCol: 92, MaxCol: 236, MaxRow: 900,
		Lane: 24, LaneGap: 7, Overhang: 12, Inset: 8, LanePad: 9, Link: 4,
		Bar: 4, Space: 8, Processes: 5,
	}
	tight := m
	tight.Gap, tight.Pad, tight.Head, tight.Foot = 12, 12, 7, 12
	tight.ColPad, tight.ColHead, tight.ColFoot, tight.ColGap = 9, 6, 9, 22
	tight.MinCol, tight.MaxCol, tight.MaxRow = 60, 270, 270
	tight.Lane, tight.LaneGap, tight.Overhang, tight.Inset, tight.LanePad = 18, 5, 8, 5, 7
	tight.Space = 5
	m.Tight = &tight
	return m
}
