package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
)

// Docker's own media types, which image-spec calls compatible with its own.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerConfig   = "application/vnd.docker.container.image.v1+json"
	dockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	schema1        = "application/vnd.docker.distribution.manifest.v1+"
)

// The bounds of what is read whole, in bytes, and of lists.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
	maxEntries  = 1000
	maxLayers   = 256
	maxBlob     = 512 << 30
	// maxNesting bounds indexes within indexes.
	maxNesting = 3
)

// document is an index or a manifest; exactly one is set.
type document struct {
	index    *v1.Index
	manifest *v1.Manifest
}

// parse reads what a registry says is of the media type; a type that says nothing is
// looked up in the text. It is Invalid or Unsupported when it is neither an index nor an
// image's manifest, or could be read as both (CVE-2021-41190).
func parse(text []byte, mediaType string) (document, error) {
	var d struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
		Layers        json.RawMessage `json:"layers"`
		FSLayers      json.RawMessage `json:"fsLayers"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return document{}, invalid("manifest: %w", err)
	}
	if d.SchemaVersion == 1 || strings.HasPrefix(mediaType, schema1) || d.FSLayers != nil {
		return document{}, errSchema1()
	}
	isIndex, isManifest := d.Manifests != nil, d.Config != nil || d.Layers != nil
	switch {
	case isIndex && isManifest:
		return document{}, invalid("manifest: could be read as an index and as an image: refused")
	case !isIndex && !isManifest:
		return document{}, invalid("manifest: neither an index nor an image")
	case isIndex != claimsIndex(mediaType, isIndex) || isIndex != claimsIndex(d.MediaType, isIndex):
		return document{}, invalid("manifest: the media type %.100q and the content do not fit each other", mediaType)
	}
	return decode(text, isIndex)
}

func decode(text []byte, isIndex bool) (doc document, err error) {
	if isIndex {
		doc.index = &v1.Index{}
		err = json.Unmarshal(text, doc.index)
	} else {
		doc.manifest = &v1.Manifest{}
		err = json.Unmarshal(text, doc.manifest)
	}
	if err != nil {
		return document{}, invalid("manifest: %w", err)
	}
	return doc, nil
}

func errSchema1() error {
	return fault.New(fault.Unsupported, "the image is in Docker's schema 1, which registries gave up in 2017; push it again with a newer tool")
}

// claimsIndex tells whether a media type is an index's; otherwise, when it says neither.
func claimsIndex(mediaType string, otherwise bool) bool {
	switch mediaType {
	case v1.MediaTypeImageIndex, dockerIndex:
		return true
	case v1.MediaTypeImageManifest, dockerManifest:
		return false
	}
	return otherwise
}

// platform reads "os/architecture[/variant]"; empty is this machine's.
func platform(text string) (v1.Platform, error) {
	if text == "" {
		return platforms.DefaultSpec(), nil
	}
	p, err := platforms.Parse(text)
	if err != nil {
		return p, fault.New(fault.Invalid, fmt.Sprintf("platform %.100q: want OS/ARCHITECTURE[/VARIANT], such as linux/arm64", text))
	}
	if p.OS != "linux" {
		return p, fault.New(fault.Unsupported, fmt.Sprintf("platform %.100q: only linux images run here", text))
	}
	return p, nil
}

// choose returns the entry of an index that fits the platform best.
func choose(x *v1.Index, want v1.Platform) (v1.Descriptor, error) {
	if len(x.Manifests) > maxEntries {
		return v1.Descriptor{}, invalid("index: %d entries are more than the %d accepted", len(x.Manifests), maxEntries)
	}
	fits := platforms.Only(want)
	var best *v1.Descriptor
	var have []string
	for i := range x.Manifests {
		d := &x.Manifests[i]
		if d.Platform == nil && (isImage(*d) || claimsIndex(d.MediaType, false)) {
			d.Platform = &want // an entry that does not say is for everybody
		}
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue // an attestation, or no image
		}
		have = append(have, platforms.Format(*d.Platform))
		if fits.Match(*d.Platform) && (best == nil || fits.Less(*d.Platform, *best.Platform)) {
			best = d
		}
	}
	if best == nil {
		return v1.Descriptor{}, fault.New(fault.NotFound, fmt.Sprintf("no image for %s; there are: %.300s", platforms.Format(want), strings.Join(have, ", ")))
	}
	return *best, nil
}

func isImage(d v1.Descriptor) bool {
	return d.MediaType == v1.MediaTypeImageManifest || d.MediaType == dockerManifest
}

// layerTypes are those that hold a tar that is unpacked here, with how it is packed
// found out from its first bytes.
func layerTypes() []string {
	return []string{
		v1.MediaTypeImageLayer, v1.MediaTypeImageLayerGzip, v1.MediaTypeImageLayerZstd,
		dockerLayer, "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.zstd",
		// Layers that must not be passed on may be pulled like others.
		"application/vnd.oci.image.layer.nondistributable.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	}
}

// checkManifest holds an image's manifest against what can be pulled.
func checkManifest(m *v1.Manifest) error {
	if len(m.Layers) > maxLayers {
		return invalid("manifest: %d layers are more than the %d accepted", len(m.Layers), maxLayers)
	}
	if err := checkBlob(m.Config, maxConfig); err != nil {
		return invalid("manifest: configuration: %w", err)
	}
	for i, l := range m.Layers {
		if !slices.Contains(layerTypes(), l.MediaType) {
			return fault.New(fault.Unsupported, fmt.Sprintf("layer %d is of type %.100q, which is not read here", i+1, l.MediaType))
		}
		if err := checkBlob(l, maxBlob); err != nil {
			return invalid("manifest: layer %d: %w", i+1, err)
		}
	}
	return nil
}

func checkBlob(d v1.Descriptor, most int64) error {
	if err := d.Digest.Validate(); err != nil || d.Digest.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %.100q: only sha256 is read", d.Digest)
	}
	if d.Size < 0 || d.Size > most {
		return fmt.Errorf("size %d: want at most %d", d.Size, most)
	}
	return nil
}

// foreign warns of an image that was made for another machine.
func foreign(cfg v1.Image) string {
	if cfg.Architecture == "" || cfg.Architecture == runtime.GOARCH {
		return ""
	}
	return fmt.Sprintf("the image is for %.40s, this machine is %s", cfg.Architecture, runtime.GOARCH)
}

func invalid(format string, args ...any) error {
	return fault.Wrap(fault.Invalid, "", fmt.Errorf(format, args...))
}

var errDigest = errors.New("wrong digest")
