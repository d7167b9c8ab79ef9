package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"carob/internal/fault"
	"carob/internal/image/partial"
	"carob/internal/image/registry/call"
)

// source is where a blob comes from: somebody's registry and credentials.
type source interface {
	// open returns the blob from an offset on.
	open(ctx context.Context, d v1.Descriptor, offset int64) (io.ReadCloser, error)
	note(Progress)
	registry() string
}

// downloads are the blobs that somebody wants at this moment, by digest.
type downloads struct {
	files    *partial.Dir
	ending   func() bool
	pace     Pace
	received func(n int)

	mu    sync.Mutex
	all   map[digest.Digest]*download
	lanes map[string]*lane // by registry
}

func newDownloads(c Config) *downloads {
	return &downloads{
		files: c.Images.Partials(), ending: c.Ending, pace: c.Pace, received: c.Received,
		all: map[digest.Digest]*download{}, lanes: map[string]*lane{},
	}
}

// maxPerRegistry is how many blobs are downloaded from one registry at a time.
const maxPerRegistry = 4

// lane lets so many downloads of one registry run at a time, in the order of their
// coming: a pull wants its lowest layer first. downloads.mu guards it.
type lane struct {
	running int
	waiting []*download
}

// download is one blob on its way. It belongs to its readers: with the last it is
// cancelled, and its file goes, unless the daemon is what ends.
type download struct {
	of     *downloads
	want   v1.Descriptor
	from   source
	cancel context.CancelFunc
	turn   chan struct{} // closed when it may begin
	ended  chan struct{} // closed when nothing of it runs any more
	file   *partial.File // set before written is more than 0

	refs int // guarded by downloads.mu

	mu      sync.Mutex
	written int64
	// held keeps the readers waiting until the whole is checked: its beginning was found on
	// the disk.
	held    bool
	done    bool
	err     error
	changed chan struct{} // closed and replaced at every change
}

// join returns the download of a blob, beginning one if nobody has. Every join needs a
// leave.
func (ds *downloads) join(d v1.Descriptor, from source) *download {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	one, ok := ds.all[d.Digest]
	if !ok || one.want.Size != d.Size {
		one = ds.beginLocked(d, from)
	}
	one.refs++
	return one
}

func (ds *downloads) beginLocked(d v1.Descriptor, from source) *download {
	ctx, cancel := context.WithCancel(context.Background()) // it belongs to several calls
	one := &download{
		of: ds, want: d, from: from, cancel: cancel,
		turn: make(chan struct{}), ended: make(chan struct{}), changed: make(chan struct{}),
	}
	ds.all[d.Digest] = one
	l := ds.lanes[from.registry()]
	if l == nil {
		l = &lane{}
		ds.lanes[from.registry()] = l
	}
	if l.running < maxPerRegistry {
		l.running++
		close(one.turn)
	} else {
		l.waiting = append(l.waiting, one)
	}
	go func() {
		defer close(one.ended)
		one.finish(one.run(ctx))
	}()
	return one
}

// leave gives up what join returned; with the last reader everything of it is gone when
// leave returns.
func (one *download) leave() {
	ds := one.of
	ds.mu.Lock()
	one.refs--
	last := one.refs == 0
	if last && ds.all[one.want.Digest] == one {
		delete(ds.all, one.want.Digest)
	}
	ds.mu.Unlock()
	if !last {
		return
	}
	one.cancel()
	<-one.ended
	if one.file == nil {
		return
	}
	if one.of.ending() && (one.err == nil || errors.Is(one.err, context.Canceled)) {
		_ = one.file.Keep() // nobody reads it here any more
		return
	}
	_ = one.file.Drop() // what is not removed now, Sweep removes
}

// finish tells the readers, and lets the next download of the registry begin. One that
// failed is not found by those who come later.
func (one *download) finish(err error) {
	ds := one.of
	ds.mu.Lock()
	if err != nil && ds.all[one.want.Digest] == one {
		delete(ds.all, one.want.Digest)
	}
	l := ds.lanes[one.from.registry()]
	l.pass(one)
	if l.running == 0 {
		delete(ds.lanes, one.from.registry())
	}
	ds.mu.Unlock()
	one.mu.Lock()
	defer one.mu.Unlock()
	one.done, one.err = true, err
	close(one.changed)
}

// pass gives a lane's place to the next one.
func (l *lane) pass(one *download) {
	for i, w := range l.waiting {
		if w == one { // it never began
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return
		}
	}
	if len(l.waiting) == 0 {
		l.running--
		return
	}
	close(l.waiting[0].turn)
	l.waiting = l.waiting[1:]
}

// state is what a reader needs to know: how much may be read, and err is why it is done,
// if it failed.
func (one *download) state() (readable int64, done bool, changed <-chan struct{}, err error) {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.held && !one.done {
		return 0, false, one.changed, nil
	}
	return one.written, one.done, one.changed, one.err
}

// came is how much of the blob is here.
func (one *download) came() int64 {
	one.mu.Lock()
	defer one.mu.Unlock()
	return one.written
}

// wrote adds n bytes to what may be read.
func (one *download) wrote(n int) {
	one.of.received(n)
	one.mu.Lock()
	defer one.mu.Unlock()
	one.written += int64(n)
	close(one.changed)
	one.changed = make(chan struct{})
}

func (one *download) run(ctx context.Context) error {
	select {
	case <-one.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	if one.file, err = one.of.files.Take(one.want.Digest); err != nil {
		return fault.Wrap(fault.Unavailable, "download", err)
	}
	sum := sha256.New()
	if have := one.file.Have; have > 0 && have <= one.want.Size {
		if _, err := io.Copy(sum, io.NewSectionReader(one.file, 0, have)); err != nil {
			return fault.Wrap(fault.Unavailable, "download", err)
		}
		one.begin(have)
	}
	err = one.whole(ctx, sum)
	if one.held && errors.Is(err, errDigest) { // what was found was wrong, not what came
		sum.Reset()
		one.begin(0)
		err = one.whole(ctx, sum)
	}
	return err
}

// begin says where the download goes on.
func (one *download) begin(at int64) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.written, one.held = at, at > 0
}

// whole gets what is missing and checks the digest.
func (one *download) whole(ctx context.Context, sum hash.Hash) error {
	if one.written < one.want.Size || one.want.Size == 0 {
		if err := one.fetch(ctx, sum); err != nil {
			return explain(ctx, one.from.registry(), err)
		}
	}
	if have := digest.NewDigest(digest.SHA256, sum); have != one.want.Digest {
		return invalid("%w: the registry sent %s", errDigest, have)
	}
	return nil
}

// fetch gets the whole blob, over several connections if it must be.
func (one *download) fetch(ctx context.Context, sum hash.Hash) error {
	p := one.of.pace
	for failures := 0; ; {
		before := one.written
		err := one.stretch(ctx, sum)
		if err == nil || ctx.Err() != nil || !worthRetrying(err) {
			return err
		}
		if one.written-before >= p.Least {
			failures = 0
		}
		if failures++; failures >= p.Attempts {
			return err
		}
		pause, _ := p.pause(failures, nil, time.Time{})
		one.from.note(Progress{Layer: short(one.want.Digest), Step: call.Retrying, Done: one.written, Total: one.want.Size, Text: err.Error()})
		if err := wait(ctx, pause); err != nil {
			return err
		}
	}
}

// worthRetrying is a connection that broke or stalled. What the gate and the library
// have tried again already, and what is wrong itself, is not.
func worthRetrying(err error) bool {
	return errors.Is(err, errStalled) || broken(err)
}

var errStalled = errors.New("the registry sends next to nothing")

// stretch reads from one connection until it ends.
func (one *download) stretch(ctx context.Context, sum hash.Hash) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := one.from.open(ctx, one.want, one.written)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // nothing more is wanted of it
	w := watchdog{pace: one.of.pace, cancel: cancel}
	defer w.start()()
	buf := make([]byte, min(256<<10, one.want.Size+1)) // one more than what is wanted shows that more comes
	for {
		n, err := r.Read(buf)
		w.seen.Add(int64(n))
		if int64(n) > one.want.Size-one.written {
			return invalid("the registry sends more than the %d bytes that the manifest says", one.want.Size)
		}
		if n > 0 {
			sum.Write(buf[:n])
			if _, err := one.file.WriteAt(buf[:n], one.written); err != nil {
				return fault.Wrap(fault.Unavailable, "download", err)
			}
			one.wrote(n)
		}
		switch {
		case errors.Is(err, io.EOF) && one.written == one.want.Size:
			return nil
		case errors.Is(err, io.EOF):
			return fault.Wrap(fault.Unavailable, fmt.Sprintf("the registry sent %d of %d bytes", one.written, one.want.Size), io.ErrUnexpectedEOF)
		case context.Cause(ctx) != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		}
	}
}

// watchdog cancels a connection that brings less than the pace demands.
type watchdog struct {
	pace   Pace
	cancel context.CancelCauseFunc
	seen   atomic.Int64
	last   int64
	timer  *time.Timer
	mu     sync.Mutex
}

// start begins to watch; what it returns ends that.
func (w *watchdog) start() (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.pace.Window, w.look)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.timer.Stop()
		w.timer = nil
	}
}

func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil {
		return
	}
	now := w.seen.Load()
	if got := now - w.last; got < w.pace.Least {
		w.cancel(fault.Wrap(fault.Unavailable, fmt.Sprintf("%d bytes in %s", got, w.pace.Window), errStalled))
		return
	}
	w.last = now
	w.timer.Reset(w.pace.Window)
}

func short(d digest.Digest) string { return d.Encoded()[:12] }
