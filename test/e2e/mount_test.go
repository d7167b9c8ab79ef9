package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestImageOnHost mounts an image on the host, over the daemon's death, and takes it off.
func TestImageOnHost(t *testing.T) {
	h := startOwn(t)
	dir := filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	own := h.ok("image", "mount", "toolbox")
	if again := h.ok("image", "mount", "toolbox"); again != own {
		t.Errorf("mounted again on %s, not on %s", again, own)
	}
	if at := h.ok("image", "mount", "toolbox", dir); at != dir {
		t.Errorf("mounted on %s, not on %s", at, dir)
	}
	h.Cleanup(func() { h.run("image", "unmount", "--all") })
	for _, at := range []string{own, dir} {
		looksMounted(t, at)
	}
	mounted := func() []string {
		return strings.Fields(h.ok("image", "mount", "--format", `{{.ImageID}}@{{len .Path}}`))
	}
	both := mounted()
	h.kill()
	if d := cmp.Diff(both, mounted()); d != "" || len(both) != 2 {
		t.Errorf("after the daemon's death: %s", d)
	}
	if r := h.code(1, "rmi", "toolbox"); !strings.Contains(r.err, "mounted on "+own) {
		t.Errorf("removed while it is mounted: %s", r.err)
	}
	h.ok("image", "prune", "-af")
	inside, err := os.Open(filepath.Join(dir, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	r := h.code(1, "image", "unmount", dir)
	if err := inside.Close(); err != nil || !strings.Contains(r.err, "busy") {
		t.Errorf("unmounted while a file is open: %s, %v", r.err, err)
	}
	// umount(8) is as good.
	if out, err := exec.Command("umount", own).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	if out := h.ok("image", "mount", "-o", "name"); out != dir {
		t.Errorf("listed after umount: %q", out)
	}
	h.kill()
	h.ok("version")
	h.eventually("what umount left to be swept", func() bool { _, err := os.Lstat(own); return os.IsNotExist(err) })
	if out := h.ok("image", "unmount", "toolbox"); out != dir {
		t.Errorf("unmounted %q", out)
	}
	for _, wrong := range [][]string{
		{"image", "unmount", "toolbox"}, {"image", "unmount", dir}, {"image", "unmount"}, {"image", "unmount", "-a", "toolbox"},
		{"image", "mount", "none"}, {"image", "mount", "toolbox", filepath.Join(dir, "none")}, {"image", "mount", "toolbox", "/proc/self/exe"},
	} {
		h.code(1, wrong...)
	}
	if out := h.ok("image", "mount", "-q"); out != "" {
		t.Errorf("left mounted: %q", out)
	}
	h.ok("rmi", "toolbox")
}

// looksMounted tells whether the image's files are there, and can do nothing.
func looksMounted(t *testing.T, at string) {
	t.Helper()
	entries, err := os.ReadDir(at)
	if err != nil || !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "bin" }) {
		t.Errorf("%s: %v, %v", at, entries, err)
	}
	if err := os.WriteFile(filepath.Join(at, "new"), nil, 0o600); err == nil {
		t.Errorf("%s: written to", at)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		t.Fatal(err)
	}
	const want = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV
	if st.Flags&want != want {
		t.Errorf("%s: flags %#x", at, st.Flags)
	}
}
