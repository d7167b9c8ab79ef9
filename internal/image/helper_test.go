package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
)

// entry is one tar entry; owner is whoever runs the test.
type entry struct {
	name, text, link string
	kind             byte
	mode             int64
	pax              map[string]string
	edit             func(h *tar.Header)
}

func file(name, text string) entry {
	return entry{name: name, text: text, kind: tar.TypeReg, mode: 0o644}
}
func dir(name string) entry { return entry{name: name, kind: tar.TypeDir, mode: 0o755} }
func symlink(name, to string) entry {
	return entry{name: name, link: to, kind: tar.TypeSymlink, mode: 0o777}
}
func hardlink(name, to string) entry {
	return entry{name: name, link: to, kind: tar.TypeLink, mode: 0o644}
}

var stamp = time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)

func makeTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{
			Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.text)),
			Uid: os.Getuid(), Gid: os.Getgid(), ModTime: stamp, PAXRecords: e.pax,
		}
		if e.edit != nil {
			e.edit(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// openStore opens a store that must hold together when the test ends.
func openStore(t testing.TB) *Store {
	t.Helper()
	before := openFiles(t)
	s, err := Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		checkStore(t, s)
		if n := openFiles(t); n > before {
			t.Errorf("%d files open, %d before", n, before)
		}
	})
	return s
}

func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && strings.HasPrefix(to, os.TempDir()) {
			n++
		}
	}
	return n
}

// checkStore holds the invariants: on disk is what the index names and nothing else.
func checkStore(t testing.TB, s *Store) {
	t.Helper()
	x := s.snapshot.Load().index
	used := x.layersInUse()
	for _, name := range listDir(t, s.root.layers()) {
		if !used[name] {
			t.Errorf("layer %s belongs to no image", name)
		}
		delete(used, name)
	}
	for name := range used {
		t.Errorf("layer %s is missing", name)
	}
	used = x.layersInUse()
	for _, name := range listDir(t, s.root.tars()) {
		if !used[name] {
			t.Errorf("the record of layer %s belongs to no image", name)
		}
		delete(used, name)
	}
	for name := range used {
		t.Errorf("the record of layer %s is missing", name)
	}
	if left := listDir(t, s.root.tmp()); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
	for _, name := range listDir(t, filepath.Join(string(s.root), "configs")) {
		if _, ok := x.Images["sha256:"+strings.TrimSuffix(strings.TrimSuffix(name, ".json"), manifestSuffix)]; !ok {
			t.Errorf("configuration %s belongs to no image", name)
		}
	}
	for name, id := range x.Names {
		if _, ok := x.Images[id]; !ok {
			t.Errorf("name %s leads to no image", name)
		}
	}
	if len(s.holds.pins) > 0 || len(s.holds.temps) > 0 || len(s.tenants.leaving) > 0 {
		t.Errorf("still held: pins %v, temps %v, leaving %v", s.holds.pins, s.holds.temps, s.tenants.leaving)
	}
	again, err := Open(string(s.root))
	if err != nil {
		t.Fatal(err)
	}
	if len(again.List()) != len(s.List()) {
		t.Errorf("opened anew it has %d images, not %d", len(again.List()), len(s.List()))
	}
}

func listDir(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// tree describes what is below dir: path → mode and content or target.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case d.Type().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = " " + string(b)
		case d.Type()&fs.ModeSymlink != 0:
			content, err = os.Readlink(path)
			content = " " + content
		}
		found[strings.TrimPrefix(path, dir+"/")] = fi.Mode().String() + content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func mustImport(t testing.TB, s *Store, name string, entries ...entry) Image {
	t.Helper()
	img, err := s.ImportTar(t.Context(), name, bytes.NewReader(makeTar(t, entries...)), v1.ImageConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// wantFault checks kind and form of an error.
func wantFault(t testing.TB, err error, kind fault.Kind, part string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %s with %q", kind, part)
	}
	if fault.KindOf(err) != kind || !strings.Contains(err.Error(), part) {
		t.Errorf("error %q is %s; want %s with %q", err, fault.KindOf(err), kind, part)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q has several lines", err)
	}
}
