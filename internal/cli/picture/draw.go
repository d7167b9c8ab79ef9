package picture

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carob/internal/fault"
	"carob/internal/look/draw"
)

// drawing is what the flags of look draw say.
type drawing struct {
	output, theme, color string
	width                int
}

// Draw is `carob look draw`.
func Draw(e Env) *cobra.Command {
	var d drawing
	c := &cobra.Command{
		Use: "draw [FLAGS] [POD|CONTAINER|PID]", Short: "Draw cgroups and namespaces",
		Long: `Draws nested boxes for cgroups, with limits, and outlines for namespaces, crossed by the
containers that are in them: of one pod, container or process, else of the whole host.
In the terminal, or as a file whose name says its form. SVG files are light or dark as
their reader's screen is.`,
		Example: `  carob look draw foo
  carob look draw foo -o foo.svg
  carob look draw -o host.png --theme dark
  carob look draw foo -o dot | dot -Tpdf > foo.pdf`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: e.Names,
		RunE: func(cmd *cobra.Command, words []string) error {
			return d.run(cmd.Context(), e, strings.Join(words, ""))
		},
	}
	c.Flags().StringVarP(&d.output, "output", "o", "text", "`FILE` whose name ends with .svg, .png, .dot or .txt; or text, svg, dot, - (svg) to write to the output")
	c.Flags().StringVar(&d.theme, "theme", "light", "`COLOURS` of a png: light or dark")
	c.Flags().StringVar(&d.color, "color", "auto", "`WHEN` to use the terminal's colours: auto, always, never")
	c.Flags().IntVar(&d.width, "width", 0, "`COLUMNS` of the text; the terminal's when it is one")
	return c
}

// run draws a thing into a file or the output.
func (d drawing) run(ctx context.Context, e Env, thing string) error {
	form, file, err := d.form()
	if err != nil {
		return err
	}
	if form.Format == "text" && file == "" {
		form.Width, form.Color = d.terminal(e)
	}
	if form.Format == "png" && file == "" && term.IsTerminal(int(e.Stdout.Fd())) {
		return fault.New(fault.Invalid, "-o png: a terminal cannot show it; name a file")
	}
	in, err := draw.Read(ctx, draw.Options{Thing: thing, RunDirs: e.RunDirs})
	if err != nil {
		return err
	}
	// All of it is made before a file is touched.
	var b bytes.Buffer
	if err := draw.Write(&b, in, form); err != nil {
		return err
	}
	if file == "" {
		_, err := e.Stdout.Write(b.Bytes())
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// form decides from the flags what is written and into which file, "" for the output.
func (d drawing) form() (draw.Form, string, error) {
	f := draw.Form{Width: d.width, Dark: d.theme == "dark"}
	if f.Width <= 0 {
		f.Width = usual
	}
	if !slices.Contains([]string{"light", "dark"}, d.theme) {
		return f, "", fault.New(fault.Invalid, "--theme "+strconv.Quote(d.theme)+": use light or dark")
	}
	if !slices.Contains([]string{"auto", "always", "never"}, d.color) {
		return f, "", fault.New(fault.Invalid, "--color "+strconv.Quote(d.color)+": use auto, always or never")
	}
	ext := strings.TrimPrefix(filepath.Ext(d.output), ".")
	switch {
	case d.output == "-":
		f.Format = "svg"
		return f, "", nil
	case slices.Contains(draw.Formats(), d.output):
		f.Format = d.output
		return f, "", nil
	case ext == "txt":
		f.Format = "text"
		return f, d.output, nil
	case slices.Contains(draw.Formats(), ext) && ext != "text":
		f.Format = ext
		return f, d.output, nil
	}
	return f, "", fault.New(fault.Invalid, fmt.Sprintf("-o %q: use %s, -, or a file whose name ends with .svg, .png, .dot or .txt", d.output, strings.Join(draw.Formats(), ", ")))
}

// usual is the width of a text that is not for a terminal.
const usual = 120

// terminal says how wide the output is and whether colours are wanted.
func (d drawing) terminal(e Env) (width int, color bool) {
	width, color = usual, d.color == "always"
	if fd := int(e.Stdout.Fd()); term.IsTerminal(fd) {
		if w, _, err := term.GetSize(fd); err == nil && w > 0 {
			width = w
		}
		color = color || d.color == "auto" && !e.NoColour
	}
	if d.width > 0 {
		width = d.width
	}
	return width, color
}
