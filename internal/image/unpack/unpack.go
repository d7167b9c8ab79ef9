package unpack

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"

	"carob/internal/fault"
	"carob/internal/sys/disk"
)

// Blob is one layer on its way in.
type Blob struct {
	// R is the packed or plain tar.
	R io.Reader
	// Packed and Plain are the digests R must have before and after decompression;
	// empty when nobody knows them, or R's end already says that it is right.
	Packed, Plain digest.Digest
	// Empty says that a tar without files is a layer too.
	Empty bool
	// Stop, if there is one, makes R's Read return: then R may be read ahead.
	Stop func()
}

// Layer writes a layer below dir, an empty directory that nobody else knows, and
// returns the digest of the plain tar; beside dir, with RecordSuffix, it leaves the
// record the tar can be made from again. After an error it may have left anything
// there. Invalid is the archive's fault, Unavailable the machine's or ctx's.
func Layer(ctx context.Context, dir string, b Blob, o Options) (digest.Digest, error) {
	packed, plain := hash.Hash(nothing{}), sha256.New()
	if b.Packed != "" {
		packed = sha256.New()
	}
	outer := NewMeter(ctx, b.R, o.Limits.Archive)
	packedTar := io.TeeReader(outer, packed)
	plainTar, err := b.decompress(packedTar)
	if err != nil {
		return "", Explain(ctx, err, outer)
	}
	defer plainTar.Close()
	// A tar is longer than its files: a header and padding for each.
	inner := NewMeter(ctx, plainTar, o.Limits.Layer+int64(o.Limits.Entries)*1024)
	rec, err := newRecording(dir + RecordSuffix)
	if err != nil {
		return "", err
	}
	tee := io.TeeReader(inner, io.MultiWriter(plain, rec))
	g := newGuard(o.Limits)
	err = o.apply(ctx, dir, tee, rec.beside(g))
	// What follows the end mark belongs to the digests, if not to the tree.
	for _, rest := range []io.Reader{tee, packedTar} {
		if err == nil {
			_, err = io.Copy(io.Discard, rest)
		}
	}
	if e := rec.close(); err == nil {
		err = e
	}
	if err != nil {
		return "", Explain(ctx, err, outer)
	}
	if b.Packed != "" && digest.NewDigest(digest.SHA256, packed) != b.Packed {
		return "", Invalid("wrong digest: this is not %s", b.Packed)
	}
	have := digest.NewDigest(digest.SHA256, plain)
	if b.Plain != "" {
		if have != b.Plain {
			return "", Invalid("wrong digest: unpacked it is %s, not %s", have, b.Plain)
		}
		return have, nil
	}
	return have, whole(g, inner, b.Empty)
}

// nothing stands for a digest that nobody asks for.
type nothing struct{ hash.Hash }

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

// decompress is Decompress, ahead of what is wanted if that is allowed.
func (b Blob) decompress(r io.Reader) (io.ReadCloser, error) {
	plain, err := Decompress(r)
	if err == nil && b.Stop != nil {
		plain = readAhead(plain, b.Stop)
	}
	return plain, err
}

// whole is all that can be said of a tar whose digest nobody knows.
func whole(g *guard, tar *Meter, empty bool) error {
	if g.entries == 0 && !empty {
		return Invalid("no tar archive, or one without files")
	}
	if tar.zeros < 512 {
		return Invalid("truncated: the end mark is missing")
	}
	return nil
}

// Options are what all layers of an image are unpacked with.
type Options struct {
	Limits Limits
	// Parents are the layers below, top first: directories that the tar does not describe
	// look as they do there.
	Parents []string
}

// apply is the one place that writes what archives say. Without root every file
// belongs to whoever runs this.
func (o Options) apply(ctx context.Context, dir string, r io.Reader, check archive.Filter) error {
	opts := []archive.ApplyOpt{
		archive.WithFilter(check),
		archive.WithConvertWhiteout(archive.OverlayConvertWhiteout),
		archive.WithParents(o.Parents),
	}
	if os.Geteuid() != 0 {
		opts = append(opts, archive.WithNoSameOwner())
	}
	if _, err := archive.Apply(Quiet(ctx), dir, r, opts...); err != nil {
		return &unpackError{dir: dir, cause: err}
	}
	return nil
}

// Quiet keeps the unpacker's warnings (an xattr the file system cannot hold) out of
// the process's log, which is not the library's.
func Quiet(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(l))
}

// unpackError shows paths as the archive's author knows them.
type unpackError struct {
	dir   string
	cause error
}

// Error is one line whatever names the archive holds.
func (e *unpackError) Error() string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ReplaceAll(e.cause.Error(), e.dir, ""))
}

func (e *unpackError) Unwrap() error { return e.cause }

// Explain tells whose fault it was: the caller's patience, the machine, the source
// that was read from, or the archive.
func Explain(ctx context.Context, err error, from *Meter) error {
	var f *fault.Error
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Unavailable, "", ctx.Err())
	case disk.Troubled(err):
		return fault.Wrap(fault.Unavailable, "", err)
	case errors.As(err, &f):
		return err
	case from.failed() != nil:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Wrap(fault.Invalid, "truncated", err)
	}
	return fault.Wrap(fault.Invalid, "", err)
}
