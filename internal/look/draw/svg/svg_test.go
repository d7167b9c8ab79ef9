package svg

import (
	"encoding/xml"
	"strings"
	"testing"
	"unicode/utf8"

	"carob/internal/look"
	"carob/internal/look/draw/layout"
	"carob/internal/look/draw/theme"
)

func FuzzEscape(f *testing.F) {
	for _, s := range []string{"plain", `<a href="x">'&amp;`, "]]>", "\x00\x1b\x7f\u0085\ufffe\uffff", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got struct {
			A string `xml:"a,attr"`
			T string `xml:",chardata"`
		}
		doc := `<x a="` + escape(s) + `">` + escape(s) + `</x>`
		if err := xml.Unmarshal([]byte(doc), &got); err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		if got.A != got.T || utf8.RuneCountInString(got.T) != utf8.RuneCountInString(s) {
			t.Errorf("%q comes back as %q and %q", s, got.A, got.T)
		}
	})
}

// TestRoom: a text that another font could push out of its box is told how wide it is.
func TestRoom(t *testing.T) {
	for room, want := range map[int]bool{100: true, 110: true, 200: false} {
		var b strings.Builder
		p := &layout.Picture{W: 300, H: 100, Texts: []layout.Text{{S: "some text", Room: room, Rect: layout.Rect{W: 100}}}}
		if err := Write(&b, p); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), `textLength="100"`); got != want {
			t.Errorf("room %d: fixed is %v", room, got)
		}
	}
}

// TestThemes: both are in the file, each with every kind's colour, and the dark one only
// for dark screens.
func TestThemes(t *testing.T) {
	light, dark, ok := strings.Cut(Style(), "@media (prefers-color-scheme:dark)")
	if !ok {
		t.Fatal("there is no dark theme")
	}
	for _, k := range look.Kinds() {
		if !strings.Contains(light, hex(theme.Light().Kinds[k])) || !strings.Contains(dark, hex(theme.Dark().Kinds[k])) {
			t.Errorf("%v has not its colours", k)
		}
	}
	if strings.Contains(light, hex(theme.Dark().Fill[layout.Paper])) {
		t.Error("dark paper on light screens")
	}
}

// TestElements writes one thing of each kind and finds it where it was put.
func TestElements(t *testing.T) {
	p := &layout.Picture{
		W: 300, H: 100, Title: "a <title>",
		Boxes: []layout.Box{
			{Rect: layout.Rect{W: 300, H: 100}, Parent: -1},
			{Rect: layout.Rect{X: 1, Y: 2, W: 30, H: 40}, Role: layout.Container, Key: `k"`, Words: "w & w", Focus: true},
			{Rect: layout.Rect{X: 5, Y: 6, W: 7, H: 8}, Role: layout.Chip, Kind: look.IPC},
		},
		Bars: []layout.Bar{{Rect: layout.Rect{X: 10, Y: 20, W: 100, H: 4}, Used: 950, Box: 1}},
		Outlines: []layout.Outline{
			{Kinds: []look.Kind{look.Net}, Path: []layout.Point{{X: 0, Y: 0}, {X: 50, Y: 0}, {X: 50, Y: 40}, {X: 0, Y: 40}}},
			{Kinds: []look.Kind{look.UTS, look.Net}, Host: true},
		},
		Texts: []layout.Text{{S: "x", Tone: layout.Colored, Kind: look.User, X: 3, Y: 4, Room: 100}},
	}
	var b strings.Builder
	if err := Write(&b, p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<title id=\"title\">a &lt;title&gt;</title>",
		`<rect class="b4 focus" x="1" y="2" width="30" height="40" rx="8" data-key="k&quot;"><title>w &amp; w</title></rect>`,
		`<rect class="o k2" x="5" y="6" width="7" height="8" rx="12"/>`,
		`<rect class="high" x="10" y="20" width="95" height="4" rx="2"/>`, // 950 of 1000 of 100
		`<path class="o k4" d="M0 9Q0 0 9 0L41 0Q50 0 50 9L50 31Q50 40 41 40L9 40Q0 40 0 31Z"/>`,
		`<path class="o several h" d="Z"/>`,
		`<text class="f0 t5" x="3" y="4">x</text>`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}
