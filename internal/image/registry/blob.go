package registry

import (
	"context"
	"io"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/registry/call"
)

// blobReader reads a download while it comes. It ends when the blob is whole and its
// digest right; not before.
type blobReader struct {
	ctx  context.Context
	one  *download
	at   int64
	mine source
	// report is told how far it has read once the download is complete.
	report func(at int64)
}

// read opens a blob for reading. When it fails in somebody else's hands, it is asked
// for again from mine.
func (ds *downloads) read(ctx context.Context, d v1.Descriptor, mine source, report func(int64)) io.ReadCloser {
	return &blobReader{ctx: ctx, one: ds.join(d, mine), mine: mine, report: report}
}

// Read waits for what has not come yet.
func (r *blobReader) Read(p []byte) (int, error) {
	for {
		written, done, changed, err := r.one.state()
		switch {
		case done && err != nil && r.one.from != r.mine:
			r.again()
			continue
		case done && err != nil:
			return 0, err
		case r.at < written:
			n, err := r.one.file.ReadAt(p[:min(int64(len(p)), written-r.at)], r.at)
			r.at += int64(n)
			if done {
				r.report(r.at)
			}
			return n, err
		case done:
			return 0, io.EOF
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return 0, fault.Wrap(fault.Unavailable, "", r.ctx.Err())
		}
	}
}

// again goes on with a download of one's own. What was read before came from the
// other one and was perhaps not right: the layer's own digest will say.
func (r *blobReader) again() {
	old := r.one
	r.one = r.one.of.join(old.want, r.mine)
	old.leave()
}

// Close gives the download up.
func (r *blobReader) Close() error {
	r.one.leave()
	return nil
}

// watch tells how much of the blob has come, until ctx ends.
func (one *download) watch(ctx context.Context, b *board) {
	p := Progress{Layer: short(one.want.Digest), Step: call.Downloading, Total: one.want.Size}
	for {
		_, done, changed, _ := one.state()
		if done {
			return
		}
		if p.Done = one.came(); p.Done > 0 {
			b.set(p)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
