package retar

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// Write writes the tar that record is of to w, with the contents of the files below
// tree. Conflict is a tree that has changed, and names the file; what was written
// before stays written. It ends between two files when ctx is cancelled.
func Write(ctx context.Context, w io.Writer, record io.Reader, tree *os.Root) error {
	buf := make([]byte, maxBytes)
	return read(record, func(s segment) error {
		if _, err := w.Write(s.bytes); err != nil {
			return err
		}
		if s.name == "" {
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return copyFile(w, tree, s, buf)
	})
}

// Size returns the length of the tar that record is of.
func Size(record io.Reader) (int64, error) {
	var n int64
	err := read(record, func(s segment) error {
		n += int64(len(s.bytes)) + s.size
		if s.size < 0 || n < 0 {
			return errDamaged
		}
		return nil
	})
	return n, err
}

// copyFile writes the content. What lies there is opened without following it out
// of the tree or blocking on it.
func copyFile(w io.Writer, tree *os.Root, s segment, buf []byte) error {
	f, err := tree.OpenFile(s.name, os.O_RDONLY|fd.NoBlock, 0)
	if err != nil {
		return fault.Wrap(fault.Conflict, "the unpacked layer differs", err)
	}
	defer func() { _ = f.Close() }() // only read from
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Size() != s.size {
		return fault.New(fault.Conflict, fmt.Sprintf("the unpacked layer differs: %.200q: %s of %d bytes, not a file of %d",
			s.name, fi.Mode().Type(), fi.Size(), s.size))
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{io.LimitReader(f, s.size)}, buf)
	if err == nil && n != s.size {
		err = fault.New(fault.Conflict, fmt.Sprintf("the unpacked layer differs: %.200q: shrank to %d bytes", s.name, n))
	}
	return err
}

// segment is a run of bytes and the file whose content follows it, if any. Its bytes
// are valid until the next one is read.
type segment struct {
	bytes []byte
	name  string
	size  int64
}

var errDamaged = fault.New(fault.Internal, "layer record: damaged")

// read calls each with the segments in their order.
func read(record io.Reader, each func(segment) error) error {
	zip, err := zstd.NewReader(record, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return fault.Wrap(fault.Internal, "layer record", err)
	}
	defer zip.Close()
	b := bufio.NewReader(zip)
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(b, head); err != nil || string(head) != magic {
		return errDamaged
	}
	buf := make([]byte, maxBytes)
	for {
		s, err := readSegment(b, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.Join(errDamaged, err)
		}
		if err := each(s); err != nil {
			return err
		}
	}
}

// readSegment returns io.EOF at the end of a whole record.
func readSegment(b *bufio.Reader, buf []byte) (segment, error) {
	n, err := binary.ReadUvarint(b)
	if err != nil {
		return segment{}, err
	}
	if n > maxBytes {
		return segment{}, errDamaged
	}
	s := segment{bytes: buf[:n]}
	if _, err := io.ReadFull(b, s.bytes); err != nil {
		return s, io.ErrUnexpectedEOF
	}
	if n, err = binary.ReadUvarint(b); err != nil || n > maxName {
		return s, io.ErrUnexpectedEOF
	}
	name := make([]byte, n)
	if _, err := io.ReadFull(b, name); err != nil {
		return s, io.ErrUnexpectedEOF
	}
	size, err := binary.ReadUvarint(b)
	if err != nil || int64(size) < 0 || (size > 0) != (n > 0) {
		return s, io.ErrUnexpectedEOF
	}
	s.name, s.size = string(name), int64(size)
	return s, nil
}
