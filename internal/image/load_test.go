package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	crv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/bundle"
	"carob/internal/image/unpack"
)

// The archives are written by go-containerregistry: not the code under test.

func foreignImage(t testing.TB, cmd string, layers ...[]byte) crv1.Image {
	t.Helper()
	img := crv1.Image(empty.Image)
	for _, l := range layers {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(l)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config.Cmd, cf.Created = "linux", runtime.GOARCH, []string{cmd}, crv1.Time{Time: stamp}
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	return img
}

func dockerArchive(t testing.TB, images map[string]crv1.Image) []byte {
	t.Helper()
	tagged := map[name.Tag]crv1.Image{}
	for n, img := range images {
		tag, err := name.NewTag(n)
		if err != nil {
			t.Fatal(err)
		}
		tagged[tag] = img
	}
	var b bytes.Buffer
	if err := tarball.MultiWrite(tagged, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func ociArchive(t testing.TB, add ...mutate.IndexAddendum) []byte {
	t.Helper()
	dir := t.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, add...)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	return b.Bytes()
}

func named(img crv1.Image, key, n string) mutate.IndexAddendum {
	return mutate.IndexAddendum{Add: img, Descriptor: crv1.Descriptor{Annotations: map[string]string{key: n}}}
}

func wantID(t testing.TB, img crv1.Image) string {
	t.Helper()
	h, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func TestLoad(t *testing.T) {
	base := makeTar(t, entry{name: "tmp", kind: tar.TypeDir, mode: 0o1777}, file("etc/os", "demo"))
	top := makeTar(t, file("tmp/new", "x"), file("etc/.wh.os", ""))
	one := foreignImage(t, "/one", base, top)
	two := foreignImage(t, "/two", base)
	bare := foreignImage(t, "/bare")
	docker := dockerArchive(t, map[string]crv1.Image{"demo/one:1": one, "quay.io/x/two": two})
	tests := []struct {
		name  string
		bytes []byte
		names []string
	}{
		{"docker-archive", docker, []string{"demo/one:1", "quay.io/x/two:latest"}},
		{"docker-archive packed", gzipped(t, docker), []string{"demo/one:1", "quay.io/x/two:latest"}},
		{"oci-archive", ociArchive(t, named(one, bundle.AnnotationName, "docker.io/demo/one:1"), named(two, v1.AnnotationRefName, "quay.io/x/two:latest")), []string{"demo/one:1", "quay.io/x/two:latest"}},
		{"oci-archive with a bare tag", ociArchive(t, named(one, v1.AnnotationRefName, "1"), named(two, v1.AnnotationRefName, "latest")), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := openStore(t)
			imgs, err := s.Load(t.Context(), bytes.NewReader(test.bytes))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, img := range imgs {
				names = append(names, img.Names...)
			}
			slices.Sort(names)
			if diff := cmp.Diff(test.names, names); diff != "" {
				t.Error(diff)
			}
			img, err := s.Resolve(t.Context(), wantID(t, one))
			if err != nil {
				t.Fatal(err)
			}
			if !img.Created.Equal(stamp) || img.Config.Cmd[0] != "/one" || len(img.Layers) != 2 {
				t.Errorf("image %+v", img)
			}
			want := map[string]string{"tmp": "dtrwxrwxrwx", "tmp/new": "-rw-r--r-- x", "etc": "drwxr-xr-x", "etc/os": "Dc---------"}
			if diff := cmp.Diff(want, tree(t, img.Layers[1])); diff != "" {
				t.Errorf("upper layer, whose tar has no entry for tmp: %s", diff)
			}
			if n := len(listDir(t, s.root.layers())); n != 2 {
				t.Errorf("%d layers kept; the images share one of two", n)
			}
			again, err := s.Load(t.Context(), bytes.NewReader(test.bytes))
			if err != nil || len(again) != len(imgs) || again[0].Size != imgs[0].Size {
				t.Errorf("loaded again: %v, %v", again, err)
			}
		})
	}
	t.Run("no layers", func(t *testing.T) {
		s := openStore(t)
		imgs, err := s.Load(t.Context(), bytes.NewReader(ociArchive(t, named(bare, bundle.AnnotationName, "bare"))))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := s.NewRootfs(t.Context(), "c1", imgs[0].ID, 0)
		if err != nil || len(plan.Lower) != 1 {
			t.Errorf("plan %+v, %v", plan, err)
		}
	})
	t.Run("platforms", func(t *testing.T) {
		s := openStore(t)
		other := crv1.Descriptor{Platform: &crv1.Platform{OS: "linux", Architecture: "s390x"}}
		mine := crv1.Descriptor{Platform: &crv1.Platform{OS: "linux", Architecture: runtime.GOARCH}}
		list := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: two, Descriptor: other}, mutate.IndexAddendum{Add: one, Descriptor: mine})
		imgs, err := s.Load(t.Context(), bytes.NewReader(ociArchive(t, mutate.IndexAddendum{Add: list, Descriptor: crv1.Descriptor{Annotations: map[string]string{bundle.AnnotationName: "multi"}}})))
		if err != nil || len(imgs) != 1 || imgs[0].ID != wantID(t, one) || imgs[0].Names[0] != "multi:latest" {
			t.Errorf("images %+v, %v", imgs, err)
		}
	})
	t.Run("at once", func(t *testing.T) {
		s := openStore(t)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if imgs, err := s.Load(t.Context(), bytes.NewReader(docker)); err != nil || len(imgs) != 2 {
					t.Errorf("%v, %v", imgs, err)
				}
			})
		}
		wg.Wait()
	})
}

// rewrite changes members of an archive; nil removes one.
func rewrite(t testing.TB, archive []byte, change func(name string, content []byte) []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if content = change(h.Name, content); content == nil {
				continue
			}
			h.Size = int64(len(content))
		}
		w.WriteHeader(h)
		w.Write(content)
	}
	w.Close()
	return b.Bytes()
}

func replaceIn(suffix string, by func([]byte) []byte) func(string, []byte) []byte {
	return func(name string, content []byte) []byte {
		if strings.HasSuffix(name, suffix) {
			return by(content)
		}
		return content
	}
}

func TestLoadRefuses(t *testing.T) {
	layer := makeTar(t, file("a", strings.Repeat("text", 1000)))
	img := foreignImage(t, "/x", layer)
	docker := dockerArchive(t, map[string]crv1.Image{"x:1": img})
	oci := ociArchive(t, named(img, bundle.AnnotationName, "x:1"))
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	packed, _ := layers[0].Digest()
	config := strings.TrimPrefix(wantID(t, img), "sha256:")
	manifest, err := partial.Descriptor(img)
	if err != nil {
		t.Fatal(err)
	}
	other := gzipped(t, makeTar(t, file("a", "changed")))
	text := func(s string) func([]byte) []byte { return func([]byte) []byte { return []byte(s) } }
	drop := func([]byte) []byte { return nil }
	swap := func(from, to string) func([]byte) []byte {
		return func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(from), []byte(to)) }
	}
	huge := func([]byte) []byte { return bytes.Repeat([]byte(" "), 9<<20) }
	evil := foreignImage(t, "/x", makeTar(t, file("../../evil", "x")))
	tests := []struct {
		name, want string
		bytes      []byte
	}{
		{"docker: other layer", "wrong digest", rewrite(t, docker, replaceIn(".tar.gz", func([]byte) []byte { return other }))},
		{"docker: other configuration", "wrong digest", rewrite(t, docker, replaceIn(config, swap("/x", "/y")))},
		{"docker: layer missing", "is missing", rewrite(t, docker, replaceIn(".tar.gz", drop))},
		{"docker: bad JSON", "manifest.json", rewrite(t, docker, replaceIn("manifest.json", text("[{")))},
		{"docker: huge JSON", "JSON", rewrite(t, docker, replaceIn("manifest.json", huge))},
		{"docker: no images", "0 images", rewrite(t, docker, replaceIn("manifest.json", text("[]")))},
		{"docker: bad name", "reference", rewrite(t, docker, replaceIn("manifest.json", swap("x:1", "../x")))},
		{"docker: config elsewhere", "is missing", rewrite(t, docker, replaceIn("manifest.json", text(`[{"Config":"../../etc/passwd"}]`)))},
		{"docker: layer traversal", "climbs", dockerArchive(t, map[string]crv1.Image{"x": evil})},
		{"oci: other layer", "bytes long", rewrite(t, oci, replaceIn(packed.Hex, func([]byte) []byte { return other }))},
		{"oci: flipped bit", "", rewrite(t, oci, replaceIn(packed.Hex, func(b []byte) []byte { b[len(b)/2] ^= 1; return b }))},
		{"oci: other configuration", "wrong digest", rewrite(t, oci, replaceIn(config, swap("/x", "/y")))},
		{"oci: other manifest", "wrong digest", rewrite(t, oci, replaceIn(manifest.Digest.Hex, swap("layers", "LAYERS")))},
		{"oci: digest that climbs", "digest", rewrite(t, oci, replaceIn("index.json", swap("sha256:"+manifest.Digest.Hex, "sha256:../../../../etc/passwd")))},
		{"oci: layer missing", "is missing", rewrite(t, oci, replaceIn(packed.Hex, drop))},
		{"oci: nothing for us", "no image for", rewrite(t, oci, replaceIn("index.json", swap("manifest.v2+json", "other+json")))},
		{"oci: layer traversal", "climbs", ociArchive(t, named(evil, bundle.AnnotationName, "x"))},
		{"climbing member", "climbs", makeTar(t, file("../manifest.json", "[]"))},
		{"link loop", "leads nowhere", makeTar(t, symlink("manifest.json", "b"), symlink("b", "manifest.json"))},
		{"a root filesystem", "carob image import", makeTar(t, file("bin/sh", ""))},
		{"truncated", "truncated", docker[:1500]},
		{"truncated gzip", "truncated", gzipped(t, docker)[:100]},
		{"empty", "empty", nil},
		{"no tar", "no tar", bytes.Repeat([]byte("no tar "), 200)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := openStore(t)
			imgs, err := s.Load(t.Context(), bytes.NewReader(test.bytes))
			wantFault(t, err, fault.Invalid, test.want)
			if len(imgs) > 0 || len(s.List()) > 0 {
				t.Errorf("images %v", s.List())
			}
		})
	}
}

// TestLoadLayerLink loads what docker save wrote before version 25 for a layer
// that two images share: a symbolic link.
func TestLoadLayerLink(t *testing.T) {
	layer := makeTar(t, file("a", "x"))
	config, err := json.Marshal(map[string]any{"os": "linux", "config": map[string]any{}, "rootfs": map[string]any{
		"type": "layers", "diff_ids": []string{digest.FromBytes(layer).String()}}})
	if err != nil {
		t.Fatal(err)
	}
	archive := makeTar(t, file("c.json", string(config)), file("one/layer.tar", string(layer)), symlink("two/layer.tar", "../one/layer.tar"),
		file("manifest.json", `[{"Config":"c.json","RepoTags":["linked"],"Layers":["two/layer.tar"]}]`))
	s := openStore(t)
	imgs, err := s.Load(t.Context(), bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	if got := tree(t, imgs[0].Layers[0])["a"]; got != "-rw-r--r-- x" {
		t.Errorf("a is %q", got)
	}
}

// FuzzArchive holds that no archive makes reading its table of contents and its
// manifests panic, hang, or name a file outside of it.
func FuzzArchive(f *testing.F) {
	img := foreignImage(f, "/x", makeTar(f, file("a", "x")))
	f.Add(dockerArchive(f, map[string]crv1.Image{"x:1": img}))
	f.Add(ociArchive(f, named(img, bundle.AnnotationName, "x:1")))
	l := unpack.DefaultLimits()
	l.Entries, l.JSON, l.Images, l.Layers = 100, 1<<16, 10, 10
	f.Fuzz(func(t *testing.T, content []byte) {
		_, err := bundle.Images(t.Context(), bytes.NewReader(content), l)
		if err != nil && strings.Contains(fmt.Sprint(err), "\n") {
			t.Errorf("error %q has several lines", err)
		}
	})
}

// FuzzGuard unpacks hostile layers and looks beside the tree.
func FuzzGuard(f *testing.F) {
	f.Add("a", byte(tar.TypeSymlink), "../..", "a/b", byte(tar.TypeReg), "")
	f.Add("a", byte(tar.TypeSymlink), "b", "a/../x", byte(tar.TypeLink), "a/x")
	f.Add("a/b", byte(tar.TypeDir), "", "a/.wh.b", byte(tar.TypeReg), "")
	f.Fuzz(func(t *testing.T, name1 string, kind1 byte, link1, name2 string, kind2 byte, link2 string) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range []tar.Header{{Name: name1, Typeflag: kind1, Linkname: link1}, {Name: name2, Typeflag: kind2, Linkname: link2}} {
			h.Mode, h.Uid, h.Gid = 0o700, os.Getuid(), os.Getgid()
			if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock || w.WriteHeader(&h) != nil {
				return
			}
		}
		w.Close()
		top := t.TempDir()
		inner := filepath.Join(top, "1/2/3/4/tree")
		if err := os.MkdirAll(inner, 0o755); err != nil {
			t.Fatal(err)
		}
		unpack.Layer(t.Context(), inner, unpack.Blob{R: &b}, unpack.Options{Limits: unpack.DefaultLimits()})
		filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if path == inner {
				return fs.SkipDir
			}
			if path != inner+unpack.RecordSuffix && !strings.HasPrefix(inner+"/", path+"/") {
				t.Errorf("%s was made outside of the tree", path)
			}
			return err
		})
	})
}
