package fd

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Imager is what turns itself into bytes for a memory file: a program of package
// spawn.
type Imager interface{ Image() ([]byte, error) }

// Memory writes an image to an anonymous memory file, ready to be passed on. The
// caller closes it.
func Memory(i Imager) (*os.File, error) {
	img, err := i.Image()
	if err != nil {
		return nil, err
	}
	f, err := memfd("carob-program", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(img); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Seal copies a program into a memory file that nobody can change any more, nor
// what runs from it (CVE-2019-5736). The caller closes it.
func Seal(name string, r io.Reader) (*os.File, error) {
	f, err := memfd(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, err
	}
	// Not io.Copy: pages spliced from a file may still be in flight when the seal is
	// set, which then answers EBUSY.
	content, err := io.ReadAll(r)
	if err == nil {
		_, err = f.Write(content)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	err = control(f, func(n int) error {
		_, err := unix.FcntlInt(uintptr(n), unix.F_ADD_SEALS, seals)
		return err
	})
	if err != nil {
		f.Close()
		return nil, failed("fcntl F_ADD_SEALS", name, err)
	}
	return f, nil
}

func memfd(name string, flags int) (*os.File, error) {
	n, err := unix.MemfdCreate(name, flags)
	if err != nil {
		return nil, failed("memfd_create", name, err)
	}
	return os.NewFile(uintptr(n), name), nil
}
