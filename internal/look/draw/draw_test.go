package draw

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"carob/internal/fault"
	"carob/internal/look"
	"carob/internal/look/draw/face"
	"carob/internal/look/draw/layout"
	"carob/internal/look/draw/plumb"
	"carob/internal/look/draw/scene"
	"carob/internal/look/draw/text"
)

var update = flag.Bool("update", false, "write what is drawn into testdata")

// hostile is a host on which everything that a process can choose is chosen badly.
func hostile() *txtar.Archive {
	h := &host{}
	h.process(1, 0, "1", "/", "/sbin/init")
	for i, words := range nasty() {
		pid := 100 + i
		group := "/docker/" + id(words)
		h.process(pid, 1, fmt.Sprintf("%d,1", pid), group, "/bin/x")
		h.inodes(fmt.Sprintf("net=4029000000 mnt=%d pid=%d", 4029000100+i, 4029000200+i))
		h.inodes("cmdline: " + strings.ReplaceAll(words, "\n", `\n`) + `\0` + words[:1] + `\0`)
		name := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\x1b", `\u001b`, "\x07", `\u0007`, "\x9b", `\u009b`, "\xff", `\ufffd`).Replace(words)
		h.files = append(h.files, txtar.File{
			Name: "host/var/lib/docker/containers/" + id(words) + "/config.v2.json", Data: []byte(`{"Name":"/` + name + `"}`),
		})
	}
	return &txtar.Archive{Files: append(h.files, txtar.File{Name: "processes", Data: []byte(h.processes.String())})}
}

func nasty() []string {
	return []string{
		`</text><script>alert(1)</script><text>`,
		`" onload="alert(1)" x="`,
		`"]; node [label=<<b>evil</b>>]; x [label="\G\N\l`,
		"\x1b]0;title\x07\x1b[2J\x1b[31mred \u009b31m",
		"a\u202egnp.exe\u2066\u200b\ufeff",
		"]]>&amp;&#0;<!--",
		"z" + strings.Repeat("\u0301", 50) + "algo",
		"容器容器容器容器容器容器容器容器容器容器容器容器容器容器容器容器",
		strings.Repeat("W", 5000),
		"two\nlines\tand a tab",
		"bad\xffutf8\xc3",
	}
}

// recordings are all the hosts that the tests draw.
func recordings(t *testing.T) map[string]*txtar.Archive {
	t.Helper()
	all := map[string]*txtar.Archive{"many": many(), "hostile": hostile()}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		a, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if section(a, "processes") != "" {
			all[strings.TrimSuffix(filepath.Base(f), ".txtar")] = a
		}
	}
	return all
}

func lay(t testing.TB, in scene.Input) *layout.Picture {
	t.Helper()
	letters, err := face.New(1)
	if err != nil {
		t.Fatal(err)
	}
	return layout.Lay(scene.Build(in), letters.Pixels())
}

// drawn is what Write writes.
func drawn(t testing.TB, in scene.Input, f Form) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, in, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestGolden compares whole drawings. What they must be true to is the business of the
// other tests; these have been looked at.
func TestGolden(t *testing.T) {
	for name, a := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			in := read(t, a)
			got := &txtar.Archive{Comment: a.Comment}
			file := filepath.Join("testdata", name+".txtar")
			for _, f := range []Form{{Format: "text", Width: 120}, {Format: "dot"}, {Format: "svg"}} {
				if name == "many" && f.Format != "text" {
					continue // half a megabyte of repetition
				}
				got.Files = append(got.Files, txtar.File{Name: "want." + f.Format, Data: drawn(t, in, f)})
			}
			if *update {
				keep(t, file, a, got)
				return
			}
			want, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range got.Files {
				if diff := cmp.Diff(section(want, f.Name), string(f.Data)); diff != "" {
					t.Errorf("%s (-want +got; go test -update writes it):\n%s", f.Name, diff)
				}
			}
		})
	}
}

// keep writes an archive anew: what describes the host, unless that is made by a
// program, and what is drawn of it.
func keep(t *testing.T, file string, a, got *txtar.Archive) {
	t.Helper()
	var files []txtar.File
	for _, f := range a.Files {
		if _, err := os.Stat(file); err == nil && !strings.HasPrefix(f.Name, "want.") && len(a.Comment) > 0 {
			files = append(files, f)
		}
	}
	got.Files = append(files, got.Files...)
	if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenPixels compares pictures by their pixels; arithmetic may differ in the last
// bit between processors.
func TestGoldenPixels(t *testing.T) {
	all := recordings(t)
	for name, f := range map[string]Form{"pod": {Format: "png"}, "container": {Format: "png", Dark: true}} {
		file := filepath.Join("testdata", name+".png")
		got := drawn(t, read(t, all[name]), f)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := different(t, want, got); n != 0 {
			t.Errorf("%s: %d pixels are not as they were", name, n)
		}
	}
}

func different(t *testing.T, want, got []byte) int {
	t.Helper()
	a, err := png.Decode(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	b, err := png.Decode(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	if a.Bounds() != b.Bounds() {
		t.Fatalf("is %v, was %v", b.Bounds(), a.Bounds())
	}
	n := 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			if !near(a, b, x, y) {
				n++
			}
		}
	}
	return n
}

func near(a, b image.Image, x, y int) bool {
	const most = 3 << 8
	r1, g1, b1, _ := a.At(x, y).RGBA()
	r2, g2, b2, _ := b.At(x, y).RGBA()
	for _, d := range []int{int(r1) - int(r2), int(g1) - int(g2), int(b1) - int(b2)} {
		if d > most || d < -most {
			return false
		}
	}
	return true
}

// TestTrue holds every drawing against the namespaces that the host's files name: in a
// card, an outline crosses two containers exactly when both are in its namespace.
func TestTrue(t *testing.T) {
	for name, a := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			in := read(t, a)
			for medium, p := range map[string]*layout.Picture{"pixels": lay(t, in), "cells": layout.Lay(scene.Build(in), text.Cells(100))} {
				t.Run(medium, func(t *testing.T) { checkTruth(t, in.Host, p) })
				wide := 0
				if medium == "pixels" {
					wide = 4
				}
				for _, f := range plumb.Faults(p, wide) {
					t.Errorf("%s: %s", medium, f)
				}
			}
		})
	}
}

func checkTruth(t *testing.T, h *look.Host, p *layout.Picture) {
	at := map[string]*look.Container{}
	for i := range h.Containers {
		c := &h.Containers[i]
		who := c.ID
		if who == "" {
			who = strconv.Itoa(c.Leader)
		}
		at[c.Class+"-"+who] = c
	}
	seen := 0
	for i := range p.Boxes {
		x := at[p.Boxes[i].Key]
		if x == nil {
			continue
		}
		seen++
		for _, k := range look.Kinds() {
			o := crossing(t, p, i, k)
			if o == nil {
				continue
			}
			if o.Host != (x.NS[k] == h.NS[k]) {
				t.Errorf("%s %v: host is %v", p.Boxes[i].Key, k, o.Host)
			}
			for j := range p.Boxes {
				y := at[p.Boxes[j].Key]
				if y == nil || !sameCard(p, i, j) || o.Host && y.NS[k] == h.NS[k] { // the host's may be in parts, each of which is seen by itself
					continue
				}
				if crosses(o, p.Boxes[j].Rect) != (x.NS[k] == y.NS[k]) {
					t.Errorf("%v: %s is in %d, %s in %d, and the outline says otherwise", k, p.Boxes[i].Key, x.NS[k], p.Boxes[j].Key, y.NS[k])
				}
			}
		}
	}
	if seen == 0 {
		t.Error("no container is drawn")
	}
}

// crossing is the one outline of a kind that crosses a box.
func crossing(t *testing.T, p *layout.Picture, box int, k look.Kind) *layout.Outline {
	t.Helper()
	var found *layout.Outline
	for i := range p.Outlines {
		o := &p.Outlines[i]
		for _, kind := range o.Kinds {
			if kind == k && crosses(o, p.Boxes[box].Rect) {
				if found != nil {
					t.Errorf("%s: two outlines of %v", p.Boxes[box].Key, k)
				}
				found = o
			}
		}
	}
	if found == nil {
		t.Errorf("%s: no outline of %v", p.Boxes[box].Key, k)
	}
	return found
}

func crosses(o *layout.Outline, r layout.Rect) bool {
	for _, piece := range o.Pieces {
		if piece.Overlaps(r) {
			return true
		}
	}
	return false
}

// sameCard reports whether two boxes are in one card.
func sameCard(p *layout.Picture, i, j int) bool { return cardOf(p, i) == cardOf(p, j) }

func cardOf(p *layout.Picture, i int) int {
	for at := i; at >= 0; at = p.Boxes[at].Parent {
		if p.Boxes[at].Role == layout.Card {
			return at
		}
	}
	return i
}

// TestSame draws everything twice, from files that were read twice.
func TestSame(t *testing.T) {
	for name, a := range recordings(t) {
		root := t.TempDir()
		record(t, root, section(a, "processes"), section(a, "cgroups"))
		var before [][]byte
		for range 2 {
			in, err := Read(t.Context(), Options{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			var now [][]byte
			for _, f := range []string{"svg", "dot", "text"} {
				now = append(now, drawn(t, in, Form{Format: f, Width: 100, Color: true}))
			}
			for i := range before {
				if !bytes.Equal(before[i], now[i]) {
					t.Errorf("%s: the %dth form comes out differently", name, i)
				}
			}
			before = now
		}
	}
}

// TestWellFormed reads every SVG as XML and finds nothing in it but what svg writes.
func TestWellFormed(t *testing.T) {
	elements := map[string]bool{"svg": true, "title": true, "desc": true, "style": true, "rect": true, "path": true, "text": true}
	attributes := map[string]bool{
		"xmlns": true, "space": true, "width": true, "height": true, "viewBox": true, "role": true, "aria-labelledby": true, "id": true,
		"class": true, "x": true, "y": true, "rx": true, "d": true, "data-key": true, "textLength": true, "lengthAdjust": true,
	}
	for name, a := range recordings(t) {
		d := xml.NewDecoder(bytes.NewReader(drawn(t, read(t, a), Form{Format: "svg"})))
		n := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			e, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			n++
			if !elements[e.Name.Local] {
				t.Errorf("%s: an element %q", name, e.Name.Local)
			}
			for _, at := range e.Attr {
				if !attributes[at.Name.Local] {
					t.Errorf("%s: an attribute %q", name, at.Name.Local)
				}
			}
		}
		if n < 20 {
			t.Errorf("%s: only %d elements", name, n)
		}
	}
}

// TestHostileTerminal finds no control character in a text without colours, and in one
// with colours only those that colour.
func TestHostileTerminal(t *testing.T) {
	in := read(t, hostile())
	for _, color := range []bool{false, true} {
		out := string(drawn(t, in, Form{Format: "text", Width: 160, Color: color}))
		if strings.Contains(out, "\x1b") != color {
			t.Errorf("color %v: escapes are there: %v", color, !color)
		}
		for _, sgr := range []string{"0", "1", "2", "32", "33", "35", "36", "90", "91", "93", "94"} {
			out = strings.ReplaceAll(out, "\x1b["+sgr+"m", "")
		}
		for _, r := range out {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x2066 || r == 0x200b || r == 0xfeff {
				t.Fatalf("color %v: %q is left", color, r)
			}
		}
	}
}

// TestHostileDot takes the quoted strings out: what is left must be the language that
// dot writes and nothing of a process's.
func TestHostileDot(t *testing.T) {
	out := string(drawn(t, read(t, hostile()), Form{Format: "dot"}))
	var rest strings.Builder
	quoted := false
	for i := 0; i < len(out); i++ {
		switch {
		case quoted && out[i] == '\\':
			i++
		case out[i] == '"':
			quoted = !quoted
		case !quoted:
			rest.WriteByte(out[i])
		}
	}
	if quoted {
		t.Error("a string has no end")
	}
	for _, word := range []string{"script", "evil", "alert", "<", "red", "gnp"} {
		if strings.Contains(rest.String(), word) {
			t.Errorf("%q stands outside of strings", word)
		}
	}
}

// TestRead looks at this machine itself: the test's own process is in a drawing of it.
func TestRead(t *testing.T) {
	in, err := Read(t.Context(), Options{Thing: strconv.Itoa(os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	out := string(drawn(t, in, Form{Format: "text", Width: 200}))
	if !strings.Contains(out, strconv.Itoa(os.Getpid())+" ") {
		t.Errorf("process %d is not in:\n%s", os.Getpid(), out)
	}
	for _, k := range look.Kinds() {
		link, err := os.Readlink("/proc/self/ns/" + k.String())
		if err != nil {
			continue
		}
		n, err := look.ParseNamespace(link)
		if err != nil {
			t.Fatal(err)
		}
		if own := n.Inode != in.Host.NS[k]; own != strings.Contains(out, strconv.FormatUint(n.Inode, 10)) {
			t.Errorf("%s: its own is %v, and the drawing says otherwise:\n%s", link, own, out)
		}
	}
}

// TestHostileError: an error that names containers does it harmlessly.
func TestHostileError(t *testing.T) {
	a := hostile()
	root := t.TempDir()
	record(t, root, section(a, "processes")+`
201 1 0 201,1 /docker/`+id("x")+` /bin/x
202 1 0 202,1 /docker/`+id("y")+` /bin/x
`, "")
	for _, c := range []string{"x", "y"} {
		put(t, filepath.Join(root, "var/lib/docker/containers", id(c), "config.v2.json"), `{"Name":"/evil\u001b[31m"}`)
	}
	_, err := Read(t.Context(), Options{Root: root, Thing: "evil\x1b[31m"})
	if !fault.Is(err, fault.Conflict) || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("got %q", err)
	}
}

func TestReadNothing(t *testing.T) {
	if _, err := Read(t.Context(), Options{Thing: "no-such-thing-here"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	if err := Write(io.Discard, scene.Input{Host: &look.Host{}}, Form{Format: "gif"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

// BenchmarkDraw is a node of fifty pods from what was read to a whole file.
func BenchmarkDraw(b *testing.B) {
	in := read(b, many())
	for _, format := range []string{"svg", "text", "dot"} {
		b.Run(format, func(b *testing.B) {
			for b.Loop() {
				drawn(b, in, Form{Format: format, Width: 120})
			}
		})
	}
}
