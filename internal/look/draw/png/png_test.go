package png

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"io"
	"testing"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/draw/layout"
	"carob/internal/look/draw/theme"
)

// picture has one container in a frame, one namespace of its own and one of the host's.
func picture() *layout.Picture {
	paper := layout.Rect{W: 200, H: 150}
	box := layout.Rect{X: 20, Y: 20, W: 160, H: 110}
	lane := func(y int) ([]layout.Rect, []layout.Point) {
		r := layout.Rect{X: 30, Y: y, W: 140, H: 24}
		return []layout.Rect{r}, []layout.Point{{X: 30, Y: y}, {X: 170, Y: y}, {X: 170, Y: y + 24}, {X: 30, Y: y + 24}}
	}
	p := &layout.Picture{W: 200, H: 150, Boxes: []layout.Box{{Rect: paper, Role: layout.Paper, Parent: -1}, {Rect: box, Role: layout.Container}}}
	for i, o := range []layout.Outline{{Kinds: []look.Kind{look.Net}}, {Kinds: []look.Kind{look.PID}, Host: true}} {
		o.Pieces, o.Path = lane(60 + 30*i)
		o.Card, o.Members = 1, []int{1}
		p.Outlines = append(p.Outlines, o)
	}
	p.Bars = []layout.Bar{{Rect: layout.Rect{X: 30, Y: 50, W: 100, H: 4}, Used: 500, Box: 1}}
	return p
}

func rendered(t *testing.T, p *layout.Picture, th *theme.Theme) image.Image {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p, th); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// TestPixels asks for the colour of places whose colour follows from the picture.
func TestPixels(t *testing.T) {
	for name, th := range map[string]*theme.Theme{"light": theme.Light(), "dark": theme.Dark()} {
		img := rendered(t, picture(), th)
		if got := img.Bounds().Size(); got != image.Pt(200*Scale, 150*Scale) {
			t.Fatalf("is %v large", got)
		}
		for _, c := range []struct {
			what string
			x, y int
			want color.NRGBA
		}{
			{"paper", 5, 5, th.Fill[layout.Paper]},
			{"outside of a round corner", 20, 20, th.Fill[layout.Paper]},
			{"inside of the box", 100, 30, th.Fill[layout.Container]},
			{"edge of the box", 20, 75, th.Line[layout.Container]},
			{"edge of the namespace", 100, 60, th.Kinds[look.Net]},
			{"a dash of the host's", 50, 90, th.Kinds[look.PID]},
			{"inside of the host's", 100, 102, th.Fill[layout.Container]},
			{"used part of the bar", 60, 52, th.Used},
			{"the rest of it", 110, 52, th.Track},
		} {
			x, y := c.x*Scale, c.y*Scale
			if c.what == "a dash of the host's" { // somewhere along the edge
				for ; x < 170*Scale && !same(img.At(x, y), c.want); x++ {
				}
			}
			if !same(img.At(x, y), c.want) {
				t.Errorf("%s: %s is %v, want %v", name, c.what, img.At(x, y), c.want)
			}
		}
		washed := color.NRGBAModel.Convert(img.At(100*Scale, 72*Scale)).(color.NRGBA)
		fill, hue := th.Fill[layout.Container], th.Kinds[look.Net]
		want := (int(hue.B)*int(th.Wash) + int(fill.B)*(255-int(th.Wash))) / 255
		if d := int(washed.B) - want; d < -2 || d > 2 {
			t.Errorf("%s: inside of the namespace blue is %d, want %d", name, washed.B, want)
		}
	}
}

func same(got color.Color, want color.NRGBA) bool {
	g := color.NRGBAModel.Convert(got).(color.NRGBA)
	near := func(a, b uint8) bool { return int(a)-int(b) <= 2 && int(b)-int(a) <= 2 }
	return near(g.R, want.R) && near(g.G, want.G) && near(g.B, want.B)
}

// TestDashes: an unbroken line has no gap, a dashed one is about 5/9 line.
func TestDashes(t *testing.T) {
	img := rendered(t, picture(), theme.Light())
	count := func(y int, hue color.NRGBA) (n int) {
		for x := 50 * Scale; x < 150*Scale; x++ {
			if same(img.At(x, y*Scale), hue) {
				n++
			}
		}
		return n
	}
	if n := count(60, theme.Light().Kinds[look.Net]); n != 100*Scale {
		t.Errorf("the unbroken line has %d of %d pixels", n, 100*Scale)
	}
	if n := count(90, theme.Light().Kinds[look.PID]); n < 45*Scale || n > 65*Scale {
		t.Errorf("the dashed line has %d of %d pixels", n, 100*Scale)
	}
}

func TestLetters(t *testing.T) {
	p := picture()
	p.Texts = []layout.Text{{X: 40, Y: 40, S: "Hamburg 容", Font: layout.Name, Outline: -1, Box: 1, Rect: layout.Rect{X: 40, Y: 26, W: 100, H: 19}}}
	with, without := rendered(t, p, theme.Light()), rendered(t, picture(), theme.Light())
	ink := func(from, to int) (n int) {
		for x := from * Scale; x < to*Scale; x++ {
			for y := 24 * Scale; y < 48*Scale; y++ {
				if with.At(x, y) != without.At(x, y) {
					n++
				}
			}
		}
		return n
	}
	if n := ink(40, 100); n < 200 {
		t.Errorf("letters have %d pixels", n)
	}
	if n := ink(0, 38) + ink(140, 200); n != 0 {
		t.Errorf("%d pixels beside the text", n)
	}
}

func TestTooLarge(t *testing.T) {
	p := &layout.Picture{W: 20000, H: 20000}
	if err := Write(io.Discard, p, theme.Light()); !fault.Is(err, fault.Unsupported) {
		t.Errorf("got %v", err)
	}
}
