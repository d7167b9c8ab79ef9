package launch

import (
	"os"
	"path/filepath"
	"sync"

	"carob/internal/logfile"
	"carob/internal/sys/fd"
)

// logName is the log's name in the run directory, of a daemon that a client has started.
const logName = "daemon.log"

// What such a daemon says is kept in two files of this many bytes: they are in memory.
const (
	logSize  = 4 << 20
	logFiles = 2
)

// Log is a daemon's standard error. Where that is the file that a client has started it
// with, it is kept within its bounds; what others have made of it is theirs to rotate.
type Log struct {
	path string
	size int64

	mu   sync.Mutex // guards what follows, and that one line is written at a time
	file *os.File
	left int64 // until the file is full
}

// NewLog returns the log of the daemon of this run directory, whose standard error it is
// from then on.
func NewLog(runDir string, stderr *os.File) *Log {
	return newLog(runDir, stderr, logSize)
}

func newLog(runDir string, stderr *os.File, size int64) *Log {
	l := &Log{path: filepath.Join(runDir, logName), size: size, file: stderr}
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
	if _, err := (logfile.Log{Path: l.path, Size: l.size, Files: logFiles}).Rotate(); err != nil {
		return err
	}
	f, err := openLog(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return fd.Onto(f, l.file)
}

func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}
