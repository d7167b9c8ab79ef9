package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"carob/internal/fault"
	"carob/internal/testenv"
)

// words describes a stream's entries: name, type, owner, attributes.
func words(t *testing.T, stream io.Reader) []string {
	t.Helper()
	var all []string
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		s := string(h.Typeflag) + " " + h.Name
		if h.Linkname != "" {
			s += " > " + h.Linkname
		}
		if h.Uid != 0 {
			s += " uid"
		}
		for k, v := range h.PAXRecords {
			if k != "mtime" {
				s += " " + k + "=" + v
			}
		}
		all = append(all, s)
	}
}

// upper makes an upper directory as overlayfs leaves it, and opens it.
func upper(t *testing.T, fill func(dir string) error) *os.File {
	t.Helper()
	testenv.Require(t, testenv.Root)
	dir := t.TempDir()
	if err := fill(dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestPackLayer(t *testing.T) {
	const base = 100000
	up := upper(t, func(d string) error {
		return errors.Join(
			os.Mkdir(d+"/dir", 0o750),
			os.WriteFile(d+"/dir/f", []byte("text"), 0o640),
			os.Link(d+"/dir/f", d+"/dir/g"),
			os.Symlink("/nowhere", d+"/dir/link"),
			unix.Mknod(d+"/dir/.gone", unix.S_IFCHR, 0),
			unix.Mknod(d+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
			unix.Mknod(d+"/sock", unix.S_IFSOCK, 0),
			os.Mkdir(d+"/opaque", 0o755),
			unix.Setxattr(d+"/opaque", "trusted.overlay.opaque", []byte("y"), 0),
			unix.Setxattr(d+"/opaque", "trusted.overlay.origin", []byte("origin"), 0),
			unix.Setxattr(d+"/dir/f", "user.note", []byte("kept"), 0),
			os.WriteFile(d+"/tool", nil, 0o755),
			filepath.WalkDir(d, func(p string, _ os.DirEntry, err error) error {
				return errors.Join(err, os.Lchown(p, base, base))
			}),
		)
	})
	// Revision 3 with 100000 as root; chown would have taken it away.
	if err := unix.Setxattr(up.Name()+"/tool", "security.capability", []byte{1, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 0x86, 1, 0}, 0); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := PackLayer(t.Context(), b, up, IDs{Base: base, Size: 65536}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same directory gave two layers")
	}
	want := []string{
		"5 dir/", "0 dir/.wh..gone", "0 dir/f SCHILY.xattr.user.note=kept", "1 dir/g > dir/f", "2 dir/link > /nowhere",
		"3 null", "5 opaque/", "0 opaque/.wh..wh..opq",
		"0 tool SCHILY.xattr.security.capability=" + string([]byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
	}
	if d := cmp.Diff(want, words(t, &first)); d != "" {
		t.Error(d)
	}
}

func TestPackLayerRefuses(t *testing.T) {
	for name, fill := range map[string]func(d string) error{
		".wh.": func(d string) error { return os.WriteFile(d+"/.wh.f", nil, 0o600) },
		"redirect_dir": func(d string) error {
			return errors.Join(os.Mkdir(d+"/new", 0o700), unix.Setxattr(d+"/new", "trusted.overlay.redirect", []byte("/old"), 0))
		},
		"metacopy": func(d string) error {
			return errors.Join(os.WriteFile(d+"/f", nil, 0o600), unix.Setxattr(d+"/f", "trusted.overlay.metacopy", nil, 0))
		},
	} {
		err := PackLayer(t.Context(), io.Discard, upper(t, fill), IDs{})
		if !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := PackLayer(ctx, io.Discard, upper(t, func(string) error { return nil }), IDs{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A root file system's own files may be called like whiteouts: nothing is turned.
func TestPackRoot(t *testing.T) {
	up := upper(t, func(d string) error {
		return errors.Join(os.WriteFile(d+"/.wh.f", nil, 0o600), unix.Setxattr(d+"/.wh.f", "user.a", []byte("b"), 0))
	})
	var b bytes.Buffer
	if err := PackRoot(t.Context(), &b, up, IDs{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"5 ./", "0 .wh.f SCHILY.xattr.user.a=b"}, words(t, &b)); d != "" {
		t.Error(d)
	}
}
