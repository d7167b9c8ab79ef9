package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image"
	"carob/internal/image/registry/call"
)

// scratch is a file without a name.
type scratch = *os.File

// pack writes a layer's tar, packed with gzip, to a file that is gone when it is closed.
// The same tar gives the same bytes, as long as carob packs it with the same library.
func (u *upload) pack(ctx context.Context, l image.LayerTar) (scratch, v1.Descriptor, error) {
	f, err := u.scratch()
	if err != nil {
		return nil, v1.Descriptor{}, fault.Wrap(fault.Unavailable, "pack", err)
	}
	d, err := u.packInto(ctx, f, l)
	if err != nil {
		return nil, d, errors.Join(err, f.Close())
	}
	return f, d, nil
}

func (u *upload) packInto(ctx context.Context, f scratch, l image.LayerTar) (d v1.Descriptor, err error) {
	sum := sha256.New()
	z := gzip.NewWriter(io.MultiWriter(f, sum))
	if err := l.Write(ctx, &packing{Writer: z, u: u, p: Progress{Layer: short(l.DiffID), Step: call.Packing, Total: l.Size}}); err != nil {
		return d, err
	}
	if err := z.Close(); err != nil {
		return d, fault.Wrap(fault.Unavailable, "pack", err)
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: digest.NewDigest(digest.SHA256, sum), Size: size}, err
}

// packing tells how much of the tar has been packed.
type packing struct {
	io.Writer
	u *upload
	p Progress
}

func (w *packing) Write(b []byte) (int, error) {
	n, err := w.Writer.Write(b)
	w.p.Done += int64(n)
	w.u.note(w.p)
	return n, err
}
