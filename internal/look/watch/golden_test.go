package watch

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestScreens holds whole screens: each file of screens.txtar is named by the size and
// the keys that were pressed.
func TestScreens(t *testing.T) {
	const file = "testdata/screens.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range archive.Files {
		var width, height int
		var keys string
		if n, _ := fmt.Sscanf(f.Name, "%dx%d %s", &width, &height, &keys); n < 2 {
			t.Fatalf("%s: want WIDTHxHEIGHT KEYS", f.Name)
		}
		m := model(width, height)
		for _, k := range keys {
			m.Press(map[rune]Key{'⏎': Enter, '⎋': Escape}[k])
			m.Press(Key(string(k)))
		}
		if m.Asks() != "" {
			m.Explain(details())
		}
		got := m.Draw().Text()
		if *update {
			archive.Files[i].Data = []byte(got)
			continue
		}
		if d := cmp.Diff(string(f.Data), got); d != "" {
			t.Errorf("%s (-want +got):\n%s", f.Name, d)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
