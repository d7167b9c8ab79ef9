package image

import (
	"context"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"

	"carob/internal/image/unpack"
)

// flights are the layers being unpacked for whoever waits for them, by the hex of
// their chain ID.
type flights struct {
	mu  sync.Mutex
	all map[string]*flight
}

// flight is one layer being unpacked. It belongs to those who wait: the last one to
// leave cancels it.
type flight struct {
	cancel context.CancelFunc
	// done is closed when nothing of it runs any more.
	done chan struct{}
	// layer and err are set before done is closed.
	layer layer
	err   error
	// waiting is guarded by flights.mu.
	waiting int
}

// rounds bound how often somebody waits for a layer that others fail to unpack, before
// their failure is taken for the layer's.
const rounds = 3

// unpacking is the work of a flight.
type unpacking func(context.Context) (layer, error)

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
		l, leads, err := tx.store.flights.wait(ctx, identity.ChainID(chain).Encoded(), func(ctx context.Context) (layer, error) {
			return unpackLayer(ctx, tx.store, landing{below, chain, open})
		})
		if err == nil {
			tx.unflushed = true
			rec.Layers = append(rec.Layers, l)
			return nil
		}
		if leads || round == rounds || ctx.Err() != nil {
			return err
		}
	}
}

// wait returns when the layer's flight has ended, which fly carries out if there is
// none; leads says that it was this caller's.
func (f *flights) wait(ctx context.Context, hex string, fly unpacking) (l layer, leads bool, err error) {
	f.mu.Lock()
	one, ok := f.all[hex]
	if !ok {
		one = f.beginLocked(ctx, hex, fly)
	}
	one.waiting++
	f.mu.Unlock()
	select {
	case <-one.done:
	case <-ctx.Done():
	}
	f.mu.Lock()
	one.waiting--
	last := one.waiting == 0
	f.mu.Unlock()
	if last {
		one.cancel()
		<-one.done // what it made is gone
	}
	if ctx.Err() != nil {
		return layer{}, !ok, unpack.Explain(ctx, ctx.Err(), &unpack.Meter{})
	}
	return one.layer, !ok, one.err
}

func (f *flights) beginLocked(ctx context.Context, hex string, fly unpacking) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // others may join it
	one := &flight{cancel: cancel, done: make(chan struct{})}
	if f.all == nil {
		f.all = map[string]*flight{}
	}
	f.all[hex] = one
	go func() {
		defer cancel()
		one.layer, one.err = fly(ctx)
		f.mu.Lock()
		delete(f.all, hex)
		f.mu.Unlock()
		close(one.done)
	}()
	return one
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
