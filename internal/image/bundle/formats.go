package bundle

import (
	"encoding/json"
	"path"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/image/unpack"
	"carob/internal/ref"
)

// dockerManifest is an element of manifest.json, as docker image save documents it.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *contents) dockerImages() ([]Image, error) {
	var list []dockerManifest
	if err := a.readJSON("manifest.json", &list); err != nil {
		if a.readJSON("manifest.json", &v1.Manifest{}) == nil {
			return nil, unpack.Invalid(`manifest.json is of a docker-dir, as "podman save --format docker-dir" writes it; docker-archive, oci-archive and oci-dir are read`)
		}
		return nil, err
	}
	if len(list) == 0 || len(list) > a.limits.Images {
		return nil, unpack.Invalid("manifest.json: %d images; want 1 to %d", len(list), a.limits.Images)
	}
	images := make([]Image, len(list))
	for i, m := range list {
		p, err := a.dockerImage(m)
		if err != nil {
			return nil, err
		}
		images[i] = p
	}
	return images, nil
}

func (a *contents) dockerImage(m dockerManifest) (Image, error) {
	var p Image
	var err error
	if p.Config, err = a.document(m.Config); err != nil {
		return p, err
	}
	// Every tool names the file after its digest, which is the image's ID.
	hex := strings.TrimPrefix(strings.TrimSuffix(path.Base(m.Config), ".json"), "sha256:")
	if have := digest.FromBytes(p.Config); ref.IsID(hex) && have.Encoded() != hex {
		return p, unpack.Invalid("%.200q: wrong digest: it is %s", m.Config, have)
	}
	for _, name := range m.RepoTags {
		full, err := ref.ParseName(name)
		if err != nil {
			return p, err
		}
		p.Names = append(p.Names, full)
	}
	for _, name := range m.Layers {
		r, err := a.member(name)
		if err != nil {
			return p, err
		}
		p.Layers = append(p.Layers, Layer{Member: name, R: r})
	}
	return p, a.checkConfig(&p, m.Config)
}

// Media types of Docker's own formats, which image-spec calls compatible.
const (
	dockerListType     = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerManifestType = "application/vnd.docker.distribution.manifest.v2+json"
)

// AnnotationName holds an image's full name: containerd, Docker and nerdctl write it
// beside image-spec's own annotation, which often is a bare tag.
const AnnotationName = "io.containerd.image.name"

// maxNesting bounds indexes within indexes; real archives have one.
const maxNesting = 3

func (a *contents) ociImages() ([]Image, error) {
	var x v1.Index
	if err := a.readJSON(v1.ImageIndexFile, &x); err != nil {
		return nil, err
	}
	if len(x.Manifests) > a.limits.Images {
		return nil, unpack.Invalid("index.json: %d manifests are more than the %d accepted", len(x.Manifests), a.limits.Images)
	}
	var images []Image
	seen := map[digest.Digest]int{} // manifest → its place in images
	for _, d := range x.Manifests {
		name := d.Annotations
		d, err := a.choose(d, maxNesting)
		if err != nil {
			return nil, err
		}
		if d.Digest == "" {
			continue // for other machines, or no image at all
		}
		names, err := namesFrom(name)
		if err != nil {
			return nil, err
		}
		if i, ok := seen[d.Digest]; ok {
			images[i].Names = append(images[i].Names, names...)
			continue
		}
		p, err := a.ociImage(d)
		if err != nil {
			return nil, err
		}
		p.Names = names
		seen[d.Digest] = len(images)
		images = append(images, p)
	}
	if len(images) == 0 {
		return nil, unpack.Invalid("index.json: no image for linux/%s", runtime.GOARCH)
	}
	return images, nil
}

// choose goes down through indexes to the manifest for this machine. A zero
// descriptor means that there is none.
func (a *contents) choose(d v1.Descriptor, nesting int) (v1.Descriptor, error) {
	if _, attestation := d.Annotations["vnd.docker.reference.type"]; attestation || !runsHere(d.Platform) {
		return v1.Descriptor{}, nil
	}
	switch d.MediaType {
	case v1.MediaTypeImageManifest, dockerManifestType:
		return d, nil
	case v1.MediaTypeImageIndex, dockerListType:
	default:
		return v1.Descriptor{}, nil
	}
	if nesting == 0 {
		return v1.Descriptor{}, unpack.Invalid("%s: indexes nested too deep", d.Digest)
	}
	var x v1.Index
	if err := a.blobJSON(d, &x); err != nil {
		return v1.Descriptor{}, err
	}
	if len(x.Manifests) > a.limits.Images {
		return v1.Descriptor{}, unpack.Invalid("%s: too many manifests", d.Digest)
	}
	for _, inner := range x.Manifests {
		found, err := a.choose(inner, nesting-1)
		if err != nil || found.Digest != "" {
			return found, err
		}
	}
	return v1.Descriptor{}, nil
}

func runsHere(p *v1.Platform) bool {
	return p == nil || p.OS == "linux" && p.Architecture == runtime.GOARCH
}

func (a *contents) ociImage(d v1.Descriptor) (Image, error) {
	var p Image
	var m v1.Manifest
	if err := a.blobJSON(d, &m); err != nil {
		return p, err
	}
	var err error
	if p.Config, err = a.blob(m.Config); err != nil {
		return p, err
	}
	for _, l := range m.Layers {
		if err := checkDigest(l.Digest); err != nil {
			return p, unpack.Invalid("manifest %s: %w", d.Digest, err)
		}
		name := blobPath(l.Digest)
		r, err := a.member(name)
		if err != nil {
			return p, err
		}
		if r.Size() != l.Size {
			return p, unpack.Invalid("%s: %d bytes long, not %d as its manifest says", name, r.Size(), l.Size)
		}
		p.Layers = append(p.Layers, Layer{Member: name, R: r, Digest: l.Digest})
	}
	return p, a.checkConfig(&p, m.Config.Digest.String())
}

// blob reads a small blob and checks it against its descriptor.
func (a *contents) blob(d v1.Descriptor) ([]byte, error) {
	if err := checkDigest(d.Digest); err != nil {
		return nil, unpack.Invalid("%w", err)
	}
	text, err := a.document(blobPath(d.Digest))
	if err != nil {
		return nil, err
	}
	if have := digest.FromBytes(text); have != d.Digest || int64(len(text)) != d.Size {
		return nil, unpack.Invalid("%s: wrong digest or size: it is %s, %d bytes", blobPath(d.Digest), have, len(text))
	}
	return text, nil
}

func (a *contents) blobJSON(d v1.Descriptor, into any) error {
	text, err := a.blob(d)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return unpack.Invalid("%s: %w", blobPath(d.Digest), err)
	}
	return nil
}

func blobPath(d digest.Digest) string {
	return path.Join(v1.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// namesFrom reads the image's names from its descriptor's annotations. A bare tag
// names nothing.
func namesFrom(annotations map[string]string) ([]string, error) {
	name := annotations[AnnotationName]
	if r := annotations[v1.AnnotationRefName]; name == "" && strings.ContainsAny(r, ":/") {
		name = r
	}
	if name == "" {
		return nil, nil
	}
	full, err := ref.ParseName(name)
	if err != nil {
		return nil, err
	}
	return []string{full}, nil
}
