package look

import (
	"bytes"
	"os"

	"carob/internal/sys/procfs"
)

// again is a process of the look before if it is the same still: of the same start, with
// the same name, which execve changes, and the same parent. One that could not be read
// whole is read anew.
func (r *reader) again(dir procfs.Dir, pid int) (Process, bool) {
	if r.before == nil {
		return Process{}, false
	}
	old := r.before.Process(pid)
	if old == nil || old.State == "Z" || !old.Kernel && !old.NS.Known() || dir.ReadShort("stat", &r.buf) != nil {
		return Process{}, false
	}
	now, ok := parseStat(r.buf.Bytes())
	if !ok || now.Start != old.Start || now.Comm != old.Comm || now.PPID != old.PPID || now.State == "Z" {
		return Process{}, false
	}
	same := *old
	same.State, same.Threads, same.RSS, same.Role = now.State, now.Threads, now.RSS, ""
	return same, true
}

// parseStat reads what /proc/PID/stat tells of a process (proc_pid_stat(5)): name, state,
// parent, threads, start and memory; false when it is short.
func parseStat(text []byte) (p Process, ok bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return p, false
	}
	p.Comm = string(text[open+1 : end])
	n := 3
	for f := range bytes.FieldsSeq(text[end+1:]) {
		switch n {
		case 3:
			p.State = string(f)
		case 4:
			p.PPID = number(f)
		case 20:
			p.Threads = number(f)
		case 22:
			p.Start = wide(f)
		case 24:
			p.RSS = wide(f) * uint64(os.Getpagesize())
			return p, true
		}
		n++
	}
	return p, false
}

// wide is a decimal number, 0 for anything else.
func wide(b []byte) uint64 {
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}
