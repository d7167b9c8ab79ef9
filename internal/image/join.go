package image

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"carob/internal/image/unpack"
)

// rounds bound how often somebody waits for a layer that others fail to unpack, before
// their failure is taken for the layer's.
const rounds = 3

// join puts the layer with the last of the diff IDs on those of rec: one that is here,
// one that is being unpacked, or the blob that open returns.
func (tx *transaction) join(ctx context.Context, rec *record, chain []digest.Digest, open func(context.Context) (io.ReadCloser, error)) error {
	l, ok := tx.present(ctx, chain)
	if ok {
		rec.Layers = append(rec.Layers, l)
		return nil
	}
	below := *rec
	for round := 1; ; round++ {
		l, leads, err := tx.store.flights.Wait(ctx, identity.ChainID(chain).Encoded(), func(ctx context.Context) (layer, error) {
			return unpackLayer(ctx, tx.store, landing{below, chain, open})
		})
		if err == nil {
			rec.Layers = append(rec.Layers, l)
			return nil
		}
		if leads || round == rounds || ctx.Err() != nil {
			return err
		}
	}
}

// landing is a layer to be put on those below it.
type landing struct {
	below record
	chain []digest.Digest // with the layer's own diff ID last
	open  func(context.Context) (io.ReadCloser, error)
}

// unpackLayer puts one layer in place, in a transaction of its own: the layer is kept
// by those who wait for it.
func unpackLayer(ctx context.Context, s *Store, to landing) (layer, error) {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	r, err := to.open(reading)
	if err != nil {
		return layer{}, err
	}
	defer r.Close()
	tx := &transaction{store: s}
	n := len(to.chain) - 1
	_, err = tx.add(ctx, &to.below, to.chain[:n], unpack.Blob{R: r, Plain: to.chain[n], Stop: stop})
	if e := tx.end(); err == nil {
		err = e
	}
	if err != nil {
		return layer{}, err
	}
	return to.below.Layers[n], nil
}
