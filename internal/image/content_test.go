package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// layerTars returns the tars of an image's layers, made again.
func layerTars(t *testing.T, s *Store, name string) [][]byte {
	t.Helper()
	c, err := s.Content(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var tars [][]byte
	for _, l := range c.Layers {
		var b bytes.Buffer
		if err := l.Write(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if int64(b.Len()) != l.Size {
			t.Errorf("layer %s: %d bytes, %d were promised", l.DiffID, b.Len(), l.Size)
		}
		tars = append(tars, b.Bytes())
	}
	return tars
}

func TestLayersAreMadeAgainByteForByte(t *testing.T) {
	long := strings.Repeat("d/", 120) + strings.Repeat("n", 200)
	format := func(f tar.Format) func(*tar.Header) { return func(h *tar.Header) { h.Format = f } }
	edited := func(e entry, edit func(*tar.Header)) entry { e.edit = edit; return e }
	for name, content := range map[string][]byte{
		"files":      makeTar(t, dir("a"), file("a/f", "text"), file("a/empty", ""), file("b", strings.Repeat("x", 513))),
		"links":      makeTar(t, file("f", "text"), hardlink("g", "f"), symlink("s", "f"), symlink("d", "e"), dir("e"), file("d/x", "through a link")),
		"whiteouts":  makeTar(t, dir("a"), file("a/.wh.gone", ""), file("a/.wh..wh..opq", ""), file("a/f", "x")),
		"loud white": makeTar(t, file(".wh.gone", "a whiteout with content"), file(".wh..wh.plnk", "aufs"), file("f", "x")),
		"long":       makeTar(t, file(long, "x")),
		"gnu":        makeTar(t, edited(file(strings.Repeat("n", 200), "x"), format(tar.FormatGNU))),
		"ustar":      makeTar(t, edited(file("f", "x"), format(tar.FormatUSTAR))),
		"pax":        makeTar(t, entry{name: "f", text: "x", kind: tar.TypeReg, mode: 0o644, pax: map[string]string{"comment": "kept", "mtime": "1.25"}}),
		"odd names":  makeTar(t, dir("./"), dir("./a//"), file("./a/./f", "x"), file("/abs", "y")),
		"fifo":       makeTar(t, entry{name: "p", kind: tar.TypeFifo, mode: 0o600}),
		"global": append(makeTar(t, entry{name: "g", kind: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "c"}, edit: func(h *tar.Header) {
			*h = tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: h.PAXRecords}
		}}, file("f", "x")), make([]byte, 8<<10)...),
		"junk after the end": append(makeTar(t, file("f", "x")), bytes.Repeat([]byte("junk"), 50_000)...),
		"large":              makeTar(t, file("f", strings.Repeat("large ", 1<<20))),
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			// With a digest known, as every archive's and registry's layer has one.
			img := loadLayers(t, s, content)
			if got := layerTars(t, s, img.ID); len(got) != 1 || !bytes.Equal(got[0], content) {
				t.Errorf("%d tars, differing from what was loaded", len(got))
			}
		})
	}
}

// loadLayers loads an image of these tars as an OCI archive would bring it.
func loadLayers(t *testing.T, s *Store, tars ...[]byte) Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(name string, content []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	var ids, names []string
	for i, content := range tars {
		ids = append(ids, fmt.Sprintf("%q", digest.FromBytes(content)))
		names = append(names, fmt.Sprintf("%q", fmt.Sprint(i, ".tar")))
		put(fmt.Sprint(i, ".tar"), content)
	}
	put("c.json", fmt.Appendf(nil, `{"os":"linux","rootfs":{"type":"layers","diff_ids":[%s]}}`, strings.Join(ids, ",")))
	put("manifest.json", fmt.Appendf(nil, `[{"Config":"c.json","RepoTags":["made:1"],"Layers":[%s]}]`, strings.Join(names, ",")))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	imgs, err := s.Load(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return imgs[0]
}

// What GNU tar makes of sparse files is not what package tar could write.
func TestSparseLayersAreMadeAgain(t *testing.T) {
	testenv.Require(t, testenv.Root)
	src := t.TempDir()
	for name, holes := range map[string]int{"one": 1, "many": 60} {
		f, err := os.Create(filepath.Join(src, name))
		if err != nil {
			t.Fatal(err)
		}
		for i := range holes {
			if _, err := f.WriteAt([]byte("data"), int64(i+1)<<20); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
	for _, format := range []string{"gnu", "pax", "posix"} {
		content, err := exec.Command("tar", "-C", src, "--sparse", "--format="+format, "-cf", "-", "one", "many").Output()
		if err != nil {
			t.Fatal(err)
		}
		if len(content) > 4<<20 {
			t.Fatalf("%d bytes: not sparse", len(content))
		}
		s := openStore(t)
		img := loadLayers(t, s, content)
		if got := layerTars(t, s, img.ID); !bytes.Equal(got[0], content) {
			t.Errorf("%s: differs", format)
		}
	}
}

func TestContentOfAChangedLayerIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(dir string) error
		says   string
	}{
		"content": {func(d string) error { return os.WriteFile(d+"/f", []byte("texT"), 0o644) }, "its tar would be"},
		"size":    {func(d string) error { return os.WriteFile(d+"/f", []byte("longer"), 0o644) }, `"f"`},
		"gone":    {func(d string) error { return os.Remove(d + "/f") }, "no such file"},
		"link out": {func(d string) error {
			return os.Symlink("/etc/hostname", d+"/l") // only to be renamed over the file
		}, "escapes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			img := mustImport(t, s, "a", file("f", "text"))
			if err := c.change(img.Layers[0]); err != nil {
				t.Fatal(err)
			}
			if name == "link out" {
				if err := os.Rename(img.Layers[0]+"/l", img.Layers[0]+"/f"); err != nil {
					t.Fatal(err)
				}
			}
			content, err := s.Content(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			defer content.Close()
			wantFault(t, content.Layers[0].Write(t.Context(), io.Discard), fault.Conflict, c.says)
		})
	}
}

func TestContentSurvivesTheImage(t *testing.T) {
	s := openStore(t)
	mustImport(t, s, "a", file("f", "text"))
	c, err := s.Content(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := c.Layers[0].Write(t.Context(), io.Discard); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil { // and now the layer goes: openStore's check says so
		t.Error(err)
	}
}

// A store of an older carob has layers without records: loading such an image once
// more brings them.
func TestRecordsComeWithANewLoad(t *testing.T) {
	s := openStore(t)
	content := makeTar(t, file("f", "text"))
	img := loadLayers(t, s, content)
	if err := os.Remove(s.root.tar(filepath.Base(img.Layers[0]))); err != nil {
		t.Fatal(err)
	}
	_, err := s.Content(t.Context(), img.ID)
	wantFault(t, err, fault.Unsupported, "load or pull the image again")
	loadLayers(t, s, content)
	if got := layerTars(t, s, img.ID); !bytes.Equal(got[0], content) {
		t.Error("differs")
	}
}

// BenchmarkRecord tells what the record costs; the layer's own unpacking dominates.
func BenchmarkRecord(b *testing.B) {
	var entries []entry
	for i := range 2000 {
		entries = append(entries, file(fmt.Sprintf("dir%d/file%d", i%50, i), strings.Repeat("content ", i%500)))
	}
	content := makeTar(b, entries...)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		s, err := Open(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.ImportTar(b.Context(), "a", bytes.NewReader(content), v1.ImageConfig{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestManifestBeforeItsIndex: a daemon that is killed between putting the manifest of a new
// pull in place and the index leaves one of the same image, which is as good.
func TestManifestBeforeItsIndex(t *testing.T) {
	s := openStore(t)
	if err := pulled(t, s, makeTar(t, file("f", "x"))); err != nil {
		t.Fatal(err)
	}
	img, err := s.Resolve(t.Context(), "registry.example/pulled:1")
	if err != nil {
		t.Fatal(err)
	}
	next := fmt.Sprintf(`{"schemaVersion":2,"config":{"digest":%q}}`, img.ID)
	for text, want := range map[string]bool{"a manifest": true, next: true, strings.Replace(next, "sha256:", "sha256:0", 1): false, "a manifesT": false} {
		if err := os.WriteFile(s.root.manifest(img.ID), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, manifest, err := NewIntake(s).Content(t.Context(), img.ID)
		if (err == nil) != want || err == nil && string(manifest) != text {
			t.Errorf("%s: %q, %v", text, manifest, err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}
