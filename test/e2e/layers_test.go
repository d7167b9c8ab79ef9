package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fileTar is a tar of files with these names and contents.
func fileTar(t *testing.T, files int, name func(i int) (name, text string)) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range files {
		name, text := name(i)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// layered writes a docker-archive of an image that has these layers upon the toolbox's.
func (h *host) layered(name string, layers [][]byte) (file string) {
	h.Helper()
	dir := h.TempDir()
	h.ok("save", "--format", "oci-dir", "-o", dir+"/base", "toolbox")
	var config struct {
		OS     string          `json:"os"`
		Arch   string          `json:"architecture"`
		Config json.RawMessage `json:"config"`
		RootFS struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	blobs := dir + "/base/blobs/sha256/"
	text, err := os.ReadFile(blobs + strings.TrimPrefix(h.imageID("toolbox"), "sha256:"))
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil {
		h.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(name string, text []byte) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			h.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			h.Fatal(err)
		}
	}
	var members []string
	base, err := os.ReadFile(blobs + strings.TrimPrefix(config.RootFS.DiffIDs[0], "sha256:"))
	if err != nil {
		h.Fatal(err)
	}
	put("base.tar", base)
	members = append(members, "base.tar")
	for i, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, fmt.Sprintf("sha256:%x", sha256.Sum256(l)))
		members = append(members, fmt.Sprint(i, ".tar"))
		put(members[i+1], l)
	}
	text, err = json.Marshal(config)
	if err != nil {
		h.Fatal(err)
	}
	put("config.json", text)
	text, err = json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": members}})
	if err != nil {
		h.Fatal(err)
	}
	put("manifest.json", text)
	if err := w.Close(); err != nil {
		h.Fatal(err)
	}
	file = filepath.Join(dir, "made.tar")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		h.Fatal(err)
	}
	return file
}

// TestManyLayers runs images of more layers than a page of mount options could name.
func TestManyLayers(t *testing.T) {
	h := startOwn(t)
	for _, n := range []int{20, 250} {
		var layers [][]byte
		for i := range n {
			layers = append(layers, fileTar(t, 1, func(int) (string, string) { return fmt.Sprint("many/", i), "x" }))
		}
		name := fmt.Sprint("layers:", n)
		h.ok("load", "-i", h.layered(name, layers))
		for _, users := range []string{"private", "host"} {
			if out := h.ok("run", "--rm", "--userns", users, name, "sh", "-c", "ls /many | wc -l"); strings.TrimSpace(out) != fmt.Sprint(n) {
				t.Errorf("%d layers, user namespace %s: %q files", n, users, out)
			}
		}
		if out := h.ok("run", "--rm", "--mount", "type=image,source="+name+",target=/m,image-subpath=many", image, "sh", "-c", "ls /m | wc -l"); strings.TrimSpace(out) != fmt.Sprint(n) {
			t.Errorf("%d layers mounted: %q files", n, out)
		}
	}
}

// TestManySmallFiles takes an image of 65 000 files there and back.
func TestManySmallFiles(t *testing.T) {
	files := 2000
	if *long {
		files = 65_000
	}
	h := startOwn(t)
	content := fileTar(t, files, func(i int) (string, string) {
		return fmt.Sprintf("small/%d/%d", i%100, i), strings.Repeat("x", i%2000)
	})
	archive := h.layered("small:1", [][]byte{content})
	took := func(what string, do func()) {
		start := time.Now()
		do()
		t.Logf("%d files, %.0f MB: %s %v", files, float64(len(content))/1e6, what, time.Since(start).Round(time.Millisecond))
	}
	patient := func(args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(h.dir, "bin/carob"), args...) // without a deadline: a busy disk may take minutes
		cmd.Env = h.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	took("load", func() { patient("load", "-i", archive) })
	id := h.imageID("small:1")
	again := filepath.Join(t.TempDir(), "again.tar")
	took("save", func() { patient("save", "-o", again, "small:1") })
	if out := h.ok("run", "--rm", "small:1", "sh", "-c", "find /small -type f | wc -l"); strings.TrimSpace(out) != fmt.Sprint(files) {
		t.Errorf("%s files of %d", out, files)
	}
	took("rmi", func() { patient("rmi", "small:1") })
	took("load again", func() { patient("load", "-i", again) })
	if h.imageID("small:1") != id {
		t.Error("it is another image")
	}
}
