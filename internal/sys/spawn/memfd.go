//go:build !carob_pod

package spawn

import (
	"os"

	"golang.org/x/sys/unix"

	"carob/internal/fault"
)

// Not for the supervisor (build tag carob_pod), which makes no programs: importing
// os costs every pod 40 KB.

// Memfd returns the program in an anonymous file, ready to be passed on. The
// caller closes it.
func (b *Builder) Memfd() (*os.File, error) {
	img, err := b.Image()
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("carob-program", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "program: memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "program")
	if _, err := f.Write(img); err != nil {
		f.Close()
		return nil, fault.Wrap(fault.Internal, "program: write", err)
	}
	return f, nil
}
