package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/unpack"
)

// archive is a tar of members, by name.
func archive(t *testing.T, members map[string][]byte) Seekable {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range members {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestLittleArchive that asks for much to be read: one document for a thousand images, or
// indexes that lead a thousand times to one another.
func TestLittleArchive(t *testing.T) {
	limits := unpack.DefaultLimits()
	limits.JSON = 256 << 10
	config := append(marshal(t, v1.Image{Platform: v1.Platform{OS: "linux"}}), bytes.Repeat([]byte(" "), 200_000)...)
	list := make([]dockerManifest, 1000)
	for i := range list {
		list[i].Config = "c.json"
	}
	nested := map[string][]byte{}
	below := v1.Descriptor{MediaType: "application/octet-stream"}
	for level := range 3 {
		text := marshal(t, v1.Index{Manifests: repeated(below, 1000), Annotations: map[string]string{"level": fmt.Sprint(level)}})
		nested[v1.ImageIndexFile] = text
		below = v1.Descriptor{MediaType: v1.MediaTypeImageIndex, Digest: digest.FromBytes(text), Size: int64(len(text))}
		nested[blobPath(below.Digest)] = text
	}
	for name, members := range map[string]map[string][]byte{
		"configurations": {"manifest.json": marshal(t, list), "c.json": config},
		"indexes":        nested,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Images(t.Context(), archive(t, members), limits)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "JSON in all") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func repeated(d v1.Descriptor, n int) []v1.Descriptor {
	all := make([]v1.Descriptor, n)
	for i := range all {
		all[i] = d
	}
	return all
}

// TestNames of members are kept, so that there is a bound for all of them.
func TestNames(t *testing.T) {
	a := &contents{limits: unpack.DefaultLimits(), members: map[string]member{}, named: unpack.MaxNames - 3<<20}
	long := strings.Repeat("x", 1<<20)
	for i := range 3 {
		err := a.note(&tar.Header{Typeflag: tar.TypeSymlink, Name: fmt.Sprint(i), Linkname: long}, 0)
		if i < 2 && err != nil || i == 2 && !fault.Is(err, fault.Invalid) {
			t.Errorf("%d: %v", i, err)
		}
	}
}
