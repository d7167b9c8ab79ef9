// Package theme has the colours of drawings, light and dark. A kind of namespace has the
// same hue in both; no meaning is carried by colour alone.
package theme

import (
	"image/color"
	"slices"

	"carob/internal/look"
	"carob/internal/look/draw/layout"
)

// Theme is one set of colours.
type Theme struct {
	// Fill and Line are by role of a box.
	Fill, Line [layout.Chip + 1]color.NRGBA
	// Strong, Normal and Soft are those of text.
	Strong, Normal, Soft color.NRGBA
	// Focus is the line around what was asked for.
	Focus color.NRGBA
	// Track and Used are those of a bar; High is Used near the limit.
	Track, Used, High color.NRGBA
	// Kinds are the hues of namespaces; Wash is how opaque they fill an outline, of 255.
	Kinds [look.NumKinds]color.NRGBA
	Wash  uint8
}

// rgb is an opaque colour written as in CSS.
func rgb(n uint32) color.NRGBA {
	return color.NRGBA{uint8(n >> 16), uint8(n >> 8), uint8(n), 255}
}

// Light is for white paper.
func Light() *Theme {
	t := &Theme{
		Strong: rgb(0x101828), Normal: rgb(0x344054), Soft: rgb(0x535D70), Focus: rgb(0x101828),
		Track: rgb(0xE4E7EC), Used: rgb(0x667085), High: rgb(0xD92D20), Wash: 26,
	}
	t.roles([...]uint32{0xFFFFFF, 0xF6F7F9, 0xFFFFFF, 0xF6F7F9, 0xFFFFFF, 0xFCFCFD, 0xFFFFFF, 0xFFFFFF},
		[...]uint32{0xFFFFFF, 0xD0D5DD, 0x98A2B3, 0xD0D5DD, 0x475467, 0x98A2B3, 0x98A2B3, 0xD0D5DD})
	t.kinds([...]uint32{0xA63F05, 0x436E0B, 0x0A6E66, 0x6636C9, 0x1655C4, 0xB0126A, 0x6F5130, 0x475467})
	return t
}

// Dark is for dark screens.
func Dark() *Theme {
	t := &Theme{
		Strong: rgb(0xF5F6F8), Normal: rgb(0xCDD2DA), Soft: rgb(0xAAB2BF), Focus: rgb(0xFFFFFF),
		Track: rgb(0x384150), Used: rgb(0xA3ACBA), High: rgb(0xF97066), Wash: 40,
	}
	t.roles([...]uint32{0x0E1116, 0x151A21, 0x1B212A, 0x151A21, 0x222A35, 0x1B212A, 0x1E252F, 0x0E1116},
		[...]uint32{0x0E1116, 0x333C49, 0x566273, 0x333C49, 0x8793A5, 0x5D6979, 0x5D6979, 0x333C49})
	t.kinds([...]uint32{0xF7A45C, 0xA6CF5B, 0x4FD1C0, 0xB79CFB, 0x78ADFF, 0xF78DC0, 0xD3B48A, 0xB4BDCA})
	return t
}

func (t *Theme) roles(fill, line [layout.Chip + 1]uint32) {
	for i := range fill {
		t.Fill[i], t.Line[i] = rgb(fill[i]), rgb(line[i])
	}
}

func (t *Theme) kinds(all [look.NumKinds]uint32) {
	for i, n := range all {
		t.Kinds[i] = rgb(n)
	}
}

// Hue is the kind whose colour an outline has: of several that of the network, which
// people look for first; the host's several have none, said by false.
func Hue(o *layout.Outline) (look.Kind, bool) {
	switch {
	case len(o.Kinds) == 0 || o.Host && len(o.Kinds) > 1:
		return 0, false
	case slices.Contains(o.Kinds, look.Net):
		return look.Net, true
	}
	return o.Kinds[0], true
}

// Outline is the colour of an outline.
func (t *Theme) Outline(o *layout.Outline) color.NRGBA {
	if k, ok := Hue(o); ok {
		return t.Kinds[k]
	}
	return t.Soft
}

// Text is the colour of a text.
func (t *Theme) Text(x *layout.Text) color.NRGBA {
	switch x.Tone {
	case layout.Strong:
		return t.Strong
	case layout.Soft:
		return t.Soft
	case layout.Colored:
		return t.Kinds[x.Kind]
	}
	return t.Normal
}

// Near is the used part of a limit, in thousandths, from which on a bar is in High.
const Near = 900
