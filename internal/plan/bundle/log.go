package bundle

import (
	"bytes"
	"encoding/json"
	"strings"
)

// MaxLog is how much of the end of a runtime's log is looked at, in bytes.
const MaxLog = 64 << 10

// Trouble is what kept a runtime from doing what it was asked to.
type Trouble int

// The troubles that callers tell apart.
const (
	Other Trouble = iota
	// NoCommand: the container's command is not there. NotExecutable: it cannot be
	// executed.
	NoCommand
	NotExecutable
	// NoContainer: there is no such container any more, or it does not run.
	NoContainer
)

// LastError returns the message of the last error in a runtime's log, JSON lines as
// `--log-format json` writes them; "" when there is none.
func LastError(log []byte) string {
	if len(log) > MaxLog {
		log = log[len(log)-MaxLog:]
	}
	last := ""
	for line := range bytes.Lines(log) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) != nil { // cut at the front, or not an entry
			continue
		}
		switch entry.Level {
		case "error", "fatal", "panic":
			last = entry.Msg
		}
	}
	return printable(last)
}

// printable keeps one line of text: it comes from a log that a container's
// configuration, and so its user, can write into.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(s), "?"))
	const most = 2000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Diagnose tells what a message of runc, crun, youki or runsc means.
func Diagnose(message string) Trouble {
	m := strings.ToLower(message)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if !strings.Contains(m, p) {
				return false
			}
		}
		return true
	}
	switch {
	case has("executable file") && has("not found"),
		has("finding executable"), has("exec", "no such file or directory") && !has("mount") && !has("nsexec"):
		return NoCommand
	case has("exec", "permission denied") && !has("mount"), has("exec format error"), has("open executable"), has("failed to load", "permission denied"):
		return NotExecutable
	case has("does not exist"), has("not running"), has("already finished"), has("no such process"), has("is stopped"), has("cannot find container"):
		return NoContainer
	}
	return Other
}
