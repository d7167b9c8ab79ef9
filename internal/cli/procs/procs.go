// Package procs lists processes as ps(1) does with its options, for `carob top`: without a
// ps, neither on the host nor in the container. It is pure: time, memory and the names of
// users are arguments.
package procs

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"carob/internal/cli/show"
	"carob/internal/status"
)

// Facts are what is known beside the processes.
type Facts struct {
	Now time.Time
	// Memory is the host's, in bytes.
	Memory uint64
	// User returns the name of a user of the host, "" for one without.
	User func(uid uint32) string
}

// Table is what is shown of processes.
type Table struct {
	columns []column
	bare    bool // without a head
}

type column struct {
	head  string
	right bool // numbers
	text  func(status.Process, Facts) string
}

// Write shows the processes.
func (t Table) Write(w io.Writer, list []status.Process, f Facts) error {
	var rows [][]string
	if !t.bare {
		var head []string
		for _, c := range t.columns {
			head = append(head, c.head)
		}
		rows = append(rows, head)
	}
	for _, p := range list {
		var row []string
		for _, c := range t.columns {
			row = append(row, show.Printable(c.text(p, f)))
		}
		rows = append(rows, row)
	}
	t.align(rows)
	out := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(out, strings.Join(row, "\t")) // Flush reports what went wrong
	}
	return out.Flush()
}

// align moves numbers to the right.
func (t Table) align(rows [][]string) {
	for i, c := range t.columns {
		width := 0
		for _, row := range rows {
			width = max(width, len(row[i]))
		}
		for _, row := range rows {
			if c.right {
				row[i] = strings.Repeat(" ", width-len(row[i])) + row[i]
			}
		}
	}
}
