package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// maxWindow is the memory a zstd frame or an xz stream may ask for; --ultra --long=27
// needs this, xz -9 half of it.
const maxWindow = 128 << 20

// Decompress finds out by its first bytes how a stream is packed: not at all, with
// gzip, zstd, or as root file systems often are: xz or bzip2. (Of the two libraries for
// xz this one bounds the memory a stream may ask for, and is ten times faster.) Closing the result does not close r.
func Decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case len(head) == 0:
		return nil, Invalid("the archive is empty")
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(b)
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case bytes.HasPrefix(head, []byte("\xfd7zXZ")):
		x, err := xz.NewReader(b, maxWindow)
		return io.NopCloser(x), err
	case bytes.HasPrefix(head, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(b)), nil
	}
	return io.NopCloser(b), nil
}

// Meter passes a stream on, ends it with an error beyond a limit or when ctx is
// done, and remembers whether it ended in zeros, as every whole tar does.
type Meter struct {
	ctx   context.Context
	r     io.Reader
	left  int64
	zeros int   // at the end so far
	err   error // what the source said, other than io.EOF
}

// NewMeter lets left bytes of r pass.
func NewMeter(ctx context.Context, r io.Reader, left int64) *Meter {
	return &Meter{ctx: ctx, r: r, left: left}
}

// Read is io.Reader.
func (m *Meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		m.err = err
		return 0, err
	}
	n, err := m.r.Read(p)
	m.left -= int64(n)
	if tail := len(bytes.TrimRight(p[:n], "\x00")); tail == 0 {
		m.zeros += n
	} else {
		m.zeros = n - tail
	}
	if m.left < 0 {
		err = Invalid("larger than the store accepts")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}
