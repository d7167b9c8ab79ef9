package watch

import (
	"strings"

	"carob/internal/look"
	"carob/internal/look/ink"
)

// helpLines say what the keys do and what the columns mean.
func helpLines(width int) Screen {
	var s Screen
	s = append(s, heading("KEYS"))
	for _, k := range [][2]string{
		{"↑ ↓ j k", "select a row; page up and down, home and end too"},
		{"enter", "details of the selected row: who shares its namespaces, limits and who sets them, security, processes"},
		{"escape", "back; in the list: no filter"},
		{"/", "filter by name, engine, state, PID or beginning of an ID; several words must all match"},
		{"s S r", "sort by the next or the previous column; the other way round"},
		{"f ← →", "fold and unfold a pod; F all pods"},
		{"a", "all: sandboxes, and groups of processes with namespaces of their own that no engine runs"},
		{"p", "pause: nothing is read and nothing moves"},
		{"+ -", "twice as long or half as long between samples"},
		{"q", "quit"},
	} {
		s = append(s, paragraph(ink.Plain, "  "+ink.Pad(k[0], 10), k[1], width)...)
	}
	s = append(s, nil, heading("COLUMNS"))
	for _, k := range [][2]string{
		{"CPU%", "of one CPU, since the sample before; TREND is how it went, against its own highest"},
		{"THR%", "the share of periods in which its CPU quota ran out"},
		{"MEMORY", "in use without file cache that could be given back, and the limit; a dim bar is against the limit of the pod"},
		{"READ WRIT", "bytes per second from and to block devices"},
		{"RX TX", "bytes per second, of a network namespace: on the first row that is in it; the others say whose it is"},
		{"PIDS", "tasks, threads included"},
		{"PSI", "share of the last 10 s in which something waited for a CPU, memory, a disk (cgroup v2)"},
		{"SHARED", "namespaces shared with the pod, or (yellow) with others: " + kindWords()},
		{"HOST'S", "namespaces that are the host's: no isolation"},
		{unknown + " ?", "nobody counts it; it may not be seen"},
	} {
		s = append(s, paragraph(ink.Plain, "  "+ink.Pad(k[0], 10), k[1], width)...)
	}
	return s
}

// kindWords are the letters with the kinds they stand for.
func kindWords() string {
	var words []string
	for _, k := range look.Kinds() {
		words = append(words, letters[k:k+1]+" "+k.String())
	}
	return strings.Join(words, ", ")
}
