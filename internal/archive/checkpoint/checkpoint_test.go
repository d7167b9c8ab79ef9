package checkpoint_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carob/internal/archive/checkpoint"
	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// TestRoundTrip: what is written is read, and its differences come into a root file system and
// not beside it.
func TestRoundTrip(t *testing.T) {
	from, to, root := t.TempDir(), t.TempDir(), t.TempDir()
	for dir, text := range map[string]string{checkpoint.Images(from) + "/core-1.img": "memory", root + "/gone/x": "x", root + "/../outside": "stays"} {
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	w := checkpoint.Write{Config: checkpoint.Config{Name: "a", RootfsImageName: "img"}, Dir: from}
	w.Diff = func(w io.Writer) ([]string, error) {
		tw := tar.NewWriter(w)
		for _, h := range []*tar.Header{
			{Name: "new", Typeflag: tar.TypeReg, Mode: 0o644}, {Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3},
		} {
			if err := tw.WriteHeader(h); err != nil {
				return nil, err
			}
		}
		return []string{"/gone", "../outside", "/"}, tw.Close()
	}
	if err := w.To(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := checkpoint.Known(file); err != nil || c.RootfsImageName != "img" {
		t.Errorf("%+v, %v", c, err)
	}
	if err := checkpoint.Read(t.Context(), file, to); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(checkpoint.Images(to) + "/core-1.img"); string(text) != "memory" {
		t.Errorf("%q, %v", text, err)
	}
	top, err := fd.OpenPath(root)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	if err := checkpoint.Apply(t.Context(), to, top); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"new": true, "gone": false, "null": false, "../outside": true} {
		if _, err := os.Lstat(filepath.Join(root, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBomb: a sparse file that would fill the disk is refused before anything is written.
func TestBomb(t *testing.T) {
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	h := &tar.Header{Name: "checkpoint/pages-1.img", Typeflag: tar.TypeReg, Size: 512, Mode: 0o600, Format: tar.FormatPAX,
		PAXRecords: map[string]string{"CAROB.test": "x"}}
	if err := tw.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write(make([]byte, 512)); err != nil {
		t.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	// A length that the file does not have.
	text := bytes.Replace(out.Bytes(), []byte("00000001000\x00"), []byte("77777777777\x00"), 1)
	file, dir := filepath.Join(t.TempDir(), "a.tar"), t.TempDir()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	err := checkpoint.Read(t.Context(), file, dir)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "a.tar") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
