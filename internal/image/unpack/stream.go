package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
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
	zeros int // at the end so far

	mu  sync.Mutex
	err error // what the source said, other than io.EOF
}

// failed is what the source said, other than io.EOF; it may be asked while others read.
func (m *Meter) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *Meter) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// NewMeter lets left bytes of r pass.
func NewMeter(ctx context.Context, r io.Reader, left int64) *Meter {
	return &Meter{ctx: ctx, r: r, left: left}
}

// Read is io.Reader.
func (m *Meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		m.fail(err)
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
		m.fail(err)
	}
	return n, err
}

// aheadSize and aheadCount are what is decompressed before it is wanted: enough that
// neither side waits for the other at each file.
const (
	aheadSize  = 256 << 10
	aheadCount = 8
)

// ahead reads a stream in a goroutine of its own: decompressing a layer and writing its
// files are two processors' work.
type ahead struct {
	from io.ReadCloser
	stop func()
	full chan []byte
	free chan []byte
	quit chan struct{}
	rest []byte // of the buffer in hand
	hand []byte
	err  error // why full was closed
}

// readAhead begins to read from; Close ends that, calling stop so that a Read that waits
// returns, and closes from.
func readAhead(from io.ReadCloser, stop func()) io.ReadCloser {
	a := &ahead{from: from, stop: stop, full: make(chan []byte, aheadCount), free: make(chan []byte, aheadCount), quit: make(chan struct{})}
	go a.run()
	return a
}

// buffer is one that is free, a new one while there are few, or nil at the end: most
// layers need no second one.
func (a *ahead) buffer(made *int) []byte {
	select {
	case buf := <-a.free:
		return buf
	default:
	}
	if *made < aheadCount {
		*made++
		return make([]byte, aheadSize)
	}
	select {
	case buf := <-a.free:
		return buf
	case <-a.quit:
		return nil
	}
}

func (a *ahead) run() {
	defer close(a.full)
	for made := 0; a.err == nil; {
		buf := a.buffer(&made)
		if buf == nil {
			return
		}
		n := 0
		for n < len(buf) && a.err == nil {
			var m int
			m, a.err = a.from.Read(buf[n:])
			n += m
		}
		a.full <- buf[:n] // there is room for every buffer
	}
}

// Read returns what was read ahead.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.hand != nil {
			a.free <- a.hand[:aheadSize]
			a.hand = nil
		}
		var ok bool
		if a.hand, ok = <-a.full; !ok {
			return 0, a.err
		}
		a.rest = a.hand
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close ends the goroutine and waits for it.
func (a *ahead) Close() error {
	close(a.quit)
	a.stop()
	for range a.full { // until it is closed
	}
	return a.from.Close()
}
