package world

import (
	"context"
	"errors"
	"io"
	"os"

	"carob/internal/archive"
	"carob/internal/fault"
	"carob/internal/sys/fd"
)

// CopyUp fills a tmpfs with what lies at a path below a root file system, before it
// covers that. Nothing there is nothing to copy.
func CopyUp(root *os.File, path string, to *os.File) error {
	from, err := fd.InRoot(root, path, true)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	packed := make(chan error, 1)
	go func() { // ends with the pipe
		err := archive.Pack(context.Background(), w, from, ".", archive.IDs{})
		packed <- errors.Join(err, w.Close())
	}()
	_, err = archive.Unpack(context.Background(), r, to, archive.Options{KeepOwner: true})
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	return errors.Join(err, r.Close(), <-packed)
}
