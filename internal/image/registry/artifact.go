package registry

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/registry/call"
)

// isArtifact tells a manifest that describes something else than a container's image: a
// model, a chart, whatever has files to be mounted.
func isArtifact(m *v1.Manifest) bool {
	return m.Config.MediaType != v1.MediaTypeImageConfig && m.Config.MediaType != dockerConfig
}

func artifactType(m *v1.Manifest) string {
	if m.ArtifactType != "" {
		return m.ArtifactType
	}
	return m.Config.MediaType
}

// file is one of an artifact: a blob with a name.
type file struct {
	name string
	blob v1.Descriptor
}

// artifactFiles are an artifact's files. A blob is called as its title says, or after its
// digest; whoever made the artifact wrote the title.
func artifactFiles(m *v1.Manifest) (files []file, err error) {
	if len(m.Layers) > maxLayers {
		return nil, invalid("manifest: %d files are more than the %d accepted", len(m.Layers), maxLayers)
	}
	seen := map[string]bool{}
	for i, l := range m.Layers {
		if l.MediaType == v1.MediaTypeEmptyJSON {
			continue // a place holder
		}
		if err := checkBlob(l, maxBlob); err != nil {
			return nil, invalid("manifest: file %d: %w", i+1, err)
		}
		name := l.Annotations[v1.AnnotationTitle]
		if name == "" {
			name = l.Digest.Encoded()
		}
		if !filepath.IsLocal(name) || filepath.Clean(name) != name || strings.Contains("/"+name, "/.wh.") || name == "." {
			return nil, invalid("manifest: file %d: title %.100q is no plain name", i+1, name)
		}
		if seen[name] {
			return nil, invalid("manifest: two files are called %.100q", name)
		}
		seen[name] = true
		files = append(files, file{name, l})
	}
	if len(files) == 0 {
		return nil, fault.New(fault.Unsupported, fmt.Sprintf("an artifact of type %.100q without files", artifactType(m)))
	}
	return files, nil
}

// artifact gets the files of an artifact into an image of one layer, to be mounted. The same
// files make the same image. One that is here under this digest is not asked for.
func (c *Client) artifact(ctx context.Context, s *session, f found) (image.Image, error) {
	files, err := artifactFiles(f.manifest)
	if err != nil {
		return image.Image{}, err
	}
	s.board.set(Progress{Step: call.Warning, Text: fmt.Sprintf("an artifact of type %.100q: its files can be mounted, not run", artifactType(f.manifest))})
	name, known := localName(s.ref), s.ref.Name()+"@"+f.top.String()
	if img, ok, err := c.c.Images.Again(ctx, known, name); ok || err != nil {
		return img, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var blobs []v1.Descriptor
	missing := make([]bool, len(files))
	for i, f := range files {
		blobs, missing[i] = append(blobs, f.blob), true
	}
	layers, end := c.layers(ctx, s, blobs, missing)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(writeFiles(ctx, w, files, layers))
	}()
	img, err := c.c.Images.AddFiles(ctx, []string{name}, []string{known}, r)
	cancel() // lets the writer go when the store ended early
	_ = r.Close()
	<-done
	end()
	return img, err
}

// writeFiles writes the tar of an artifact's files; it is always the same.
func writeFiles(ctx context.Context, to io.Writer, files []file, layers []image.RemoteLayer) error {
	w := tar.NewWriter(to)
	for i, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: 0o644, Size: f.blob.Size, ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if err := copyBlob(ctx, w, layers[i]); err != nil {
			return fmt.Errorf("file %s: %w", layers[i].Name, err)
		}
	}
	return w.Close()
}

func copyBlob(ctx context.Context, to io.Writer, l image.RemoteLayer) error {
	r, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read from
	if _, err := io.Copy(to, r); err != nil {
		return err
	}
	l.End()
	return nil
}
