package watch

import (
	"slices"
	"strconv"
	"strings"

	"carob/internal/look/ink"
)

// column is one column of the table.
type column struct {
	head  string
	width int
	right bool
	// rank says in which order columns find room, the lowest first; those of one rank
	// come together or not at all.
	rank int
	// sort is the order that the column stands for, "" for none.
	sort Order
	cell func(l *list, r *Row, width int) Line
}

// The columns that are looked for.
const (
	headName  = "NAME"
	headState = "STATE"
	headBar   = ""
	headTrend = "TREND"
)

// columns are all there are, from left to right.
func columns() []column {
	return []column{
		{head: headName, width: 16, rank: 0, sort: ByName},
		{head: "ENGINE", width: 10, rank: 10, cell: one(func(r *Row) Span { return plain(ink.Plain, orDash(ink.Safe(r.Engine))) })},
		{head: "PID", width: 7, right: true, rank: 11, cell: one(func(r *Row) Span { return plain(ink.Plain, strconv.Itoa(r.PID)) })},
		{head: headState, width: 7, rank: 9, cell: one(stateCell)},
		{head: "CPU%", width: 6, right: true, rank: 1, sort: ByCPU, cell: cpuCell},
		{head: headTrend, width: 10, rank: 14, cell: trendCell},
		{head: "THR%", width: 5, right: true, rank: 12, sort: ByThrottled, cell: one(throttledCell)},
		{head: "MEMORY", width: 11, right: true, rank: 2, sort: ByMemory, cell: one(memoryCell)},
		{head: headBar, width: 8, rank: 4, cell: barCell},
		{head: "READ/s", width: 6, right: true, rank: 8, sort: ByIO, cell: one(func(r *Row) Span { return rate(r.Read) })},
		{head: "WRIT/s", width: 6, right: true, rank: 8, sort: ByIO, cell: one(func(r *Row) Span { return rate(r.Written) })},
		{head: "RX/s", width: 6, right: true, rank: 3, sort: ByNet, cell: one(func(r *Row) Span { return netCell(r, r.Received) })},
		{head: "TX/s", width: 6, right: true, rank: 3, sort: ByNet, cell: one(func(r *Row) Span { return netCell(r, r.Sent) })},
		{head: "PIDS", width: 5, right: true, rank: 6, sort: ByPids, cell: one(pidsCell)},
		{head: "PSI c/m/i", width: 11, right: true, rank: 13, sort: ByPressure, cell: one(pressureCell)},
		{head: "SHARED", width: len(letters), rank: 5, cell: sharedCell},
		{head: "HOST'S", width: len(letters), rank: 7, cell: hostsCell},
	}
}

// The room between columns, and at the left edge for the mark of the selected row.
const gap, gutter = 2, 2

// layout chooses the columns that find room and gives out what is left.
func layout(width, name int, pressure bool) []column {
	all := columns()
	if !pressure {
		all = slices.DeleteFunc(all, func(c column) bool { return c.sort == ByPressure })
	}
	left := width - gutter + gap // no gap stands before the first
	taken := map[int]bool{}
	for rank := range len(columns()) {
		need := 0
		for _, c := range all {
			if c.rank == rank {
				need += c.width + gap
			}
		}
		if need <= left {
			taken[rank], left = true, left-need
		}
	}
	out := slices.DeleteFunc(all, func(c column) bool { return !taken[c.rank] })
	for _, g := range []struct {
		head string
		most int
	}{{headName, min(name, 32)}, {headBar, 14}, {headTrend, 20}, {headName, min(name, 60)}} {
		left -= grow(out, g.head, g.most, left)
	}
	return out
}

// grow gives a column more room, as far as there is any, and returns how much.
func grow(cols []column, head string, most, left int) int {
	i := slices.IndexFunc(cols, func(c column) bool { return c.head == head })
	if i < 0 || cols[i].width >= most {
		return 0
	}
	n := min(most-cols[i].width, max(left, 0))
	cols[i].width += n
	return n
}

// place puts a cell into its column.
func (c column) place(cell Line) Line {
	cell = cell.fit(c.width, false)
	blanks := plain(ink.Plain, strings.Repeat(" ", c.width-cell.width()))
	if c.right {
		return append(Line{blanks}, cell...)
	}
	return append(cell, blanks)
}
