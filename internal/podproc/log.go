package podproc

import (
	"bytes"
	"math"

	"carob/internal/podproc/wire"
	"carob/internal/sys/loop"
)

// lineMax is the longest line in a log; longer ones are split, and all pieces but
// the last tagged P. CRI names no limit, 16 KiB is what runtimes use.
const lineMax = 16 << 10

// logFile is a log in CRI format, open for appending:
//
//	2006-01-02T15:04:05.000000000Z stdout F the whole line
//	2006-01-02T15:04:05.000000000Z stdout P a line that goes on or ended without newline
type logFile struct {
	fd   int // -1: none
	lost uint64
	torn bool // the file ends within a line
	// room is how many bytes are left until the daemon is to be asked for another file.
	room int64
}

// use goes on in this file, -1 for none.
func (l *logFile) use(fd int, room uint64) {
	if room == 0 || room > math.MaxInt64 {
		room = math.MaxInt64
	}
	l.fd, l.torn, l.room = fd, false, int64(room)
}

// full reports that it is time to ask for another file, and again after a while.
func (l *logFile) full() bool {
	if l.fd < 0 || l.room > 0 {
		return false
	}
	l.room = wire.FullAgain
	return true
}

// headSize is the length of what stands before a line's text.
const headSize = stampSize + len(" stdout F ")

// scribe puts log lines together out of pieces, without copying them.
type scribe struct {
	full, part [headSize]byte
	newline    [1]byte
	pieces     [192]loop.Vec // 48 lines or more with one write
	n          int
	note       [headSize + 64]byte

	spare []byte // an empty line buffer
	used  bool   // it occupies memory that it does not need
}

// rest gives back the memory of what is not needed while nothing happens.
func (w *scribe) rest() {
	if w.used {
		loop.Empty(w.spare)
		w.used = false
	}
}

// head begins lines of this stream and moment.
func (w *scribe) head(stream string) {
	stamp((*[stampSize]byte)(w.full[:]), loop.Nanotime())
	b := append(w.full[:stampSize], ' ')
	b = append(b, stream...)
	_ = append(b, " F "...) // all of it lies within full
	w.part = w.full
	w.part[headSize-2] = 'P'
	w.newline[0] = '\n'
	w.n = 0
}

func (w *scribe) add(b []byte) {
	if len(b) > 0 {
		w.pieces[w.n] = loop.Piece(b)
		w.n++
	}
}

// record logs what was read from a stream.
func (w *scribe) record(s *stream, data []byte) {
	if s.p.log.fd < 0 {
		return
	}
	w.head(s.name)
	begun := s.part // the line's beginning, until it has been used
	for len(data) > 0 {
		if w.n > len(w.pieces)-4 {
			s.p.log.write(w)
		}
		end := bytes.IndexByte(data, '\n')
		if end < 0 && len(begun)+len(data) <= lineMax {
			break
		}
		if end >= 0 && len(begun)+end <= lineMax {
			w.add(w.full[:])
			w.add(begun)
			w.add(data[:end+1])
			data = data[end+1:]
		} else {
			cut := lineMax - len(begun)
			w.add(w.part[:])
			w.add(begun)
			w.add(data[:cut])
			w.add(w.newline[:])
			data = data[cut:]
		}
		begun = nil
	}
	s.p.log.write(w)
	w.keepLine(s, begun, data)
}

// keepLine keeps the beginning of a line until there is more of it. begun is what
// of s.part is still to be logged: all or nothing.
func (w *scribe) keepLine(s *stream, begun, rest []byte) {
	if len(begun) == 0 && len(rest) == 0 {
		w.dropLine(s)
		return
	}
	if s.part == nil {
		s.part, w.spare = w.spare, nil
		if s.part == nil {
			s.part = loop.Map(lineMax)
		}
		if s.part == nil { // no memory
			s.p.log.lost += uint64(len(rest))
			return
		}
	}
	s.part = s.part[:len(begun)+copy(s.part[len(begun):lineMax], rest)]
}

// dropLine gives a line's memory back.
func (w *scribe) dropLine(s *stream) {
	switch {
	case s.part == nil:
		return
	case w.spare == nil:
		w.spare = s.part[:0]
		w.used = w.used || len(s.part) > 4096
	default:
		loop.Unmap(s.part)
	}
	s.part = nil
}

// recordRest logs a line that ended without its newline.
func (w *scribe) recordRest(s *stream) {
	if len(s.part) > 0 && s.p.log.fd >= 0 {
		w.head(s.name)
		w.add(w.part[:])
		w.add(s.part)
		w.add(w.newline[:])
		s.p.log.write(w)
	}
	w.dropLine(s)
}

// lastWords tells of what the log has lost, if it can be told.
func (w *scribe) lastWords(p *process) {
	if p.log.fd >= 0 && p.log.lost > 0 {
		w.head("stderr")
		p.log.tell(w)
	}
}

// write writes the pieces of w. What cannot be written is lost and counted.
func (l *logFile) write(w *scribe) {
	pieces := w.pieces[:w.n]
	w.n = 0
	if len(pieces) == 0 {
		return
	}
	if l.lost > 0 && !l.tell(w) {
		l.lost += size(pieces)
		return
	}
	for len(pieces) > 0 {
		n, e := loop.WriteVec(l.fd, pieces)
		if e != 0 || n == 0 {
			l.lost += size(pieces)
			// Whole lines have been written if the next piece is a whole head.
			l.torn = pieces[0].Base != &w.full[0] && pieces[0].Base != &w.part[0]
			return
		}
		l.room -= int64(n)
		pieces = advance(pieces, n)
	}
	l.torn = false
}

// tell logs how much was lost, and reports whether that went well.
func (l *logFile) tell(w *scribe) bool {
	b := w.note[:0]
	if l.torn {
		b = append(b, '\n')
	}
	b = append(b, w.full[:]...)
	b = append(b, "carob: "...)
	b = appendUint(b, l.lost)
	b = append(b, " bytes of log lost\n"...)
	n, _ := loop.Write(l.fd, b)
	if n == len(b) {
		l.lost, l.torn = 0, false
		return true
	}
	l.torn = l.torn && n == 0 || n > 1
	return false
}

func size(pieces []loop.Vec) (n uint64) {
	for i := range pieces {
		n += pieces[i].Len
	}
	return n
}

// advance drops the first n bytes of the pieces.
func advance(pieces []loop.Vec, n int) []loop.Vec {
	for n > 0 && len(pieces) > 0 {
		if n < int(pieces[0].Len) {
			pieces[0] = loop.Rest(pieces[0], n)
			break
		}
		n -= int(pieces[0].Len)
		pieces = pieces[1:]
	}
	return pieces
}
