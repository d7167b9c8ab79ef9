// Package draw makes drawings of what a container or a pod really is: nested boxes for
// cgroups with their limits, and outlines for namespaces, crossed by the containers that
// share them. It works on what is true now, of any process of the host.
//
// It is a row of stages. Read observes (packages look and group), package scene decides
// what is to be seen, package layout where it goes, and svg, png, dot and text write it.
// All but Read are pure.
package draw

import (
	"io"
	"strings"

	"carob/internal/fault"
	"carob/internal/look/draw/dot"
	"carob/internal/look/draw/face"
	"carob/internal/look/draw/layout"
	"carob/internal/look/draw/png"
	"carob/internal/look/draw/scene"
	"carob/internal/look/draw/svg"
	"carob/internal/look/draw/text"
	"carob/internal/look/draw/theme"
)

// Form says how a drawing is written.
type Form struct {
	// Format is one of Formats.
	Format string
	// Dark is for png, which cannot ask its reader.
	Dark bool
	// Width is the terminal's in cells, for text; Color asks for its colours.
	Width int
	Color bool
}

// Formats are those that Write knows.
func Formats() []string { return []string{"svg", "png", "dot", "text"} }

// Write draws what was read. An unknown format is Invalid.
func Write(w io.Writer, in scene.Input, f Form) error {
	s := scene.Build(in)
	switch f.Format {
	case "dot":
		return dot.Write(w, s)
	case "text":
		return text.Write(w, layout.Lay(s, text.Cells(f.Width)), f.Color)
	case "svg", "png":
		letters, err := face.New(1)
		if err != nil {
			return err
		}
		return picture(w, layout.Lay(s, letters.Pixels()), f)
	}
	return fault.New(fault.Invalid, "format \""+f.Format+"\": use "+strings.Join(Formats(), ", "))
}

// Page is a drawing for a web page that has svg's Style, and the scene that it shows.
func Page(in scene.Input) (string, *scene.Scene, error) {
	s := scene.Build(in)
	letters, err := face.New(1)
	if err != nil {
		return "", nil, err
	}
	var b strings.Builder
	err = svg.Bare(&b, layout.Lay(s, letters.Pixels()))
	return b.String(), s, err
}

func picture(w io.Writer, p *layout.Picture, f Form) error {
	switch {
	case f.Format == "svg":
		return svg.Write(w, p)
	case f.Dark:
		return png.Write(w, p, theme.Dark())
	}
	return png.Write(w, p, theme.Light())
}
