package picture

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"carob/internal/fault"
	"carob/internal/look/draw"
)

func TestDrawForm(t *testing.T) {
	for _, c := range []struct {
		d    drawing
		want draw.Form
		file string
	}{
		{drawing{output: "text", theme: "light", color: "auto"}, draw.Form{Format: "text", Width: usual}, ""},
		{drawing{output: "-", theme: "light", color: "auto"}, draw.Form{Format: "svg", Width: usual}, ""},
		{drawing{output: "dot", theme: "light", color: "auto"}, draw.Form{Format: "dot", Width: usual}, ""},
		{drawing{output: "a/b.svg", theme: "light", color: "auto"}, draw.Form{Format: "svg", Width: usual}, "a/b.svg"},
		{drawing{output: "x.png", theme: "dark", color: "never"}, draw.Form{Format: "png", Dark: true, Width: usual}, "x.png"},
		{drawing{output: "x.txt", theme: "light", color: "auto", width: 90}, draw.Form{Format: "text", Width: 90}, "x.txt"},
	} {
		got, file, err := c.d.form()
		if err != nil || got != c.want || file != c.file {
			t.Errorf("%+v: got %+v, %q, %v", c.d, got, file, err)
		}
	}
	for _, d := range []drawing{
		{output: "x.gif", theme: "light", color: "auto"}, {output: "", theme: "light", color: "auto"}, {output: "x.text", theme: "light", color: "auto"},
		{output: "svg", theme: "blue", color: "auto"}, {output: "svg", theme: "light", color: "maybe"},
	} {
		if _, _, err := d.form(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: got %v", d, err)
		}
	}
}

// drawn runs look draw.
func drawn(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := Draw(Env{Stdout: out})
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	err = c.ExecuteContext(t.Context())
	b, rerr := os.ReadFile(out.Name())
	if rerr != nil {
		t.Fatal(rerr)
	}
	return string(b), err
}

// TestDraw draws this very process, in every form.
func TestDraw(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	out, err := drawn(t, me)
	if err != nil || !strings.Contains(out, "process "+me) || strings.Contains(out, "\x1b") {
		t.Errorf("%v, %s", err, out)
	}
	if out, _ := drawn(t, me, "--color", "always"); !strings.Contains(out, "\x1b[1m") {
		t.Error("no colours although they are asked for")
	}
	dir := t.TempDir()
	for name, begin := range map[string]string{"a.svg": "<svg ", "a.dot": "graph ", "a.txt": "process " + me, "a.png": "\x89PNG"} {
		file := filepath.Join(dir, name)
		out, err := drawn(t, me, "-o", file)
		got, rerr := os.ReadFile(file)
		if err != nil || out != "" || rerr != nil || !strings.HasPrefix(string(got), begin) {
			t.Errorf("%s: %v, %v, %.40q", name, err, rerr, got)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "a.png"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := png.Decode(bytes.NewReader(b)); err != nil {
		t.Error(err)
	}
}

// TestDrawRefuses leaves no file behind what cannot be drawn.
func TestDrawRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.svg")
	_, err := drawn(t, "no-such-thing", "-o", file)
	if _, there := os.Stat(file); err == nil || !strings.Contains(err.Error(), "no-such-thing") || there == nil {
		t.Errorf("%v, file: %v", err, there)
	}
}
