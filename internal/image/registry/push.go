package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/registry/call"
	"carob/internal/ref"
)

// Push sends a local image to the registry that its name says and returns the digest it has
// there. Layers that are there, or in another repository of the same registry, are not
// sent. An image whose packed layers are all there keeps the manifest it was pulled by,
// and so its digest; otherwise layers are packed anew and only its ID stays the same.
// The kinds are those of Pull.
func (c *Client) Push(ctx context.Context, name string, o PushOptions) (digest.Digest, error) {
	r, err := remoteRef(name)
	if err == nil && r.Tag == "" {
		err = fault.New(fault.Invalid, "push "+r.Familiar()+": a tag is needed, not a digest")
	}
	if err != nil {
		return "", err
	}
	b := newBoard(o.Progress)
	defer b.close()
	d, err := c.now().push(ctx, r, o, b)
	if err != nil {
		if ctx.Err() != nil {
			err = fault.Wrap(fault.Unavailable, "", ctx.Err())
		}
		return "", fmt.Errorf("push %s: %w", r.Familiar(), err)
	}
	c.c.Log.Info("pushed", "image", r.String(), "digest", d.String())
	return d, nil
}

func (c *Client) push(ctx context.Context, r ref.Ref, o PushOptions, b *board) (_ digest.Digest, err error) {
	img, text, err := c.c.Images.Content(ctx, r.String())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	if img.Image.Artifact {
		return "", fault.New(fault.Unsupported, "it is an artifact's files: pushed from here it would be an image; the tool that made it can push it")
	}
	s, err := c.dial(ctx, r, o.Auth, b)
	if err != nil {
		return "", err
	}
	u := &upload{session: s, scratch: c.c.Images.Scratch, img: img, from: sources(img.Image.Digests, r)}
	if u.pusher, err = s.remote.Pusher(ctx, localName(r)); err != nil {
		return "", err
	}
	m, err := u.manifest(text)
	if err != nil {
		return "", err
	}
	if err := u.layers(ctx, &m); err != nil {
		return "", err
	}
	if err := u.small(ctx, m.Config, img.Config); err != nil {
		return "", err
	}
	if u.repacked {
		if text, err = json.Marshal(m); err != nil {
			return "", err
		}
	}
	d := digest.FromBytes(text)
	if err := u.small(ctx, v1.Descriptor{MediaType: m.MediaType, Digest: d, Size: int64(len(text))}, text); err != nil {
		return "", err
	}
	b.set(Progress{Step: call.Pushed, Text: d.String()})
	return d, c.c.Images.Known(img.Image.ID, r.Name()+"@"+d.String(), text)
}

// sources are the other repositories of the registry that the image was seen in.
func sources(digests []string, to ref.Ref) []string {
	var repos []string
	for _, d := range digests {
		r, err := ref.Parse(d)
		if err == nil && r.Registry == to.Registry && r.Path != to.Path {
			repos = append(repos, r.Path)
		}
	}
	return repos
}

// upload is one push.
type upload struct {
	*session
	pusher  remotes.Pusher
	scratch func() (scratch, error)
	img     *image.Content
	from    []string

	mu sync.Mutex
	// repacked says that the manifest is no longer the one it was pulled by.
	repacked bool
}

// manifest begins with the one the image was pulled by, or with a new one.
func (u *upload) manifest(text []byte) (m v1.Manifest, err error) {
	if len(text) > 0 {
		if err := json.Unmarshal(text, &m); err != nil {
			return m, fault.Wrap(fault.Internal, "the stored manifest", err)
		}
		if len(m.Layers) == len(u.img.Layers) {
			if m.MediaType == "" {
				m.MediaType = v1.MediaTypeImageManifest
			}
			return m, nil
		}
	}
	u.repacked = true
	return v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.FromBytes(u.img.Config), Size: int64(len(u.img.Config))},
		Layers: make([]v1.Descriptor, len(u.img.Layers)),
	}, nil
}

// maxUploads is how many layers are packed and sent at a time.
const maxUploads = 3

// layers sees to it that the registry has all layers, and writes into m what they are
// called there.
func (u *upload) layers(ctx context.Context, m *v1.Manifest) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, maxUploads)
	var all sync.WaitGroup
	for i := range m.Layers {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return
			}
			if err := u.layer(ctx, m, i); err != nil {
				cancel(fmt.Errorf("layer %s: %w", short(u.img.Layers[i].DiffID), err))
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (u *upload) layer(ctx context.Context, m *v1.Manifest, i int) error {
	d := m.Layers[i] // each goroutine has its own
	if d.Digest != "" {
		step, ok, err := u.there(ctx, d)
		if err != nil {
			return err
		}
		if ok {
			u.note(Progress{Layer: short(d.Digest), Step: step, Total: d.Size})
			return nil
		}
	}
	f, packed, err := u.pack(ctx, u.img.Layers[i])
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it has no name
	if m.MediaType == dockerManifest {
		packed.MediaType = dockerLayer
	}
	if packed.Digest != d.Digest {
		m.Layers[i] = packed
		u.mu.Lock()
		u.repacked = true
		u.mu.Unlock()
	}
	return u.blob(ctx, packed, f, short(u.img.Layers[i].DiffID))
}

// there tells whether the repository has the blob, or gets it from another one of the
// registry.
func (u *upload) there(ctx context.Context, d v1.Descriptor) (call.Step, bool, error) {
	if f, ok := u.fetcher.(remotes.FetcherByDigest); ok {
		r, _, err := f.FetchByDigest(quiet(ctx), d.Digest)
		if err == nil {
			return call.Exists, true, r.Close() // nothing was read: only HEAD was asked
		}
	}
	if len(u.from) == 0 || ctx.Err() != nil {
		return "", false, ctx.Err()
	}
	host := (&url.URL{Host: u.ref.Registry}).Hostname() // the library's key has no port
	d.Annotations = map[string]string{"containerd.io/distribution.source." + host: strings.Join(u.from, ",")}
	ctx, cancel := context.WithCancel(quiet(ctx))
	defer cancel() // an upload that began instead of a mount is given up
	w, err := u.pusher.Push(ctx, d)
	switch {
	case errdefs.IsAlreadyExists(err):
		return call.Mounted, true, nil
	case err != nil:
		return "", false, explain(ctx, u.registry(), err)
	}
	_ = w.Close() // nothing was written
	return "", false, nil
}

// small sends a text.
func (u *upload) small(ctx context.Context, d v1.Descriptor, text []byte) error {
	return u.send(ctx, d, strings.NewReader(string(text)), func(int64) {})
}

// blob sends a packed layer and tells under the layer's name how far that is.
func (u *upload) blob(ctx context.Context, d v1.Descriptor, r io.ReadSeeker, name string) error {
	p := Progress{Layer: name, Total: d.Size}
	err := u.send(ctx, d, r, func(n int64) {
		p.Step, p.Done = call.Uploading, n
		u.note(p)
	})
	if err == nil {
		p.Step, p.Done = call.Pushed, d.Size
		u.note(p)
	}
	return err
}

// send sends a blob or a manifest, again from its start while the connection breaks.
func (u *upload) send(ctx context.Context, d v1.Descriptor, r io.ReadSeeker, report func(int64)) error {
	for attempt := 1; ; attempt++ {
		err := u.once(ctx, d, r, report)
		if err == nil || ctx.Err() != nil || attempt >= u.pace.Attempts || !worthRetrying(err) {
			return err
		}
		pause, _ := u.pace.pause(attempt, nil, time.Time{})
		u.note(Progress{Step: call.Retrying, Text: err.Error()})
		if err := wait(ctx, pause); err != nil {
			return err
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
}

func (u *upload) once(ctx context.Context, d v1.Descriptor, r io.ReadSeeker, report func(int64)) error {
	ctx, cancel := context.WithCancelCause(quiet(ctx))
	defer cancel(nil)
	out, err := u.pusher.Push(ctx, d)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return explain(ctx, u.registry(), err)
	}
	defer func() { _ = out.Close() }() // after a commit this does nothing
	w := watchdog{pace: u.pace, cancel: cancel}
	stop := w.start()
	err = content.Copy(ctx, out, &counted{r, &w, report}, d.Size, d.Digest)
	stop()
	if err != nil {
		return explain(ctx, u.registry(), err)
	}
	return nil
}

// counted tells the watchdog and the user how much has been read.
type counted struct {
	io.ReadSeeker
	w      *watchdog
	report func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.report(c.w.seen.Add(int64(n)))
	return n, err
}
