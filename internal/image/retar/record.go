package retar

import (
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"

	"carob/internal/fault"
)

// Recorder writes the record of one tar that is written to it.
type Recorder struct {
	zip     *zstd.Encoder
	pending []byte // bytes not yet in the record
	skip    int64  // bytes of content still to come
}

// NewRecorder begins a record in w.
func NewRecorder(w io.Writer) (*Recorder, error) {
	zip, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "layer record", err)
	}
	if _, err := io.WriteString(zip, magic); err != nil {
		return nil, err
	}
	return &Recorder{zip: zip, pending: make([]byte, 0, maxBytes)}, nil
}

// File says that what has been written so far ends where the content of a file
// begins, and that the layer's directory will have those size bytes under that name.
func (r *Recorder) File(name string, size int64) error {
	if r.skip > 0 || size < 0 || name == "" || len(name) > maxName {
		return fault.New(fault.Internal, "layer record: a file within a file, or without a name or size")
	}
	if size == 0 {
		return nil
	}
	r.skip = size
	return r.segment(name, size)
}

// Write takes the next bytes of the tar.
func (r *Recorder) Write(p []byte) (int, error) {
	all := len(p)
	n := min(r.skip, int64(all))
	r.skip -= n
	for p = p[n:]; len(p) > 0; {
		n := min(len(p), maxBytes-len(r.pending))
		r.pending = append(r.pending, p[:n]...)
		p = p[n:]
		if len(r.pending) == maxBytes {
			if err := r.segment("", 0); err != nil {
				return 0, err
			}
		}
	}
	return all, nil
}

// segment writes down the pending bytes and the file that follows them.
func (r *Recorder) segment(name string, size int64) error {
	line := binary.AppendUvarint(make([]byte, 0, len(name)+3*binary.MaxVarintLen64), uint64(len(r.pending)))
	if _, err := r.zip.Write(line); err != nil {
		return err
	}
	if _, err := r.zip.Write(r.pending); err != nil {
		return err
	}
	r.pending = r.pending[:0]
	line = binary.AppendUvarint(line[:0], uint64(len(name)))
	line = append(line, name...)
	line = binary.AppendUvarint(line, uint64(size))
	_, err := r.zip.Write(line)
	return err
}

// Close ends the record; a content that has not come whole is an error. What the
// record was written to stays the caller's. It must be called, also after an error.
func (r *Recorder) Close() error {
	err := r.segment("", 0)
	if e := r.zip.Close(); err == nil {
		err = e
	}
	if err == nil && r.skip > 0 {
		err = fault.New(fault.Internal, "layer record: the tar ended within a file")
	}
	return err
}
