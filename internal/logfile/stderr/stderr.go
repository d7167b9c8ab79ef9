// Package stderr keeps the log of a daemon that a client has started within bounds: it is
// the daemon's standard error, so that a crash ends up there, too. What others have made of
// that, a journal or a terminal, is theirs to rotate.
//
// Files: the log, and LOG.1, the one before.
package stderr

import (
	"os"
	"sync"

	"carob/internal/logfile"
	"carob/internal/sys/fd"
)

// The log is kept in so many files of this many bytes each: they are in memory.
const (
	maxSize  = 4 << 20
	maxFiles = 2
)

// Log is a daemon's standard error, to be written to a line at a time.
type Log struct {
	path string
	size int64

	mu   sync.Mutex // guards what follows, and that one line is written at a time
	file *os.File
	left int64 // until the file is full
}

// New returns the log of a daemon whose standard error is from then on the log's. It is
// rotated if it is the file at path.
func New(path string, stderr *os.File) *Log { return newLog(path, stderr, maxSize) }

func newLog(path string, stderr *os.File, size int64) *Log {
	l := &Log{path: path, size: size, file: stderr}
	said, err := stderr.Stat()
	if err != nil {
		return l
	}
	if own, err := os.Stat(l.path); err == nil && os.SameFile(own, said) {
		l.left = max(size-said.Size(), 1)
	}
	return l
}

// Write writes a line.
func (l *Log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.file.Write(line)
	if l.left == 0 { // somebody else's
		return n, err
	}
	if l.left -= int64(n); l.left <= 0 {
		if err := l.next(); err != nil {
			_, _ = l.file.WriteString("level=ERROR msg=\"log is not rotated\" cause=" + err.Error() + "\n")
		}
		l.left = l.size
	}
	return n, err
}

// next begins another file under the same descriptor: a crash writes to that.
func (l *Log) next() error {
	if _, err := (logfile.Log{Path: l.path, Size: l.size, Files: maxFiles}).Rotate(); err != nil {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return fd.Onto(f, l.file)
}
