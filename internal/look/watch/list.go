package watch

import (
	"slices"

	"carob/internal/look"
	"carob/internal/look/ink"
)

// list is the table with what of it is shown and which row is selected.
type list struct {
	table   Table
	history map[string]history
	view    View
	reverse bool
	folded  map[string]bool
	// selected is the key of a row; at is where it was, for when it has ended.
	selected string
	at       int
	top      int // the first row that is shown
}

// settle finds the selected row again, or takes the one that stands where it was, unless
// it is to be kept though it has ended.
func (l *list) settle(shown int, keep bool) {
	rows := l.visible()
	if len(rows) == 0 {
		l.at, l.top = 0, 0
		if !keep {
			l.selected = ""
		}
		return
	}
	i := slices.IndexFunc(rows, func(v visible) bool { return v.row.Key == l.selected })
	switch {
	case i >= 0:
		l.at = i
	case !keep:
		l.at = min(max(l.at, 0), len(rows)-1)
		l.selected = rows[l.at].row.Key
	}
	l.top = min(max(l.top, l.at-shown+1), l.at)
	l.top = max(0, min(l.top, len(rows)-shown))
}

// move selects another row.
func (l *list) move(by int) {
	if rows := l.visible(); len(rows) > 0 {
		l.at = min(max(l.at+by, 0), len(rows)-1)
		l.selected = rows[l.at].row.Key
	}
}

// chosen is the selected row, nil when there is none.
func (l *list) chosen() *Row { return find(l.table.Rows, l.selected) }

func find(rows []Row, key string) *Row {
	for i := range rows {
		if rows[i].Key == key {
			return &rows[i]
		}
		if r := find(rows[i].Rows, key); r != nil {
			return r
		}
	}
	return nil
}

// shown reports whether a row is of a kind that is shown.
func (l *list) shown(r *Row) bool {
	return l.view.All || r.Kind != look.ClassGroup && r.Kind != look.ClassSandbox
}

// pressure reports whether any row tells of it.
func (l *list) pressure() bool {
	return slices.ContainsFunc(l.table.Rows, func(r Row) bool { return r.Pressure != nil })
}

// widest is the room that names need.
func (l *list) widest() int {
	n := 0
	for i := range l.table.Rows {
		r := &l.table.Rows[i]
		if !l.shown(r) {
			continue
		}
		n = max(n, ink.Width(ink.Safe(r.Name))+2)
		for j := range r.Rows {
			n = max(n, ink.Width(ink.Safe(r.Rows[j].Name))+4)
		}
	}
	return n
}

// fold hides what is below the selected row, or its pod, and shows it again.
func (l *list) fold(k Key) {
	up := l.owner()
	if up == nil {
		return
	}
	l.folded[up.Key] = k == Left || k != Right && !l.folded[up.Key]
	if l.folded[up.Key] {
		l.selected = up.Key
	}
}

// owner is the row at the top that the selected one is, or is below.
func (l *list) owner() *Row {
	for i := range l.table.Rows {
		r := &l.table.Rows[i]
		if r.Key == l.selected && len(r.Rows) > 0 || find(r.Rows, l.selected) != nil {
			return r
		}
	}
	return nil
}

// foldAll folds every pod, or opens all when all are folded.
func (l *list) foldAll() {
	fold := false
	for i := range l.table.Rows {
		r := &l.table.Rows[i]
		fold = fold || len(r.Rows) > 0 && !l.folded[r.Key]
	}
	owner := l.owner()
	for i := range l.table.Rows {
		l.folded[l.table.Rows[i].Key] = fold
	}
	if fold && owner != nil {
		l.selected = owner.Key
	}
}
