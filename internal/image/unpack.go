package image

import (
	"context"
	"crypto/sha256"
	"errors"
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

// blob is one layer on its way in.
type blob struct {
	// r is the packed or plain tar.
	r io.Reader
	// packed and plain are the digests r must have before and after decompression;
	// empty when nobody knows them, or r's end already says that it is right.
	packed, plain digest.Digest
}

// unpack writes a layer below dir, an empty directory that nobody else knows, and
// returns the digest of the plain tar. parents are the layers below, top first:
// directories that the tar does not describe look as they do there.
func unpack(ctx context.Context, dir string, b blob, u unpacker) (digest.Digest, error) {
	packed, plain := sha256.New(), sha256.New()
	outer := &meter{ctx: ctx, r: b.r, left: u.limits.archive}
	packedTar := io.TeeReader(outer, packed)
	plainTar, err := decompress(packedTar)
	if err != nil {
		return "", explain(ctx, err, outer)
	}
	defer plainTar.Close()
	// A tar is longer than its files: a header and padding for each.
	inner := &meter{ctx: ctx, r: plainTar, left: u.limits.layer + int64(u.limits.entries)*1024}
	tee := io.TeeReader(inner, plain)
	g := newGuard(u.limits)
	err = u.apply(ctx, dir, tee, g)
	// What follows the end mark belongs to the digests, if not to the tree.
	for _, rest := range []io.Reader{tee, packedTar} {
		if err == nil {
			_, err = io.Copy(io.Discard, rest)
		}
	}
	if err != nil {
		return "", explain(ctx, err, outer)
	}
	if b.packed != "" && digest.NewDigest(digest.SHA256, packed) != b.packed {
		return "", invalid("wrong digest: this is not %s", b.packed)
	}
	have := digest.NewDigest(digest.SHA256, plain)
	if b.plain != "" {
		if have != b.plain {
			return "", invalid("wrong digest: unpacked it is %s, not %s", have, b.plain)
		}
		return have, nil
	}
	return have, whole(g, inner)
}

// whole is all that can be said of a tar whose digest nobody knows.
func whole(g *guard, tar *meter) error {
	if g.entries == 0 {
		return invalid("no tar archive, or one without files")
	}
	if tar.zeros < 512 {
		return invalid("truncated: the end mark is missing")
	}
	return nil
}

// unpacker is what all layers of an image are unpacked with.
type unpacker struct {
	limits  limits
	parents []string
}

// apply is the one place that writes what archives say. Without root every file
// belongs to whoever runs this.
func (u unpacker) apply(ctx context.Context, dir string, r io.Reader, g *guard) error {
	opts := []archive.ApplyOpt{
		archive.WithFilter(g.check),
		archive.WithConvertWhiteout(archive.OverlayConvertWhiteout),
		archive.WithParents(u.parents),
	}
	if os.Geteuid() != 0 {
		opts = append(opts, archive.WithNoSameOwner())
	}
	if _, err := archive.Apply(quiet(ctx), dir, r, opts...); err != nil {
		return &unpackError{dir: dir, cause: err}
	}
	return nil
}

// quiet keeps the unpacker's warnings (an xattr the file system cannot hold) out of
// the process's log, which is not the library's.
func quiet(ctx context.Context) context.Context {
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

// explain tells whose fault it was: the caller's patience, the machine, the source
// that was read from, or the archive.
func explain(ctx context.Context, err error, from *meter) error {
	var f *fault.Error
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Unavailable, "", ctx.Err())
	case disk.Troubled(err):
		return fault.Wrap(fault.Unavailable, "", err)
	case errors.As(err, &f):
		return err
	case from.err != nil:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Wrap(fault.Invalid, "truncated", err)
	}
	return fault.Wrap(fault.Invalid, "", err)
}
