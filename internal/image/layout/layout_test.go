package layout

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	crv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	foreign "github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/bundle"
)

func open(t *testing.T) *image.Store {
	t.Helper()
	s, err := image.Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// layer is a tar of one file.
func layer(t *testing.T, file, text string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Typeflag: tar.TypeReg, Name: file, Size: int64(len(text)), Mode: 0o644, Uid: os.Getuid(), Gid: os.Getgid()}
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// fill makes base:1, with a second name, and child:1 of one more layer.
func fill(t *testing.T, s *image.Store) (base, child image.Image) {
	t.Helper()
	base, err := s.ImportTar(t.Context(), "base:1", layer(t, "f", "text"), v1.ImageConfig{Cmd: []string{"f"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), "base:1", "quay.io/some/base:2"); err != nil {
		t.Fatal(err)
	}
	child, err = image.NewCommitter(s).Add(t.Context(), image.Commit{Parent: base.ID, Name: "child:1"}, layer(t, "g", "more"))
	if err != nil {
		t.Fatal(err)
	}
	return base, child
}

func save(t *testing.T, s *image.Store, f Format, refs ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Save(t.Context(), s, &b, f, refs); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func members(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := all[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		if all[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// sameImage holds what another author's reader made of an archive against the store.
func sameImage(t *testing.T, img crv1.Image, want image.Image) {
	t.Helper()
	id, err := img.ConfigName()
	if err != nil || id.String() != want.ID {
		t.Errorf("its ID is %s, not %s (%v)", id, want.ID, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil || len(layers) != len(want.Layers) {
		t.Fatalf("%d layers of %d, %v", len(layers), len(want.Layers), err)
	}
	for i, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		d, err := digest.FromReader(r)
		r.Close()
		if err != nil || d.String() != config.RootFS.DiffIDs[i].String() {
			t.Errorf("layer %d is %s, not %s (%v)", i, d, config.RootFS.DiffIDs[i], err)
		}
	}
}

func TestDockerArchiveIsReadByOthers(t *testing.T) {
	s := open(t)
	base, child := fill(t, s)
	archive := save(t, s, Docker, "base:1", "quay.io/some/base:2", "child:1")
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	for word, want := range map[string]image.Image{"base:1": base, "quay.io/some/base:2": base, "child:1": child} {
		tag, err := name.NewTag(word)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.Image(opener, &tag)
		if err != nil {
			t.Fatalf("%s: %v", word, err)
		}
		sameImage(t, img, want)
	}
	if m := members(t, archive); len(m) != 2+2+2+2+3 { // directories, layers, configurations, manifests, documents
		t.Errorf("%d members", len(m))
	}
}

func TestLayoutIsReadByOthers(t *testing.T) {
	s := open(t)
	base, child := fill(t, s)
	for _, f := range []Format{Docker, OCI} {
		dir := t.TempDir()
		for name, text := range members(t, save(t, s, f, "base:1", "child:1", base.ID)) {
			if name[len(name)-1] == '/' {
				continue
			}
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		index, err := foreign.ImageIndexFromPath(dir)
		if err != nil {
			t.Fatal(err)
		}
		m, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for i, want := range []image.Image{base, child} {
			names = append(names, m.Manifests[i].Annotations[bundle.AnnotationName], m.Manifests[i].Annotations[v1.AnnotationRefName])
			img, err := index.Image(m.Manifests[i].Digest)
			if err != nil {
				t.Fatal(err)
			}
			sameImage(t, img, want)
		}
		const one, two = "docker.io/library/base:1", "docker.io/library/child:1"
		if d := cmp.Diff([]string{one, one, two, two}, names); d != "" || len(m.Manifests) != 2 {
			t.Error(len(m.Manifests), d)
		}
	}
}

func TestThereAndBack(t *testing.T) {
	s := open(t)
	_, child := fill(t, s)
	for _, f := range []Format{Docker, OCI} {
		archive := save(t, s, f, "child:1")
		other := open(t)
		imgs, err := other.Load(t.Context(), bytes.NewReader(archive))
		if err != nil || len(imgs) != 1 || imgs[0].ID != child.ID || !cmp.Equal(imgs[0].Names, []string{"child:1"}) {
			t.Errorf("%s: %+v, %v", f, imgs, err)
		}
		if again := save(t, other, f, "child:1"); !bytes.Equal(again, archive) {
			t.Errorf("%s: saved from the other store it differs", f)
		}
		imgs, err = other.Load(t.Context(), bytes.NewReader(save(t, s, f, child.ID)))
		if err != nil || len(imgs) != 1 {
			t.Errorf("%s: by ID: %v, %v", f, imgs, err)
		}
	}
}

func TestHundredLayers(t *testing.T) {
	img := crv1.Image(empty.Image)
	for i := range 100 {
		content := layer(t, fmt.Sprint(i), "text").Bytes()
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	tag, err := name.NewTag("many:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.Write(tag, img, &b); err != nil {
		t.Fatal(err)
	}
	s := open(t)
	first, err := s.Load(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	imgs, err := open(t).Load(t.Context(), bytes.NewReader(save(t, s, OCI, "many:1")))
	if err != nil || len(imgs[0].Layers) != 100 || imgs[0].ID != first[0].ID {
		t.Error(imgs, err)
	}
}

// full accepts so many bytes.
type full struct{ left int }

var errFull = errors.New("full")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestSaveRefuses(t *testing.T) {
	s := open(t)
	fill(t, s)
	var b bytes.Buffer
	for want, refs := range map[fault.Kind][]string{fault.NotFound: {"base:1", "none"}, fault.Invalid: {"Bad"}} {
		if err := Save(t.Context(), s, &b, Docker, refs); !fault.Is(err, want) || b.Len() > 0 {
			t.Errorf("%v: %v, %d bytes", refs, err, b.Len())
		}
	}
	if err := Save(t.Context(), s, &b, "zip", []string{"base:1"}); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	whole := len(save(t, s, Docker, "child:1"))
	for n := 0; n < whole; n += 1000 {
		if err := Save(t.Context(), s, &full{n}, Docker, []string{"child:1"}); !errors.Is(err, errFull) {
			t.Errorf("full after %d of %d bytes: %v", n, whole, err)
		}
	}
}
