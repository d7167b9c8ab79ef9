package draw

import (
	"golang.org/x/tools/txtar"
	"os"
	"path/filepath"
	"testing"
)

func TestLook(t *testing.T) {
	out := os.Getenv("DRAW_OUT")
	if out == "" {
		t.Skip()
	}
	all, _ := filepath.Glob("testdata/*.txtar")
	all = append(all, "many")
	for _, f := range all {
		a, err := txtar.ParseFile(f)
		if err != nil {
			a = many()
		}
		in := read(t, a)
		for _, fm := range []Form{{Format: "svg"}, {Format: "png"}, {Format: "png", Dark: true}, {Format: "dot"}, {Format: "text", Width: 120}} {
			n := out + "/" + filepath.Base(f)
			if fm.Dark {
				n += "-dark"
			}
			o, _ := os.Create(n + "." + fm.Format)
			if err := Write(o, in, fm); err != nil {
				t.Error(err)
			}
			o.Close()
		}
	}
}
