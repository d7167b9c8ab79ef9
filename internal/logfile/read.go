package logfile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// maxLine bounds the memory for one line. The supervisor writes parts of at most
// 16 KiB; what is longer is shown in pieces as foreign text.
const maxLine = 256 << 10

// Options say which part of a log is shown, and how.
type Options struct {
	// Tail shows only the last so many whole lines; negative shows all.
	Tail int
	// Since and Until bound the time of a line's first part; zero does not.
	Since, Until time.Time
	// Timestamps puts the line's time and a space before each line.
	Timestamps bool
	// Ended, when not nil, asks to follow: Read goes on until the channel is closed
	// and what was written before has been shown.
	Ended <-chan struct{}
}

// Read copies the log at path, from the oldest of its files on, to stdout and stderr. While
// following it survives rotation, by whoever: it reads the renamed file to its end and goes
// on in the next one. It waits for inotify, never polls. A cancelled ctx ends it with ctx's
// error between two lines; closing the writers ends it within one.
func Read(ctx context.Context, path string, o Options, stdout, stderr io.Writer) error {
	r := &reader{path: path, o: o, out: [2]*bufio.Writer{
		bufio.NewWriterSize(stdout, 32<<10), bufio.NewWriterSize(stderr, 32<<10),
	}}
	defer func() { closeAll(r.files) }()
	if o.Ended == nil {
		return r.all(ctx)
	}
	return r.follow(ctx)
}

type reader struct {
	path  string
	files []*os.File // still to be shown, the present one first
	o     Options
	// out is empty whenever the reader waits, and when it goes from one stream to the
	// other, so that two streams on one terminal keep their order.
	out [2]*bufio.Writer

	tail []starts // of the files, if only the end is to be shown
	from starts   // per stream: lines of the present file before are not shown
	at   int64    // offset of buf's first byte
	buf  []byte
	mid  [2]bool // the stream is within a line that was begun
	skip [2]bool // that line is outside the time bounds
	line []byte  // scratch
}

// all shows what there is now.
func (r *reader) all(ctx context.Context) error {
	if err := r.start(); err != nil {
		return err
	}
	return r.rest(ctx)
}

// start opens the files there are now and finds the place to begin at.
func (r *reader) start() (err error) {
	if r.files, err = open(r.path, nil); err == nil && len(r.files) == 0 {
		err = &fs.PathError{Op: "open", Path: r.path, Err: fs.ErrNotExist}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(fault.NotFound, "log", err)
	case err != nil:
		return fault.Wrap(fault.Internal, "log", err)
	}
	if r.o.Tail >= 0 {
		if r.tail, err = tail(r.files, r.o.Tail); err != nil {
			return fault.Wrap(fault.Internal, "log", err)
		}
		skipped := len(r.files) - len(r.tail)
		closeAll(r.files[:skipped])
		r.files = r.files[skipped:]
	}
	return r.enter()
}

// enter begins with the first of the files.
func (r *reader) enter() error {
	r.at, r.from = 0, starts{}
	if len(r.tail) > 0 {
		r.from, r.tail = r.tail[0], r.tail[1:]
		r.at = min(r.from[0], r.from[1])
	}
	if _, err := r.files[0].Seek(r.at, io.SeekStart); err != nil {
		return fault.Wrap(fault.Internal, "log", err)
	}
	return nil
}

// rest shows the files that are open, each to its end.
func (r *reader) rest(ctx context.Context) error {
	for {
		if err := r.drain(ctx); err != nil {
			return err
		}
		if err := r.flush(); err != nil || len(r.files) == 1 {
			return err
		}
		if err := r.leave(); err != nil {
			return err
		}
	}
}

// leave goes on in the next file.
func (r *reader) leave() error {
	_ = r.files[0].Close() // only read from
	r.files = r.files[1:]
	return r.enter()
}

func (r *reader) follow(ctx context.Context) error {
	w, err := fd.NewWatch(filepath.Dir(r.path))
	if err != nil {
		return err
	}
	wake, gone := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(gone)
		for w.Wait() == nil {
			select {
			case wake <- struct{}{}:
			default: // one is pending; it covers this change
			}
		}
	}()
	defer func() {
		_ = w.Close() // ends the goroutine
		<-gone
	}()
	if err := r.start(); err != nil {
		return err
	}
	for {
		if err := r.advance(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-gone: // the directory's watch broke; what is there has been shown
			return r.flush()
		case <-r.o.Ended:
			if err := r.advance(ctx); err != nil {
				return err
			}
			return r.flush()
		}
	}
}

// advance shows everything up to the end of the newest file.
func (r *reader) advance(ctx context.Context) error {
	for {
		if len(r.files) == 1 { // before it is read to its end: the writer has left it if there is another
			r.files = append(r.files, r.successors()...)
		}
		if err := r.drain(ctx); err != nil || len(r.files) == 1 {
			return err
		}
		if err := r.flush(); err != nil {
			return err
		}
		if err := r.leave(); err != nil {
			return err
		}
	}
}

// successors opens the files that the writer has used since the present one.
func (r *reader) successors() []*os.File {
	mine, err := r.files[0].Stat()
	if err != nil {
		return nil
	}
	now, err := os.Stat(r.path)
	if err == nil && os.SameFile(now, mine) {
		if now.Size() < r.at { // truncated in place: begin again
			if _, err := r.files[0].Seek(0, io.SeekStart); err == nil {
				r.at, r.from, r.buf = 0, starts{}, r.buf[:0]
			}
		}
		return nil
	}
	next, _ := open(r.path, mine) // what cannot be opened now is tried again with the next change
	return next
}

// drain shows all whole lines up to the end of the file.
func (r *reader) drain(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := len(r.buf)
		if cap(r.buf)-n < block {
			r.buf = append(make([]byte, 0, n+2*block), r.buf...)
		}
		got, err := r.files[0].Read(r.buf[n:cap(r.buf)])
		r.buf = r.buf[:n+got]
		if err := r.lines(); err != nil {
			return err
		}
		switch {
		case errors.Is(err, io.EOF):
			return errors.Join(r.out[0].Flush(), r.out[1].Flush())
		case err != nil:
			return fault.Wrap(fault.Internal, "log", err)
		case len(r.buf) > maxLine:
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
}

// lines shows the whole lines in buf and keeps the rest.
func (r *reader) lines() error {
	rest := r.buf
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		if err := r.show(rest[:i], r.at); err != nil {
			return err
		}
		r.at += int64(i) + 1
		rest = rest[i+1:]
	}
	r.buf = r.buf[:copy(r.buf, rest)]
	return nil
}

// flush shows an unfinished last line: a writer that died left it.
func (r *reader) flush() error {
	if len(r.buf) == 0 {
		return nil
	}
	err := r.show(r.buf, r.at)
	r.at += int64(len(r.buf))
	r.buf = r.buf[:0]
	return errors.Join(err, r.out[0].Flush(), r.out[1].Flush())
}

func (r *reader) show(b []byte, at int64) error {
	l, ok := Parse(b)
	if !ok { // not lost: shown as it is
		l = Line{Stderr: true, Content: b}
	}
	i := index(l.Stderr)
	if at < r.from[i] {
		return nil
	}
	r.line = r.line[:0]
	if !r.mid[i] {
		r.skip[i] = ok && r.outside(l.Time)
		if r.o.Timestamps && ok {
			r.line = l.Time.AppendFormat(r.line, time.RFC3339Nano)
			r.line = append(r.line, ' ')
		}
	}
	r.mid[i] = l.Partial
	if r.skip[i] {
		return nil
	}
	r.line = append(r.line, l.Content...)
	if !l.Partial {
		r.line = append(r.line, '\n')
	}
	if err := r.out[1-i].Flush(); err != nil {
		return err
	}
	_, err := r.out[i].Write(r.line)
	return err
}

func (r *reader) outside(at time.Time) bool {
	return !r.o.Since.IsZero() && at.Before(r.o.Since) || !r.o.Until.IsZero() && at.After(r.o.Until)
}
