package registry

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/registry/call"
	"carob/internal/ref"
)

// Pull gets an image by its reference and returns when it is whole and can be started.
// Layers that are here are not asked for. Cancelling ctx leaves nothing half done. The
// kinds: Invalid is a reference, configuration or content that cannot be right, NotFound
// what the registry does not have, Denied credentials that are missing or wrong,
// Unsupported what is no image for here, Unavailable a registry that does not answer.
func (c *Client) Pull(ctx context.Context, name string, o PullOptions) (image.Image, error) {
	r, err := remoteRef(name)
	if err != nil {
		return image.Image{}, err
	}
	b, began := newBoard(o.Progress), time.Now()
	defer b.close()
	img, err := c.now().pull(ctx, r, o, b)
	if err != nil {
		if ctx.Err() != nil {
			err = fault.Wrap(fault.Unavailable, "", ctx.Err())
		}
		return image.Image{}, fmt.Errorf("pull %s: %w", r.Familiar(), err)
	}
	c.c.Log.Info("pulled", "image", r.String(), "id", img.ID, "took", time.Since(began).Round(time.Millisecond))
	return img, nil
}

// remoteRef reads a reference to something that a registry can have.
func remoteRef(name string) (ref.Ref, error) {
	r, err := ref.Parse(name)
	if err == nil && r.Registry == strings.TrimSuffix(image.OwnDomain, "/") {
		err = fault.New(fault.NotFound, "image "+r.Familiar()+": "+r.Registry+" is no registry; its images are made on this machine")
	}
	return r, err
}

func (c *Client) pull(ctx context.Context, r ref.Ref, o PullOptions, b *board) (image.Image, error) {
	want, err := platform(o.Platform)
	if err != nil {
		return image.Image{}, err
	}
	required, err := c.required(r)
	if err != nil {
		return image.Image{}, err
	}
	s, err := c.dial(ctx, r, o.Auth, b)
	if err != nil {
		return image.Image{}, err
	}
	f, err := s.find(ctx, want)
	if err == nil {
		err = s.admit(ctx, required, f)
	}
	if err != nil {
		return image.Image{}, err
	}
	b.set(Progress{Step: call.Found, Text: f.top.String()})
	if isArtifact(f.manifest) {
		return c.artifact(ctx, s, f)
	}
	cfg, err := c.c.Images.CheckConfig(f.config, len(f.manifest.Layers))
	if err != nil {
		return image.Image{}, err
	}
	if text := foreign(cfg); text != "" && o.Platform == "" {
		b.set(Progress{Step: call.Warning, Text: text})
	}
	layers, end := c.layers(ctx, s, f.manifest.Layers, c.c.Images.Missing(cfg.RootFS.DiffIDs))
	defer end()
	return c.c.Images.Add(ctx, image.Remote{
		Names: []string{localName(r)}, Digests: []string{r.Name() + "@" + f.top.String()},
		Config: f.config, Manifest: f.text, Layers: layers,
	})
}

// localName is what the image is called here: a digest says all, and a tag beside it may
// lead elsewhere tomorrow.
func localName(r ref.Ref) string {
	if r.Digest != "" {
		r.Tag = ""
	}
	return r.String()
}

// session is one call's conversation with a registry about one repository.
type session struct {
	link
	ref     ref.Ref
	pace    Pace
	remote  remotes.Resolver
	fetcher remotes.Fetcher
	board   *board
}

// dial prepares a session; nothing is sent yet.
func (c *Client) dial(ctx context.Context, r ref.Ref, auth Auth, b *board) (*session, error) {
	l, err := c.connect(ctx, r.Registry, auth, b.set)
	if err != nil {
		return nil, err
	}
	s := &session{link: l, ref: r, pace: c.c.Pace, board: b, remote: docker.NewResolver(l.resolver())}
	s.fetcher, err = s.remote.Fetcher(ctx, localName(r))
	return s, err
}

// found is an image as the registry describes it; every digest is checked.
type found struct {
	// top is what the reference leads to: an index or the manifest.
	top digest.Digest
	// config is empty for an artifact.
	text, config []byte
	manifest     *v1.Manifest
}

// find follows the reference to the image for the platform.
func (s *session) find(ctx context.Context, want v1.Platform) (found, error) {
	ctx, cancel := context.WithTimeoutCause(quiet(ctx), s.pace.Answer, fault.New(fault.Unavailable, "no answer within "+s.pace.Answer.String()))
	defer cancel()
	_, d, err := s.remote.Resolve(ctx, localName(s.ref))
	if err != nil {
		return found{}, explain(ctx, s.registry(), err)
	}
	f := found{top: d.Digest}
	for range maxNesting {
		if f.text, err = s.small(ctx, d, maxManifest); err != nil {
			return found{}, err
		}
		doc, err := parse(f.text, d.MediaType)
		if err != nil {
			return found{}, err
		}
		if doc.manifest == nil {
			if d, err = choose(doc.index, want); err != nil {
				return found{}, err
			}
			continue
		}
		f.manifest = doc.manifest
		if isArtifact(f.manifest) {
			return f, nil
		}
		if err := checkManifest(f.manifest); err != nil {
			return found{}, err
		}
		f.config, err = s.small(ctx, f.manifest.Config, maxConfig)
		return f, err
	}
	return found{}, invalid("indexes nested too deep")
}

// small reads a text of at most so many bytes and checks it against its descriptor.
func (s *session) small(ctx context.Context, d v1.Descriptor, most int64) ([]byte, error) {
	if err := checkBlob(d, most); err != nil {
		return nil, invalid("%s: %w", d.MediaType, err)
	}
	r, err := s.open(ctx, d, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // only read from
	text, err := io.ReadAll(io.LimitReader(r, d.Size+1))
	if err != nil {
		return nil, explain(ctx, s.registry(), err)
	}
	if have := digest.FromBytes(text); have != d.Digest {
		return nil, invalid("%w: the registry sent %d bytes of %s for %s", errDigest, len(text), have, d.Digest)
	}
	return text, nil
}

// open is source's: URLs that a manifest names are never asked.
func (s *session) open(ctx context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, error) {
	d.URLs = nil
	r, err := s.fetcher.Fetch(quiet(ctx), d)
	if err != nil || offset == 0 {
		return r, err
	}
	at, ok := r.(io.Seeker)
	if !ok {
		return nil, fault.New(fault.Internal, "registry: the library's reader cannot seek")
	}
	_, err = at.Seek(offset, io.SeekStart)
	return r, err
}

func (s *session) note(p Progress) { s.board.set(p) }

func (s *session) registry() string { return s.link.registry }

// layers begins to download what is missing and returns the layers for the store; end
// gives up what is still wanted then.
func (c *Client) layers(ctx context.Context, s *session, all []v1.Descriptor, missing []bool) (layers []image.RemoteLayer, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var held []*download
	for i, d := range all {
		p := Progress{Layer: short(d.Digest), Total: d.Size, Step: call.Exists}
		if missing[i] {
			p.Step = call.Waiting
			one := c.downloads.join(d, s)
			held = append(held, one)
			go one.watch(ctx, s.board)
		}
		s.board.set(p)
		layers = append(layers, c.layer(s, d, missing[i]))
	}
	return layers, func() {
		cancel()
		for _, one := range held {
			one.leave()
		}
	}
}

// layer is one layer for the store, which opens it when it is not there after all.
func (c *Client) layer(s *session, d v1.Descriptor, missing bool) image.RemoteLayer {
	p := Progress{Layer: short(d.Digest), Total: d.Size}
	return image.RemoteLayer{
		Name: short(d.Digest),
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			return c.downloads.read(ctx, d, s, func(at int64) {
				p := p
				p.Step, p.Done = call.Unpacking, at
				s.board.set(p)
			}), nil
		},
		Begin: func() {},
		End: func() {
			if missing {
				p.Step, p.Done = call.Pulled, d.Size
				s.board.set(p)
			}
		},
	}
}
