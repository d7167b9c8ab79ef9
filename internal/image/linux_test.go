package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/containerd/continuity/sysx"
	"github.com/google/go-cmp/cmp"
	crv1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"carob/internal/testenv"
)

func xattr(t *testing.T, path, name string) string {
	t.Helper()
	v, err := sysx.LGetxattr(path, name)
	if err != nil && !errors.Is(err, sysx.ENODATA) {
		t.Fatal(err)
	}
	return string(v)
}

func ownerOf(t *testing.T, path string) (uid, gid uint32) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid, st.Gid
}

// lock sets the immutable flag; false where the file system has none.
func lock(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, unix.STATX_ATTR_IMMUTABLE) == nil
}

// TestOverlay mounts a plan and looks at what the kernel makes of the layers.
func TestOverlay(t *testing.T) {
	testenv.Require(t, testenv.Root)
	s := openStore(t)
	base := makeTar(t, entry{name: "sys", kind: tar.TypeDir, mode: 0o555}, file("dev", "not a directory"), entry{name: "etc", kind: tar.TypeDir, mode: 0o700}, file("etc/hosts", "x"), file("gone", "x"), dir("opaque"), file("opaque/old", "x"), dir("kept"), file("kept/old", "x"), entry{name: "tmp", kind: tar.TypeDir, mode: 0o1777})
	top := makeTar(t, file(".wh.gone", ""), dir("opaque"), file("opaque/.wh..wh..opq", ""), file("opaque/new", "x"), file("kept/new", "x"), file("tmp/x", "x"))
	imgs, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, map[string]crv1.Image{"a": foreignImage(t, "/x", base, top)})))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.NewRootfs(t.Context(), "c1", imgs[0].ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	merged := t.TempDir()
	data := "lowerdir=" + strings.Join(plan.Lower, ":") + ",upperdir=" + plan.Upper + ",workdir=" + plan.Work
	if err := unix.Mount("overlay", merged, "overlay", 0, data); err != nil {
		t.Skipf("overlay cannot be mounted here: %v", err)
	}
	got := tree(t, merged)
	if err := unix.Unmount(merged, 0); err != nil {
		t.Error(err)
	}
	want := map[string]string{
		"opaque": "drwxr-xr-x", "opaque/new": "-rw-r--r-- x", "kept": "drwxr-xr-x", "kept/old": "-rw-r--r-- x", "kept/new": "-rw-r--r-- x",
		"tmp": "dtrwxrwxrwx", "tmp/x": "-rw-r--r-- x",
		// Of what every root file system has below, the image's own is seen.
		"sys": "dr-xr-xr-x", "dev": "-rw-r--r-- not a directory", "etc": "drwx------", "etc/hosts": "-rw-r--r-- x",
		"proc": "drwxr-xr-x", "etc/hostname": "-rw-r--r-- ", "etc/resolv.conf": "-rw-r--r-- ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := s.RemoveRootfs(t.Context(), "c1"); err != nil {
		t.Error(err)
	}
}
