package watch

import (
	"time"

	"carob/internal/look/sample"
)

// Model is the state of the view. Its methods are for one goroutine.
type Model struct {
	list
	width, height int
	last          *sample.Sample
	typing        bool // keys go into the filter
	paused        bool
	interval      time.Duration

	page    page
	details *sample.Details
	scroll  int // the first line of the page that is shown
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
	return &Model{
		list:  list{view: v, folded: map[string]bool{}, history: map[string]history{}},
		width: 80, height: 24, interval: within(interval),
	}
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
func (l *list) remember(seen map[string]history, r *Row) {
	h := l.history[r.Key]
	if r.CPU != nil {
		h.cpu = last(append(h.cpu, *r.CPU))
	}
	if r.Memory != nil {
		h.memory = last(append(h.memory, float64(*r.Memory)))
	}
	seen[r.Key] = h
	for i := range r.Rows {
		l.remember(seen, &r.Rows[i])
	}
}

func last(values []float64) []float64 {
	return values[max(0, len(values)-remembered):]
}

// Explain takes the details that Asks asked for.
func (m *Model) Explain(d *sample.Details) { m.details = d }

// settle keeps the selected row in sight. Details of what has ended stay.
func (m *Model) settle() { m.list.settle(m.listHeight(), m.page == detailPage) }

// listHeight is how many rows find room.
func (m *Model) listHeight() int {
	return max(1, m.height-len(m.head())-2) // the heads of columns, the keys
}
