package archive

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carob/internal/fault"
	"carob/internal/sys/fd"
	"carob/internal/testenv"
)

func TestPlan(t *testing.T) {
	file := func(p string) Info { return Info{Path: p, Exists: true} }
	dir := func(p string) Info { return Info{Path: p, Exists: true, Dir: true} }
	none := func(p string) Info { return Info{Path: p} }
	for _, c := range []struct {
		name     string
		src, dst Info
		want     Copy
		kind     fault.Kind
	}{
		{"file to new name", file("/a/f"), none("/b/g"), Copy{"g", "/b/"}, 0},
		{"file to relative name", file("f"), none("g"), Copy{"g", "."}, 0},
		{"file over file", file("f"), file("/b/g"), Copy{"g", "/b/"}, 0},
		{"file into directory", file("/a/f"), dir("/b"), Copy{"f", "/b"}, 0},
		{"file to missing directory", file("f"), none("/b/"), Copy{}, fault.NotFound},
		{"file below a file", file("f"), file("/b/"), Copy{}, fault.Invalid},
		{"directory to new name", dir("/a"), none("/b"), Copy{"b", "/"}, 0},
		{"directory to new name with slash", dir("/a"), none("/x/b/"), Copy{"b", "/x/"}, 0},
		{"directory into directory", dir("/a/"), dir("/b"), Copy{"a", "/b"}, 0},
		{"content into directory", dir("/a/."), dir("/b"), Copy{".", "/b"}, 0},
		{"content to new name", dir("/a/."), none("/b"), Copy{"b", "/"}, 0},
		{"here", dir("."), dir("/b"), Copy{".", "/b"}, 0},
		{"above", dir("../.."), dir("/b"), Copy{".", "/b"}, 0},
		{"root", dir("/"), dir("/b"), Copy{".", "/b"}, 0},
		{"directory over file", dir("/a"), file("/b"), Copy{}, fault.Invalid},
		{"missing source", none("/a"), dir("/b"), Copy{}, fault.NotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Plan(c.src, c.dst)
			if got != c.want || (err != nil) != (c.kind != 0) || err != nil && !fault.Is(err, c.kind) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestIDs(t *testing.T) {
	m := IDs{Base: 100000, Size: 65536}
	for tree, stream := range map[uint32]int{100000: 0, 101000: 1000, 0: overflow, 99999: overflow, 165536: overflow} {
		if got := m.stream(tree); got != stream {
			t.Errorf("stream(%d) = %d, want %d", tree, got, stream)
		}
	}
	for stream, tree := range map[int]int{0: 100000, 1000: 101000, -1: 165534, 70000: 165534} {
		if got := m.tree(stream); got != tree {
			t.Errorf("tree(%d) = %d, want %d", stream, got, tree)
		}
	}
}

func opened(t *testing.T, root, path string) *os.File {
	t.Helper()
	r, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := fd.InRoot(r, path, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}

// listing shows a tree as "name mode content-or-target".
func listing(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		name, _ := filepath.Rel(root, p)
		info, err := d.Info()
		if err != nil {
			return err
		}
		what := ""
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			what, _ = os.Readlink(p)
			all = append(all, name+" -> "+what)
			return nil
		case info.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			what = " " + string(b)
		}
		all = append(all, name+" "+info.Mode().String()+what)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestThereAndBack(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	write(t, src+"/app/etc/conf", "x=1")
	write(t, src+"/app/bin/tool", "#!")
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, err := range []error{
		os.Chmod(src+"/app/bin/tool", 0o755|fs.ModeSetuid),
		os.Symlink("/etc/conf", src+"/app/link"),
		os.Link(src+"/app/etc/conf", src+"/app/etc/same"),
		os.Mkdir(src+"/app/empty", 0o700),
		os.Chtimes(src+"/app/etc", old, old),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := Pack(t.Context(), &b, opened(t, src, "app"), "copy", IDs{}); err != nil {
		t.Fatal(err)
	}
	skipped, err := Unpack(t.Context(), &b, opened(t, dst, "/"), Options{})
	if err != nil || len(skipped) > 0 {
		t.Fatal(skipped, err)
	}
	want := []string{
		"copy drwxr-xr-x", "copy/bin drwxr-xr-x", "copy/bin/tool urwxr-xr-x #!", "copy/empty drwx------",
		"copy/etc drwxr-xr-x", "copy/etc/conf -rw-r----- x=1", "copy/etc/same -rw-r----- x=1", "copy/link -> /etc/conf",
	}
	if d := cmp.Diff(want, listing(t, dst)); d != "" {
		t.Error(d)
	}
	a, _ := os.Stat(dst + "/copy/etc/conf")
	c, _ := os.Stat(dst + "/copy/etc/same")
	if !os.SameFile(a, c) {
		t.Error("the hard link became a file of its own")
	}
	if d, _ := os.Stat(dst + "/copy/etc"); !d.ModTime().Equal(old) {
		t.Errorf("directory time is %v", d.ModTime())
	}
}

func TestPackSingle(t *testing.T) {
	src := t.TempDir()
	write(t, src+"/f", "one")
	if err := os.Symlink("/nowhere", src+"/l"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]tar.Header{
		"f": {Name: "x", Typeflag: tar.TypeReg, Size: 3},
		"l": {Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/nowhere"},
	} {
		var b bytes.Buffer
		if err := Pack(t.Context(), &b, opened(t, src, name), "x", IDs{}); err != nil {
			t.Fatal(err)
		}
		h, err := tar.NewReader(&b).Next()
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != want.Name || h.Typeflag != want.Typeflag || h.Size != want.Size || h.Linkname != want.Linkname || h.Uname != "" {
			t.Errorf("%s: got %+v", name, h)
		}
	}
}

type entry struct {
	tar.Header
	body string
}

func stream(t *testing.T, entries ...entry) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.body))
		if e.Mode == 0 {
			e.Mode = 0o644
		}
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg}, body}
}

func link(name, to string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}, ""}
}

// Whatever a stream says, nothing outside the destination changes.
func TestUnpackHostileStream(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []entry
		ok   bool
	}{
		{"climbs", []entry{file("../../victim", "bad")}, true},
		{"absolute", []entry{file("/victim", "bad")}, true},
		{"through relative link", []entry{link("l", "../outside"), file("l/victim", "bad")}, false},
		{"through absolute link", []entry{link("l", "OUTSIDE"), file("l/victim", "bad")}, false},
		{"over link", []entry{link("victim", "../outside/victim"), file("victim", "bad")}, true},
		{"hard link to outside", []entry{{tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../outside/victim"}, ""}}, false},
		{"hard link through link", []entry{link("l", "../outside"),
			{tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "l/victim"}, ""}}, false},
		{"directory through link", []entry{link("l", "../outside"),
			{tar.Header{Name: "l/d", Typeflag: tar.TypeDir, Mode: 0o777}, ""}}, false},
		{"link as directory", []entry{link("l", "../outside"),
			{tar.Header{Name: "l", Typeflag: tar.TypeDir, Mode: 0o700}, ""}}, false},
		{"not a tar", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := t.TempDir()
			write(t, top+"/outside/victim", "good")
			if err := os.Mkdir(top+"/in", 0o755); err != nil {
				t.Fatal(err)
			}
			for i := range c.in {
				c.in[i].Linkname = strings.Replace(c.in[i].Linkname, "OUTSIDE", top+"/outside", 1)
			}
			before := listing(t, top+"/outside")
			_, err := Unpack(t.Context(), stream(t, c.in...), opened(t, top, "in"), Options{})
			if (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
			if d := cmp.Diff(before, listing(t, top+"/outside")); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestUnpackSkipsDevices(t *testing.T) {
	dir := t.TempDir()
	skipped, err := Unpack(t.Context(), stream(t,
		entry{tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, ""}, file("f", "x"),
		entry{tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}, ""}), opened(t, dir, "/"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Skipped{"null", "pipe"}, skipped); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"f -rw-r--r-- x"}, listing(t, dir)); d != "" {
		t.Error(d)
	}
}

func TestUnpackRefusesSwappingKinds(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	write(t, dir+"/dir/f", "x")
	for _, e := range []entry{file("dir", "y"), {tar.Header{Name: "file", Typeflag: tar.TypeDir}, ""}} {
		if _, err := Unpack(t.Context(), stream(t, e), opened(t, dir, "/"), Options{}); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: got %v", e.Name, err)
		}
	}
}

// A tree that points out of itself is packed as it stands: links as links.
func TestPackHostileTree(t *testing.T) {
	top := t.TempDir()
	write(t, top+"/outside/secret", "secret")
	write(t, top+"/in/f", "x")
	for name, to := range map[string]string{"abs": top + "/outside/secret", "up": "../outside", "self": "."} {
		if err := os.Symlink(to, top+"/in/"+name); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := Pack(t.Context(), &b, opened(t, top, "in"), "in", IDs{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "secret\x00\x00\x00secret") || bytes.Count(b.Bytes(), []byte("secret")) > 1 {
		t.Error("followed a link")
	}
}

func TestUnpackForMappedRoot(t *testing.T) {
	testenv.Require(t, testenv.Root)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	in := stream(t, entry{tar.Header{Name: "f", Typeflag: tar.TypeReg, Uid: 7, Gid: 8}, "x"})
	ids := IDs{Base: 200000, Size: 65536}
	if _, err := Unpack(t.Context(), in, opened(t, dir, "/"), Options{IDs: ids, KeepOwner: true}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir + "/f")
	if err != nil {
		t.Fatal(err)
	}
	if uid, gid := fd.Owner(info); uid != 200007 || gid != 200008 {
		t.Errorf("owner %d:%d", uid, gid)
	}
	var b bytes.Buffer
	if err := Pack(t.Context(), &b, opened(t, dir, "f"), "f", ids); err != nil {
		t.Fatal(err)
	}
	if h, err := tar.NewReader(&b).Next(); err != nil || h.Uid != 7 || h.Gid != 8 {
		t.Errorf("got %+v, %v", h, err)
	}
}

func FuzzUnpack(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	_ = w.WriteHeader(&tar.Header{Name: "../x", Typeflag: tar.TypeSymlink, Linkname: "../outside"})
	_ = w.WriteHeader(&tar.Header{Name: "x/y", Typeflag: tar.TypeReg, Mode: 0o600})
	_ = w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		top := t.TempDir()
		write(t, top+"/outside/victim", "good")
		if err := os.Mkdir(top+"/in", 0o755); err != nil {
			t.Fatal(err)
		}
		_, _ = Unpack(t.Context(), bytes.NewReader(in), opened(t, top, "in"), Options{})
		if d := cmp.Diff([]string{"victim -rw-r----- good"}, listing(t, top+"/outside")); d != "" {
			t.Error(d)
		}
	})
}
