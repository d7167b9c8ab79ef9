package logfile

import (
	"bytes"
	"io"
	"os"
	"slices"
)

const block = 64 << 10

// starts are the offsets from which each stream is shown: stdout, stderr.
type starts [2]int64

func index(stderr bool) int {
	if stderr {
		return 1
	}
	return 0
}

// tail finds where the last n whole lines begin, in each of the last files of a log: those
// before them are not to be shown at all. A whole line is an F line with the P lines of its
// stream before it, or P lines at the end that nothing has ended yet. It reads backwards,
// so its cost is that of what is shown.
func tail(files []*os.File, n int) (from []starts, err error) {
	t := tailer{left: max(n, 0)}
	for i := len(files) - 1; i >= 0 && (from == nil || !t.done()); i-- {
		info, err := files[i].Stat()
		if err != nil {
			return nil, err
		}
		if err := t.file(files[i], info.Size()); err != nil {
			return nil, err
		}
		from = append(from, t.at)
	}
	slices.Reverse(from)
	return from, nil
}

// file takes the lines of a file.
func (t *tailer) file(f io.ReaderAt, size int64) error {
	t.at = starts{size, size}
	var rest []byte // read, not yet split; begins at pos
	for pos := size; pos > 0 && !t.done(); {
		if len(rest) > maxLine { // a longer line is none: begin after it
			t.left, t.closed = 0, [2]bool{true, true}
			break
		}
		step := min(block, pos)
		pos -= step
		buf := make([]byte, step, int(step)+len(rest))
		if _, err := f.ReadAt(buf, pos); err != nil && err != io.EOF {
			return err
		}
		rest = t.lines(append(buf, rest...), pos)
	}
	return nil
}

// lines takes the whole lines of b, which begins at pos, from its end and returns
// what is left: the end of a line that begins before pos.
func (t *tailer) lines(b []byte, pos int64) []byte {
	for !t.done() && len(b) > 0 {
		i := bytes.LastIndexByte(bytes.TrimSuffix(b, []byte{'\n'}), '\n')
		if i < 0 && pos > 0 {
			return b
		}
		t.line(bytes.TrimSuffix(b[i+1:], []byte{'\n'}), pos+int64(i)+1)
		b = b[:i+1]
	}
	return b
}

// tailer sees lines from the last to the first.
type tailer struct {
	left   int
	at     starts  // in the present file
	seen   [2]bool // the stream has a counted line
	closed [2]bool // nothing before at[i] belongs to a counted line
}

func (t *tailer) done() bool {
	if t.left > 0 {
		return false
	}
	return (!t.seen[0] || t.closed[0]) && (!t.seen[1] || t.closed[1])
}

func (t *tailer) line(b []byte, start int64) {
	l, ok := Parse(b)
	i := index(l.Stderr || !ok) // what is no log line is shown on stderr, as one line
	ends := !ok || !l.Partial || !t.seen[i]
	switch {
	case !ends: // an earlier part of a counted line
		if !t.closed[i] {
			t.at[i] = start
		}
	case t.left > 0:
		t.left--
		t.seen[i], t.at[i] = true, start
	default:
		t.closed[i] = true
	}
}
