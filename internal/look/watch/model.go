package watch

import (
	"slices"
	"time"

	"carob/internal/look"
	"carob/internal/look/sample"
)

// Model is the state of the view. Its methods are for one goroutine.
type Model struct {
	width, height int
	table         Table
	last          *sample.Sample
	history       map[string]history

	view     View
	reverse  bool
	folded   map[string]bool
	typing   bool // keys go into the filter
	paused   bool
	interval time.Duration

	page    page
	details *sample.Details
	// selected is the key of a row; at is where it was, for when it has ended.
	selected string
	at       int
	top      int // the first row or line that is shown
	scroll   int // the same of the page over the list
}

// View is what of a table is shown, and how.
type View struct {
	Order Order
	// Filter is words that a row must all have.
	Filter string
	// All shows sandboxes, and groups that no engine runs too.
	All bool
}

// page is what is shown.
type page int

const (
	listPage page = iota
	detailPage
	helpPage
)

// history are the last values of a row, the oldest first.
type history struct {
	cpu, memory []float64
}

// remembered is how many values of a row are kept: two minutes at the usual interval.
const remembered = 120

// NewModel is a view that nothing has been read for.
func NewModel(interval time.Duration, v View) *Model {
	return &Model{width: 80, height: 24, interval: within(interval), view: v, folded: map[string]bool{}, history: map[string]history{}}
}

// Interval is the time between samples.
func (m *Model) Interval() time.Duration { return m.interval }

// Paused reports whether samples are not wanted.
func (m *Model) Paused() bool { return m.paused }

// Asks is the key of the thing whose details are shown, "" while none are.
func (m *Model) Asks() string {
	if m.page != detailPage {
		return ""
	}
	return m.selected
}

// Resize takes the size of the terminal.
func (m *Model) Resize(width, height int) { m.width, m.height = width, height }

// Take takes a sample. The first one has no rates.
func (m *Model) Take(s *sample.Sample) {
	m.table = Rates(m.last, s)
	m.last = s
	seen := map[string]history{}
	for i := range m.table.Rows {
		m.remember(seen, &m.table.Rows[i])
	}
	m.history = seen
	m.settle()
}

// remember adds a row's values to its history; that of rows that are gone is dropped.
func (m *Model) remember(seen map[string]history, r *Row) {
	h := m.history[r.Key]
	if r.CPU != nil {
		h.cpu = last(append(h.cpu, *r.CPU))
	}
	if r.Memory != nil {
		h.memory = last(append(h.memory, float64(*r.Memory)))
	}
	seen[r.Key] = h
	for i := range r.Rows {
		m.remember(seen, &r.Rows[i])
	}
}

func last(values []float64) []float64 {
	return values[max(0, len(values)-remembered):]
}

// Explain takes the details that Asks asked for.
func (m *Model) Explain(d *sample.Details) { m.details = d }

// settle finds the selected row again, or takes the one that stands where it was.
func (m *Model) settle() {
	rows := m.visible()
	if len(rows) == 0 {
		m.at, m.top = 0, 0
		if m.page == listPage {
			m.selected = ""
		}
		return
	}
	i := slices.IndexFunc(rows, func(v visible) bool { return v.row.Key == m.selected })
	switch {
	case i >= 0:
		m.at = i
	case m.page == listPage: // details of what has ended stay
		m.at = min(max(m.at, 0), len(rows)-1)
		m.selected = rows[m.at].row.Key
	}
	shown := m.listHeight()
	m.top = min(max(m.top, m.at-shown+1), m.at)
	m.top = max(0, min(m.top, len(rows)-shown))
}

// move selects another row.
func (m *Model) move(by int) {
	rows := m.visible()
	if len(rows) == 0 {
		return
	}
	m.at = min(max(m.at+by, 0), len(rows)-1)
	m.selected = rows[m.at].row.Key
	m.settle()
}

// chosen is the selected row, nil when there is none.
func (m *Model) chosen() *Row {
	return find(m.table.Rows, m.selected)
}

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
func (m *Model) shown(r *Row) bool {
	return m.view.All || r.Kind != look.ClassGroup && r.Kind != look.ClassSandbox
}
