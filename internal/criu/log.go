package criu

import (
	"bytes"
	"io"
	"os"
	"strings"

	"carob/internal/fault"
)

// maxLog is how much of the end of a log is read, and maxQuote how much is quoted.
const (
	maxLog   = 256 << 10
	maxQuote = 400
)

// quoted adds to an error what criu has logged: the user has to act on that.
func quoted(log string, err error) error {
	if fault.KindOf(err) != fault.Internal {
		return err
	}
	f, open := os.Open(log)
	if open != nil {
		return err
	}
	defer f.Close()
	if info, stat := f.Stat(); stat == nil && info.Size() > maxLog {
		_, _ = f.Seek(-maxLog, io.SeekEnd) // else its beginning is read
	}
	text, _ := io.ReadAll(io.LimitReader(f, maxLog)) // what could be read tells more than nothing
	if said := complaints(text); said != "" {
		return fault.Wrap(fault.Internal, said+" ("+log+")", err)
	}
	return err
}

// complaints are the first errors of a log, which the later ones follow from. What criu only
// would have liked is none: a higher limit, a tunnel to look at.
func complaints(log []byte) string {
	var out []string
	size := 0
	for line := range bytes.Lines(log) {
		_, said, ok := bytes.Cut(line, []byte("Error ("))
		if !ok {
			continue
		}
		_, said, ok = bytes.Cut(said, []byte("): "))
		word := strings.ToValidUTF8(strings.TrimSpace(string(said)), "?")
		if !ok || strings.HasPrefix(word, "rlimit:") || strings.HasPrefix(word, "tun:") || word == "" {
			continue
		}
		if size += len(word); size > maxQuote {
			break
		}
		out = append(out, word)
	}
	return strings.Join(out, "; ")
}
