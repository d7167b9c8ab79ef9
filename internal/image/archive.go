package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"carob/internal/image/bundle"
	"carob/internal/image/unpack"
)

// Load adds the images of an archive made by "docker save", "podman save", skopeo
// and the like: docker-archive or oci-archive, plain or packed with gzip, zstd,
// xz or bzip2. All of the archive's images arrive, or none. Each is returned with
// the names that the archive gives it. Cancelling ctx undoes it.
func (s *Store) Load(ctx context.Context, r io.Reader) ([]Image, error) {
	tx := &transaction{store: s}
	imgs, err := tx.load(ctx, r)
	if e := tx.end(); err == nil && e != nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("image archive: %w", err)
	}
	return imgs, nil
}

func (tx *transaction) load(ctx context.Context, r io.Reader) ([]Image, error) {
	t, err := tx.store.holds.temp("archive-")
	if err != nil {
		return nil, err
	}
	tx.temps = append(tx.temps, t)
	f, err := spool(ctx, filepath.Join(t.dir, "archive"), r, tx.store.limits)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	wanted, err := bundle.Images(ctx, f, tx.store.limits)
	if err != nil {
		return nil, err
	}
	arrivals := make([]arrival, len(wanted))
	for i, p := range wanted {
		if arrivals[i], err = tx.loadOne(ctx, p); err != nil {
			return nil, err
		}
	}
	imgs, err := tx.commit(arrivals)
	for i := range imgs {
		imgs[i].Names = nil
		for _, n := range arrivals[i].names {
			imgs[i].Names = append(imgs[i].Names, familiar(n))
		}
	}
	return imgs, err
}

func (tx *transaction) loadOne(ctx context.Context, p bundle.Image) (arrival, error) {
	a := arrival{config: p.Config, names: p.Names, record: record{Config: p.Parsed.Config}}
	if p.Parsed.Created != nil {
		a.record.Created = p.Parsed.Created.UTC()
	}
	for i, l := range p.Layers {
		b := unpack.Blob{R: l.R, Packed: l.Digest, Plain: p.Parsed.RootFS.DiffIDs[i]}
		if _, err := tx.add(ctx, &a.record, p.Parsed.RootFS.DiffIDs[:i], b); err != nil {
			return arrival{}, fmt.Errorf("layer %.200s: %w", l.Member, err)
		}
	}
	return a, nil
}

// spool writes the archive, without its outer packing, to a file: its parts come in
// any order.
func spool(ctx context.Context, path string, r io.Reader, l unpack.Limits) (*os.File, error) {
	source := unpack.NewMeter(ctx, r, l.Archive)
	plain, err := unpack.Decompress(source)
	if err != nil {
		return nil, unpack.Explain(ctx, err, source)
	}
	defer plain.Close()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, unpack.NewMeter(ctx, plain, l.Archive)); err != nil {
		return nil, errors.Join(unpack.Explain(ctx, err, source), f.Close())
	}
	return f, nil
}
