package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carob/internal/testenv"
)

// tool runs a program that must succeed, in a directory, and returns its output.
func tool(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %s: %v", name, strings.Join(args, " "), out, err)
	}
	return strings.TrimSpace(string(out))
}

// TestArchivesOfOthers loads what other tools wrote and has them read what carob saves.
func TestArchivesOfOthers(t *testing.T) {
	testenv.Require(t, testenv.Podman, testenv.Buildah, testenv.Skopeo, testenv.Umoci)
	h := startOwn(t)
	dir := t.TempDir()
	// Storage of its own, and no mount that the tool would leave.
	storage := []string{"--storage-driver", "vfs", "--root", filepath.Join(dir, "store"), "--runroot", filepath.Join(dir, "run")}
	buildah := func(args ...string) string { return tool(t, dir, "buildah", append(storage, args...)...) }
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "sh", "-c", filepath.Join(h.dir, "bin", "carob-toolbox")+" --rootfs | tar -C root -x")
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("by another tool"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := buildah("from", "scratch")
	buildah("add", c, root, "/")
	buildah("config", "--cmd", `["cat", "/file"]`, c)
	buildah("commit", "-q", c, "localhost/base:1")
	c = buildah("from", "localhost/base:1")
	buildah("copy", "-q", c, "file", "/file")
	buildah("commit", "-q", c, "localhost/built:1")
	h.cat("localhost/built:1", func(to string) { buildah("push", "-q", "localhost/built:1", "docker-archive:"+to) })
	h.cat("localhost/built:1", func(to string) { buildah("push", "-q", "localhost/built:1", "oci-archive:"+to+":localhost/built:1") })
	h.cat("localhost/built:1", func(to string) { buildah("push", "-q", "localhost/built:1", "oci:"+to+":localhost/built:1") })
	h.cat("localhost/built:1", func(to string) {
		tool(t, dir, "podman", append(storage, "save", "-q", "-m", "-o", to, "localhost/base:1", "localhost/built:1")...)
	})

	layout := filepath.Join(dir, "layout")
	h.ok("save", "--format", "oci-dir", "-o", layout, "localhost/built:1")
	tool(t, dir, "umoci", "unpack", "--image", layout+":localhost/built:1", "bundle")
	if b, err := os.ReadFile(filepath.Join(dir, "bundle", "rootfs", "file")); err != nil || string(b) != "by another tool" {
		t.Errorf("umoci unpacks %q, %v", b, err)
	}
	h.cat("localhost/zstd:1", func(to string) {
		tool(t, dir, "skopeo", "copy", "-q", "--dest-compress-format", "zstd", "oci:"+layout+":localhost/built:1", "oci:"+to+":localhost/zstd:1")
	})
	archive := filepath.Join(dir, "archive.tar")
	h.ok("save", "-o", archive, "localhost/built:1")
	tool(t, dir, "podman", append(storage, "rmi", "-f", "localhost/built:1")...)
	if out := tool(t, dir, "podman", append(storage, "load", "-q", "-i", archive)...); !strings.Contains(out, "localhost/built:1") {
		t.Errorf("podman loads %q", out)
	}
	oci := filepath.Join(dir, "oci.tar")
	h.ok("save", "--format", "oci-archive", "-o", oci, "localhost/built:1")
	tool(t, dir, "skopeo", "copy", "-q", "oci-archive:"+oci, "docker-archive:"+filepath.Join(dir, "again.tar")+":localhost/again:1")
	h.cat("localhost/again:1", func(to string) { tool(t, dir, "cp", "again.tar", to) })
	if id := h.imageID("localhost/again:1"); id != h.imageID("localhost/built:1") {
		t.Errorf("from tool to tool it became %s", id)
	}

	// umoci adds a layer with an opaque directory and a whiteout.
	tool(t, dir, "umoci", "insert", "--image", layout+":localhost/built:1", "--whiteout", "/bin/nc")
	h.ok("load", "-q", "-i", layout)
	if r := h.run("run", "--rm", "localhost/built:1", "test", "-e", "/bin/nc"); r.code != 1 {
		t.Errorf("what umoci has taken away is there: %d %s", r.code, r.err)
	}
	podmanDir := filepath.Join(dir, "podman-dir")
	tool(t, dir, "skopeo", "copy", "-q", "oci-archive:"+oci, "dir:"+podmanDir)
	if r := h.code(1, "load", "-i", podmanDir); !strings.Contains(r.err, "docker-dir") {
		t.Errorf("a directory that is no archive: %s", r.err)
	}
}

// cat loads an image that make writes, and runs it.
func (h *host) cat(name string, make func(to string)) {
	h.Helper()
	to := filepath.Join(h.TempDir(), "image")
	make(to)
	h.run("rmi", "-f", name)
	h.ok("load", "-q", "-i", to)
	if out := h.ok("run", "--rm", "--pull", "never", name); out != "by another tool" {
		h.Errorf("%s says %q", name, out)
	}
}
