// Package layout writes images as archives: the OCI image layout in a tar, and the
// archive of "docker save", which since Docker 25 is the same with a manifest.json
// beside. Layers are written unpacked, so that a blob's digest is the layer's diff ID
// and known before its first byte: nothing is spooled. The same images give the same
// bytes. It reads the store through image.Content and keeps nothing.
package layout

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/bundle"
	"carob/internal/ref"
)

// Format is a kind of archive.
type Format string

// The formats.
const (
	// Docker is what "docker save" writes: docker, podman and skopeo read it.
	Docker Format = "docker-archive"
	// OCI is an OCI image layout in a tar.
	OCI Format = "oci-archive"
)

// Check refuses a format that Save does not know. It is Invalid.
func (f Format) Check() error {
	if f != Docker && f != OCI {
		return fault.New(fault.Invalid, fmt.Sprintf("archive format %q: use %s or %s", string(f), Docker, OCI))
	}
	return nil
}

// saved is one image and the full names it has in the archive, which may be none.
type saved struct {
	Content *image.Content
	Names   []string
}

// write writes the images to w as an archive. A layer that several images have is
// written once. After an error what was written is no archive: Conflict is a layer
// that is no longer what was unpacked.
func write(ctx context.Context, w io.Writer, f Format, images []saved) error {
	if err := f.Check(); err != nil {
		return err
	}
	a := &writer{tw: tar.NewWriter(w), written: map[digest.Digest]bool{}}
	if err := a.all(ctx, f, images); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

// writer writes one archive.
type writer struct {
	tw      *tar.Writer
	written map[digest.Digest]bool
}

func (a *writer) all(ctx context.Context, f Format, images []saved) error {
	for _, dir := range []string{v1.ImageBlobsDir, path.Join(v1.ImageBlobsDir, string(digest.SHA256))} {
		if err := a.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
			return err
		}
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	docker := []dockerManifest{}
	for _, s := range images {
		d, err := a.image(ctx, s)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, named(d, s.Names)...)
		docker = append(docker, forDocker(s))
	}
	if err := a.document(v1.ImageIndexFile, index); err != nil {
		return err
	}
	if f == Docker {
		if err := a.document("manifest.json", docker); err != nil {
			return err
		}
	}
	if err := a.document(v1.ImageLayoutFile, v1.ImageLayout{Version: v1.ImageLayoutVersion}); err != nil {
		return err
	}
	return a.tw.Close()
}

// image writes an image's blobs and returns the descriptor of its manifest.
func (a *writer) image(ctx context.Context, s saved) (v1.Descriptor, error) {
	var none v1.Descriptor
	var about v1.Image
	if err := json.Unmarshal(s.Content.Config, &about); err != nil {
		return none, err
	}
	m := v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Layers: []v1.Descriptor{}}
	for _, l := range s.Content.Layers {
		if err := a.layer(ctx, l); err != nil {
			return none, err
		}
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: l.DiffID, Size: l.Size})
	}
	m.Config = descriptor(v1.MediaTypeImageConfig, s.Content.Config)
	if err := a.blob(m.Config.Digest, s.Content.Config); err != nil {
		return none, err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return none, err
	}
	d := descriptor(v1.MediaTypeImageManifest, text)
	if about.OS != "" { // an empty platform would be one that no machine has
		d.Platform = &v1.Platform{OS: about.OS, Architecture: about.Architecture, Variant: about.Variant}
	}
	return d, a.blob(d.Digest, text)
}

func descriptor(mediaType string, text []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
}

// named returns the descriptor once per name. Readers differ in which annotation they
// look at: containerd and Docker at the first, podman and skopeo at the second, which
// the specification lets hold a whole name.
func named(d v1.Descriptor, names []string) []v1.Descriptor {
	if len(names) == 0 {
		return []v1.Descriptor{d}
	}
	all := make([]v1.Descriptor, len(names))
	for i, n := range names {
		all[i] = d
		all[i].Annotations = map[string]string{bundle.AnnotationName: n, v1.AnnotationRefName: n}
	}
	return all
}

// dockerManifest is an element of Docker's manifest.json.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func forDocker(s saved) dockerManifest {
	m := dockerManifest{Config: blobPath(digest.FromBytes(s.Content.Config)), RepoTags: []string{}, Layers: []string{}}
	for _, n := range s.Names {
		m.RepoTags = append(m.RepoTags, familiar(n))
	}
	for _, l := range s.Content.Layers {
		m.Layers = append(m.Layers, blobPath(l.DiffID))
	}
	return m
}

// familiar is the form in which Docker writes names there.
func familiar(full string) string {
	r, err := ref.Parse(full)
	if err != nil {
		return full // it came out of the store
	}
	return r.Familiar()
}

func blobPath(d digest.Digest) string {
	return path.Join(v1.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func (a *writer) layer(ctx context.Context, l image.LayerTar) error {
	if a.written[l.DiffID] {
		return nil
	}
	if err := a.head(blobPath(l.DiffID), l.Size); err != nil {
		return err
	}
	a.written[l.DiffID] = true
	return l.Write(ctx, a.tw)
}

func (a *writer) blob(d digest.Digest, text []byte) error {
	if a.written[d] {
		return nil
	}
	a.written[d] = true
	return a.file(blobPath(d), text)
}

func (a *writer) document(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.file(name, text)
}

func (a *writer) file(name string, text []byte) error {
	if err := a.head(name, int64(len(text))); err != nil {
		return err
	}
	_, err := a.tw.Write(text)
	return err
}

func (a *writer) head(name string, size int64) error {
	return a.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644})
}
