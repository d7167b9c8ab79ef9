// Package logfile reads and rotates container logs in the CRI's format, one line per write:
//
//	2026-01-02T15:04:05.123456789Z stdout F content
//
// "P" instead of "F" says that the line goes on in the next line of the same
// stream. The pod supervisor writes, and may be told at any time to go on in a new file
// while the old one is renamed.
//
// A log is one file, or several when it is rotated: LOG is the newest, LOG.1 the one before.
// Nothing is locked: what reads finds its way by which file is which.
package logfile

import (
	"bytes"
	"time"
)

// Line is one line of a log file.
type Line struct {
	Time time.Time
	// Stderr tells the stream.
	Stderr bool
	// Partial lines go on in the next one of the same stream.
	Partial bool
	// Content is what the process wrote, without the newline; it points into the
	// parsed bytes.
	Content []byte
}

// Parse reads one line without its newline and reports whether it has the CRI's
// format. Tags after the first, separated by ":", are ignored as the CRI asks.
func Parse(b []byte) (Line, bool) {
	stamp, rest, ok := bytes.Cut(b, []byte{' '})
	if !ok || len(stamp) > len("2006-01-02T15:04:05.999999999+00:00") {
		return Line{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Line{}, false
	}
	stream, rest, ok := bytes.Cut(rest, []byte{' '})
	if !ok {
		return Line{}, false
	}
	l := Line{Time: at}
	switch string(stream) {
	case "stdout":
	case "stderr":
		l.Stderr = true
	default:
		return Line{}, false
	}
	tags, content, _ := bytes.Cut(rest, []byte{' '}) // an empty line may lack the last space
	tag, _, _ := bytes.Cut(tags, []byte{':'})
	switch string(tag) {
	case "P":
		l.Partial = true
	case "F":
	default:
		return Line{}, false
	}
	l.Content = content
	return l, true
}
