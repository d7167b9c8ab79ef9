package theme

import (
	"image/color"
	"math"
	"testing"

	"carob/internal/look"
	"carob/internal/look/draw/layout"
)

// luminance and contrast are those of the Web Content Accessibility Guidelines 2.2.
func luminance(c color.NRGBA) float64 {
	part := func(v uint8) float64 {
		x := float64(v) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*part(c.R) + 0.7152*part(c.G) + 0.0722*part(c.B)
}

func contrast(a, b color.NRGBA) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// over is a colour of some opacity over another.
func over(c, under color.NRGBA, opacity uint8) color.NRGBA {
	mix := func(a, b uint8) uint8 { return uint8((int(a)*int(opacity) + int(b)*(255-int(opacity))) / 255) }
	return color.NRGBA{mix(c.R, under.R), mix(c.G, under.G), mix(c.B, under.B), 255}
}

// TestReadable wants the guidelines' contrast of 4.5 for every text on every surface
// that it stands on, and of 3 for the outlines.
func TestReadable(t *testing.T) {
	for name, th := range map[string]*Theme{"light": Light(), "dark": Dark()} {
		for role, fill := range th.Fill {
			for tone, c := range map[string]color.NRGBA{"strong": th.Strong, "normal": th.Normal, "soft": th.Soft} {
				if got := contrast(c, fill); got < 4.5 {
					t.Errorf("%s: %s on box %d has contrast %.2f", name, tone, role, got)
				}
			}
		}
		for _, k := range look.Kinds() {
			for _, role := range []layout.Role{layout.Card, layout.Container, layout.Sandbox, layout.Group, layout.Loose, layout.Paper} {
				washed := over(th.Kinds[k], th.Fill[role], th.Wash)
				for tone, c := range map[string]color.NRGBA{"its kind": th.Kinds[k], "normal": th.Normal, "soft": th.Soft} {
					if got := contrast(c, washed); got < 4.5 {
						t.Errorf("%s: %s on %v over box %d has contrast %.2f", name, tone, k, role, got)
					}
				}
			}
			for _, other := range look.Kinds() {
				if k < other && th.Kinds[k] == th.Kinds[other] {
					t.Errorf("%s: %v and %v have one colour", name, k, other)
				}
			}
		}
	}
}

func TestHue(t *testing.T) {
	for _, c := range []struct {
		kinds []look.Kind
		host  bool
		want  look.Kind
		ok    bool
	}{
		{[]look.Kind{look.Mnt}, false, look.Mnt, true},
		{[]look.Kind{look.UTS, look.Net}, false, look.Net, true},
		{[]look.Kind{look.UTS, look.Net}, true, 0, false},
		{[]look.Kind{look.User}, true, look.User, true},
		{nil, false, 0, false},
	} {
		if k, ok := Hue(&layout.Outline{Kinds: c.kinds, Host: c.host}); k != c.want || ok != c.ok {
			t.Errorf("%v, host %v: got %v, %v", c.kinds, c.host, k, ok)
		}
	}
}

func TestColours(t *testing.T) {
	th := Light()
	for tone, want := range map[layout.Tone]color.NRGBA{layout.Normal: th.Normal, layout.Strong: th.Strong, layout.Soft: th.Soft, layout.Colored: th.Kinds[look.PID]} {
		if got := th.Text(&layout.Text{Tone: tone, Kind: look.PID}); got != want {
			t.Errorf("tone %d is %v, want %v", tone, got, want)
		}
	}
	if got := th.Outline(&layout.Outline{Kinds: []look.Kind{look.IPC, look.Net}}); got != th.Kinds[look.Net] {
		t.Errorf("an outline with the network is %v", got)
	}
	if got := th.Outline(&layout.Outline{Kinds: []look.Kind{look.IPC, look.Net}, Host: true}); got != th.Soft {
		t.Errorf("the host's is %v", got)
	}
}
