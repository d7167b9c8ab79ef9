// Package fd is about descriptors: passing them over a unix socket with the
// peer's credentials, finding files in a foreign root without leaving it,
// locking, and being told of changes in a directory. It holds no policy and no
// state beside the descriptors it hands out, which are close-on-exec and the
// caller's.
package fd

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// failed names the call and its target and gives the errno its fault kind.
func failed(call, target string, err error) error {
	if err == nil {
		return nil
	}
	kind := fault.Internal
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		kind = fault.NotFound
	case errors.Is(err, unix.EEXIST):
		kind = fault.Exists
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EROFS):
		kind = fault.Denied
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EXDEV):
		kind = fault.Invalid
	case errors.Is(err, unix.ENOSYS):
		kind = fault.Unsupported
	}
	return fault.Wrap(kind, fmt.Sprintf("%s: %s", target, call), err)
}

// retry repeats a call that a signal interrupted.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
