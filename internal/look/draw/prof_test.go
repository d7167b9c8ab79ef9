package draw

import (
	"carob/internal/look/draw/face"
	"carob/internal/look/draw/layout"
	"carob/internal/look/draw/png"
	"carob/internal/look/draw/scene"
	"carob/internal/look/draw/svg"
	"carob/internal/look/draw/theme"
	"io"
	"testing"
	"time"
)

func TestProf(t *testing.T) {
	in := read(t, many())
	t0 := time.Now()
	s := scene.Build(in)
	t.Log("scene", time.Since(t0))
	t0 = time.Now()
	l, _ := face.New(1)
	p := layout.Lay(s, l.Pixels())
	t.Log("layout", time.Since(t0), len(p.Boxes), len(p.Outlines), len(p.Texts))
	t0 = time.Now()
	svg.Write(io.Discard, p)
	t.Log("svg", time.Since(t0))
	t0 = time.Now()
	png.Write(io.Discard, p, theme.Light())
	t.Log("png", time.Since(t0))
}
