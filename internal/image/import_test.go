package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/testenv"
)

func TestImportTar(t *testing.T) {
	plain := makeTar(t, dir("./"), dir("bin/"), file("bin/tool", "code"), hardlink("bin/same", "bin/tool"),
		symlink("lib", "usr/lib"), file("lib/inside", "via link"), file("/absolute", "x"),
		entry{name: "run/pipe", kind: tar.TypeFifo, mode: 0o600}, entry{name: "tmp", kind: tar.TypeDir, mode: 0o1777})
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(plain)
	w.Close()
	want := map[string]string{
		"absolute": "-rw-r--r-- x", "bin": "drwxr-xr-x", "bin/tool": "-rw-r--r-- code", "bin/same": "-rw-r--r-- code",
		"lib": "Lrwxrwxrwx usr/lib", "usr": "drwxr-xr-x", "usr/lib": "drwxr-xr-x", "usr/lib/inside": "-rw-r--r-- via link",
		"run": "drwxr-xr-x", "run/pipe": "prw-------", "tmp": "dtrwxrwxrwx",
	}
	var ids []string
	for _, test := range []struct {
		name  string
		bytes []byte
	}{{"plain", plain}, {"gzip", gzipped(t, plain)}, {"zstd", z.Bytes()}} {
		t.Run(test.name, func(t *testing.T) {
			s := openStore(t)
			img, err := s.ImportTar(t.Context(), "Demo.example/app", bytes.NewReader(test.bytes), v1.ImageConfig{Cmd: []string{"/bin/tool"}})
			if err != nil {
				t.Fatal(err)
			}
			if len(img.Layers) != 1 || img.Size == 0 || img.Config.Cmd[0] != "/bin/tool" || img.Names[0] != "Demo.example/app:latest" {
				t.Errorf("image %+v", img)
			}
			if diff := cmp.Diff(want, tree(t, img.Layers[0])); diff != "" {
				t.Error(diff)
			}
			fi, err := os.Stat(filepath.Join(img.Layers[0], "bin"))
			if err != nil || !fi.ModTime().Equal(stamp) {
				t.Errorf("directory's time %v, %v; want %v", fi.ModTime(), err, stamp)
			}
			ids = append(ids, img.ID)
		})
	}
	if ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("the same content has IDs %v", ids)
	}
}

func TestImportRefuses(t *testing.T) {
	good := makeTar(t, file("a", strings.Repeat("x", 5000)), file("b", "y"))
	sparse := entry{name: "big", kind: tar.TypeReg, mode: 0o644}
	tests := []struct {
		name, want string
		bytes      []byte
	}{
		{"climbing name", "climbs", makeTar(t, file("../evil", "x"))},
		{"climbing inside", "climbs", makeTar(t, file("a/b/../../../evil", "x"))},
		{"climbing hard link", "climbs", makeTar(t, hardlink("a", "../../../etc/passwd"))},
		{"below an absolute link", "leads out", makeTar(t, symlink("evil", "/etc"), file("evil/x", "x"))},
		{"below a climbing link", "leads out", makeTar(t, dir("a"), symlink("a/evil", "../../etc"), file("a/evil/x", "x"))},
		{"below a chain of links", "leads out", makeTar(t, symlink("one", "two/three"), dir("two"), symlink("two/three", "../../x"), file("one/x", "x"))},
		{"link loop", "too many symbolic links", makeTar(t, symlink("a", "b"), symlink("b", "a"), file("a/x", "x"))},
		{"hard link through a link", "leads out", makeTar(t, symlink("evil", "/etc"), hardlink("a", "evil/passwd"))},
		{"hard link to nothing", "no such file", makeTar(t, hardlink("a", "missing"))},
		{"file as directory", "not a directory", makeTar(t, file("a", "x"), file("a/b", "x"))},
		{"newline in a name", "not a directory", makeTar(t, file("a\nb", "x"), file("a\nb/c", "x"))},
		{"whiteout of the parent", "whiteout", makeTar(t, dir("a"), file("a/.wh...", "x"))},
		{"owner too large", "out of range", makeTar(t, entry{name: "a", kind: tar.TypeReg, edit: func(h *tar.Header) { h.Uid = 1 << 32 }})},
		{"owner minus one", "out of range", makeTar(t, entry{name: "a", kind: tar.TypeReg, edit: func(h *tar.Header) { h.Gid = 1<<32 - 1 }})},
		{"root no directory", "not a directory", makeTar(t, symlink("./", "/etc"))},
		{"too deep", "more than 512 parts", makeTar(t, file(strings.Repeat("a/", 600)+"b", "x"))},
		{"too many bytes", "more than 1000000 bytes", makeTar(t, file("a", strings.Repeat("x", 1_000_001)))},
		{"too many entries", "more than 100 entries", makeTar(t, many(101)...)},
		{"absurd size", "more than 1000000 bytes", absurd(t, sparse)},
		{"truncated content", "truncated", good[:2000]},
		{"truncated between entries", "end mark", good[:512+5120]},
		{"truncated gzip", "truncated", gzipped(t, good)[:40]},
		{"damaged gzip", "", append(gzipped(t, good)[:60], make([]byte, 60)...)},
		{"damaged xz", "xz", []byte("\xfd7zXZ\x00rest")},
		{"xz that wants 256 MiB", "dictionary", decoded(t, xzWide)},
		{"truncated xz", "", decoded(t, xzTar)[:100]},
		{"damaged bzip2", "truncated", []byte("BZh9rest")},
		{"empty", "empty", nil},
		{"empty tar", "without files", makeTar(t)},
		{"no tar", "tar", bytes.Repeat([]byte("no tar at all "), 100)},
		{"bomb of zeros", "larger", gzipped(t, make([]byte, 2_000_000))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := openStore(t)
			s.limits.Layer, s.limits.Entries = 1_000_000, 100
			_, err := s.ImportTar(t.Context(), "evil", bytes.NewReader(test.bytes), v1.ImageConfig{})
			wantFault(t, err, fault.Invalid, test.want)
			if len(s.List()) > 0 {
				t.Errorf("an image came of it: %v", s.List())
			}
		})
	}
}

func many(n int) []entry {
	var entries []entry
	for range n {
		entries = append(entries, file("same", ""))
	}
	return entries
}

// absurd claims an exabyte in its header and has nothing.
func absurd(t *testing.T, e entry) []byte {
	t.Helper()
	var b bytes.Buffer
	h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: e.mode, Size: 1 << 60, Format: tar.FormatGNU}
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), make([]byte, 2048)...)
}

func TestImportFailures(t *testing.T) {
	good := makeTar(t, file("a", strings.Repeat("x", 1<<16)))
	t.Run("source fails", func(t *testing.T) {
		s := openStore(t)
		broken := errors.New("cable pulled")
		_, err := s.ImportTar(t.Context(), "a", io.MultiReader(bytes.NewReader(good[:9000]), iotest.ErrReader(broken)), v1.ImageConfig{})
		if !errors.Is(err, broken) {
			t.Errorf("error %v hides its cause", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		s := openStore(t)
		ctx, cancel := context.WithCancel(t.Context())
		r := iotest.OneByteReader(bytes.NewReader(good))
		_, err := s.ImportTar(ctx, "a", readerFunc(func(p []byte) (int, error) { cancel(); return r.Read(p) }), v1.ImageConfig{})
		wantFault(t, err, fault.Unavailable, "canceled")
	})
	t.Run("bad name", func(t *testing.T) {
		_, err := openStore(t).ImportTar(t.Context(), "NO", bytes.NewReader(good), v1.ImageConfig{})
		wantFault(t, err, fault.Invalid, `"NO"`)
	})
	t.Run("name with digest", func(t *testing.T) {
		_, err := openStore(t).ImportTar(t.Context(), "a@sha256:"+strings.Repeat("0", 64), bytes.NewReader(good), v1.ImageConfig{})
		wantFault(t, err, fault.Invalid, "digest")
	})
	t.Run("index cannot be written", func(t *testing.T) {
		s := openStore(t)
		if err := os.Mkdir(s.root.index(), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ImportTar(t.Context(), "a", bytes.NewReader(good), v1.ImageConfig{}); err == nil {
			t.Error("no error")
		}
		os.Remove(s.root.index())
		if err := s.Sweep(t.Context(), func(string) bool { return true }); err != nil {
			t.Error(err)
		}
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestConcurrentImports imports the same two contents many times at once, with
// readers and a remover beside them.
func TestConcurrentImports(t *testing.T) {
	s := openStore(t)
	one, two := makeTar(t, dir("d"), file("d/one", "1")), makeTar(t, file("two", "2"))
	var wg sync.WaitGroup
	for i := range 16 {
		content, name := one, "one"
		if i%2 == 1 {
			content, name = two, "two"
		}
		wg.Go(func() {
			img, err := s.ImportTar(t.Context(), name, bytes.NewReader(content), v1.ImageConfig{})
			if err != nil {
				t.Error(err)
			}
			if len(img.Layers) != 1 {
				t.Errorf("image %+v", img)
			}
		})
		wg.Go(func() {
			s.List()
			if _, err := s.Remove(t.Context(), name); err != nil && !fault.Is(err, fault.NotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	mustImport(t, s, "one", dir("d"), file("d/one", "1"))
	img, err := s.Resolve(t.Context(), "one")
	if err != nil {
		t.Fatal(err)
	}
	if got := tree(t, img.Layers[0])["d/one"]; got != "-rw-r--r-- 1" {
		t.Errorf("d/one is %q", got)
	}
}

// TestListDoesNotWait imports from a source that has stopped, and lists.
func TestListDoesNotWait(t *testing.T) {
	s := openStore(t)
	mustImport(t, s, "there", file("a", "x"))
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := s.ImportTar(t.Context(), "slow", r, v1.ImageConfig{})
		done <- err
	}()
	w.Write(makeTar(t, file("b", "x"))[:600])
	if got := s.List(); len(got) != 1 {
		t.Errorf("list %v", got)
	}
	if _, err := s.Resolve(t.Context(), "there"); err != nil {
		t.Error(err)
	}
	w.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-done; err == nil {
		t.Error("no error from half an archive")
	}
}

func TestImportDir(t *testing.T) {
	from := t.TempDir()
	os.MkdirAll(filepath.Join(from, "etc/deep"), 0o755)
	os.WriteFile(filepath.Join(from, "etc/conf"), []byte("x"), 0o640)
	os.Symlink("/nowhere/../x", filepath.Join(from, "etc/link"))
	os.Link(filepath.Join(from, "etc/conf"), filepath.Join(from, "etc/deep/same"))
	s := openStore(t)
	img, err := s.ImportDir(t.Context(), "dir", from, v1.ImageConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tree(t, from), tree(t, img.Layers[0])); diff != "" {
		t.Error(diff)
	}
	a, _ := os.Stat(filepath.Join(img.Layers[0], "etc/conf"))
	b, _ := os.Stat(filepath.Join(img.Layers[0], "etc/deep/same"))
	if !os.SameFile(a, b) {
		t.Error("the hard link became a copy")
	}
	for _, bad := range []struct{ name, dir, want string }{
		{"missing", filepath.Join(from, "no"), "no such file"},
		{"a file", filepath.Join(from, "etc/conf"), "not a directory"},
		{"empty", t.TempDir(), "empty"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			_, err := s.ImportDir(t.Context(), "bad", bad.dir, v1.ImageConfig{})
			wantFault(t, err, fault.Invalid, bad.want)
		})
	}
	t.Run("bad name leaves no writer", func(t *testing.T) {
		_, err := s.ImportDir(t.Context(), "BAD", from, v1.ImageConfig{})
		wantFault(t, err, fault.Invalid, "BAD")
	})
}

// TestImportAsRoot checks what only root may make: owners, devices, whiteouts in
// overlayfs's form, and security xattrs; an archive's own trusted ones are dropped.
func TestImportAsRoot(t *testing.T) {
	testenv.Require(t, testenv.Root)
	s := openStore(t)
	owned := func(h *tar.Header) { h.Uid, h.Gid = 1234, 70000 }
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	img := mustImport(t, s, "rooted",
		entry{name: "owned", kind: tar.TypeReg, mode: 0o4755, edit: owned},
		entry{name: "capable", kind: tar.TypeReg, mode: 0o755, pax: map[string]string{"SCHILY.xattr.security.capability": capability}},
		entry{name: "trusting", kind: tar.TypeDir, mode: 0o755, pax: map[string]string{"SCHILY.xattr.trusted.overlay.redirect": "/etc"}},
		entry{name: "null", kind: tar.TypeChar, mode: 0o666, edit: func(h *tar.Header) { h.Devmajor, h.Devminor = 1, 3 }},
		dir("opaque"), file("opaque/.wh..wh..opq", ""), file("opaque/new", ""), file(".wh.deleted", ""), file(".wh..wh.plnk", ""),
	)
	top := img.Layers[0]
	want := map[string]string{
		"owned": "urwxr-xr-x ", "capable": "-rwxr-xr-x ", "trusting": "drwxr-xr-x", "null": "Dcrw-rw-rw-",
		"opaque": "drwxr-xr-x", "opaque/new": "-rw-r--r-- ", "deleted": "Dc---------",
	}
	if diff := cmp.Diff(want, tree(t, top)); diff != "" {
		t.Error(diff)
	}
	for _, x := range []struct{ path, attr, want string }{
		{"capable", "security.capability", capability},
		{"opaque", "trusted.overlay.opaque", "y"},
		{"trusting", "trusted.overlay.redirect", ""},
	} {
		if got := xattr(t, filepath.Join(top, x.path), x.attr); got != x.want {
			t.Errorf("%s of %s is %q, want %q", x.attr, x.path, got, x.want)
		}
	}
	if uid, gid := ownerOf(t, filepath.Join(top, "owned")); uid != 1234 || gid != 70000 {
		t.Errorf("owner %d:%d", uid, gid)
	}
}
