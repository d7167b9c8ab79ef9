package fd

import (
	"os"

	"golang.org/x/sys/unix"
)

// Watch tells when something in a directory changes (inotify). It belongs to one
// goroutine, except for Close.
type Watch struct {
	f   *os.File
	buf [4096]byte
}

// NewWatch watches dir for files that are written, created, moved in or out, or
// removed, and for its own removal. Changes after it returns are not missed.
func NewWatch(dir string) (*Watch, error) {
	n, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, failed("inotify_init", dir, err)
	}
	const mask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(n, dir, mask); err != nil {
		_ = unix.Close(n) // nothing else knows it yet
		return nil, failed("watch", dir, err)
	}
	return &Watch{f: os.NewFile(uintptr(n), "inotify")}, nil
}

// Wait returns after the next change; several may be reported as one. After Close
// it returns os.ErrClosed.
func (w *Watch) Wait() error {
	_, err := w.f.Read(w.buf[:])
	return err
}

// Close ends the watch and a Wait that is under way.
func (w *Watch) Close() error { return w.f.Close() }

// Changed reports whether something has changed since the last call or Wait, without
// waiting.
func (w *Watch) Changed() bool {
	rc, err := w.f.SyscallConn()
	if err != nil {
		return true // closed: nothing is known
	}
	n := -1
	err = rc.Read(func(fd uintptr) bool {
		err := retry(func() (err error) { n, err = unix.Read(int(fd), w.buf[:]); return err })
		if err != nil && err != unix.EAGAIN {
			n = 1 // nothing is known any more
		}
		return true
	})
	return err != nil || n > 0
}
