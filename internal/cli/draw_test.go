package cli

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"carob/internal/api"
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

// looking runs a command line that must need no daemon.
func looking(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	env := Env{
		Args: args, Stdin: file("in"), Stdout: file("out"), Stderr: file("err"),
		LookupEnv: func(string) (string, bool) { return "", false },
		Dial:      func(context.Context) (*api.Client, error) { return nil, errors.New("a daemon was asked for") },
	}
	code = Main(t.Context(), env)
	read := func(f *os.File) string {
		b, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return code, read(env.Stdout), read(env.Stderr)
}

// TestDraw draws this very process, in every form.
func TestDraw(t *testing.T) {
	me := strconv.Itoa(os.Getpid())
	code, out, stderr := looking(t, "look", "draw", me)
	if code != 0 || !strings.Contains(out, "process "+me) || strings.Contains(out, "\x1b") {
		t.Errorf("code %d, %s%s", code, out, stderr)
	}
	if _, out, _ := looking(t, "look", "draw", me, "--color", "always"); !strings.Contains(out, "\x1b[1m") {
		t.Error("no colours although they are asked for")
	}
	dir := t.TempDir()
	for name, begin := range map[string]string{"a.svg": "<svg ", "a.dot": "graph ", "a.txt": "process " + me, "a.png": "\x89PNG"} {
		file := filepath.Join(dir, name)
		code, out, stderr := looking(t, "look", "draw", me, "-o", file)
		got, err := os.ReadFile(file)
		if code != 0 || out != "" || err != nil || !strings.HasPrefix(string(got), begin) {
			t.Errorf("%s: code %d, %q, %v, %.40q", name, code, stderr, err, got)
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
	code, _, stderr := looking(t, "look", "draw", "no-such-thing", "-o", file)
	if _, err := os.Stat(file); code != 1 || !strings.Contains(stderr, "no-such-thing") || err == nil {
		t.Errorf("code %d, %q, file: %v", code, stderr, err)
	}
}
