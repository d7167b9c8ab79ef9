package registry

import (
	"archive/tar"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"carob/internal/fault"
	"carob/internal/image/registry/call"
)

// From an index comes the image for this machine, or for the one that is asked for; by the
// index's digest it is found again.
func TestPullFromIndex(t *testing.T) {
	s := newServer(t)
	var index v1.ImageIndex = empty.Index
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		m, err := mutate.ConfigFile(imageOf(t), &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}})
		if err != nil {
			t.Fatal(err)
		}
		if m, err = mutate.AppendLayers(m, layerOf(t, files{"arch": arch})); err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: m, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	index = mutate.AppendManifests(index, mutate.IndexAddendum{ // an attestation
		Add: imageOf(t), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}},
	})
	text := s.host() + "/multi:1"
	to, err := name.ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(to, index); err != nil {
		t.Fatal(err)
	}
	c, store := newStore(t)
	img := mustPull(t, c, text)
	if got := fileIn(t, img, "arch"); got != hostArch() {
		t.Errorf("pulled for %s", got)
	}
	top, _ := index.Digest() // in memory
	if found, err := store.Resolve(t.Context(), s.host()+"/multi@"+top.String()); err != nil || found.ID != img.ID {
		t.Errorf("by the index's digest: %v, %v", found.ID, err)
	}
	other, err := c.Pull(t.Context(), text, PullOptions{Platform: "linux/riscv64"})
	if err != nil || fileIn(t, other, "arch") != "riscv64" {
		t.Errorf("for another machine: %v", err)
	}
	if _, err := c.Pull(t.Context(), text, PullOptions{Platform: "linux/s390x"}); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("for a machine that there is no image for: %v", err)
	}
}

// An image that says it is for another machine is pulled with a warning.
func TestForeignImage(t *testing.T) {
	s := newServer(t)
	m, err := mutate.ConfigFile(imageOf(t), &v1.ConfigFile{OS: "linux", Architecture: "s390x", RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		t.Fatal(err)
	}
	var warned string
	_, err = newClient(t).Pull(t.Context(), s.upload(t, "far:1", m), PullOptions{Progress: func(p Progress) {
		if p.Step == call.Warning {
			warned = p.Text
		}
	}})
	if err != nil || !strings.Contains(warned, "s390x") {
		t.Errorf("pull: %v, warned %q", err, warned)
	}
}

func TestPullZstd(t *testing.T) {
	s := newServer(t)
	text := tarOf(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644, Size: 4}, "zstd")
	l, err := tarball.LayerFromOpener(opener(text), tarball.WithCompression(compression.ZStd), tarball.WithMediaType(types.OCILayerZStd))
	if err != nil {
		t.Fatal(err)
	}
	if got := fileIn(t, mustPull(t, newClient(t), s.upload(t, "z:1", imageOf(t, l))), "a"); got != "zstd" {
		t.Errorf("pulled %q", got)
	}
}

func opener(b []byte) tarball.Opener {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

func tarOf(t *testing.T, h *tar.Header, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Layers that are what the manifest says, and yet wrong, leave nothing behind.
func TestHostileLayers(t *testing.T) {
	for _, test := range []struct {
		name  string
		layer []byte
		words string
	}{
		{"climbs", tarOf(t, &tar.Header{Name: "../../etc/passwd", Typeflag: tar.TypeReg, Size: 1}, "x"), "climbs"},
		{"hard link out", tarOf(t, &tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"}, ""), "hard link"},
		{"no tar", []byte(strings.Repeat("x", 2000)), "layer"},
		{"truncated", tarOf(t, &tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 4000}, strings.Repeat("x", 4000))[:2000], "truncated"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			l, err := tarball.LayerFromOpener(opener(test.layer))
			if err != nil {
				t.Fatal(err)
			}
			name := s.upload(t, "bad:1", imageOf(t, l))
			if _, err := pull(t, newClient(t), name); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("pull: %v (%v); want %q", err, fault.KindOf(err), test.words)
			}
		})
	}
	t.Run("another diff ID", func(t *testing.T) {
		s := newServer(t)
		m := imageOf(t, layerOf(t, files{"a": "1"}))
		cfg, err := m.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		cfg = cfg.DeepCopy()
		cfg.RootFS.DiffIDs[0].Hex = strings.Repeat("1", 64)
		lie, err := mutate.ConfigFile(m, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pull(t, newClient(t), s.upload(t, "lie:1", lie)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "wrong digest: unpacked") {
			t.Errorf("pull: %v", err)
		}
	})
	t.Run("an artifact's layer", func(t *testing.T) {
		s := newServer(t)
		m := imageOf(t, static.NewLayer([]byte("{}"), "application/json"))
		if _, err := pull(t, newClient(t), s.upload(t, "json:1", m)); !fault.Is(err, fault.Unsupported) {
			t.Errorf("pull: %v", err)
		}
	})
}
