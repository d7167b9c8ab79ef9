package watch

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"carob/internal/fault"
	"carob/internal/look/sample"
)

// Order is what rows are sorted by.
type Order string

// The orders. All but names put the most on top.
const (
	ByName      Order = "name"
	ByCPU       Order = "cpu"
	ByMemory    Order = "memory"
	ByIO        Order = "io"
	ByNet       Order = "network"
	ByPids      Order = "pids"
	ByThrottled Order = "throttled"
	ByPressure  Order = "pressure"
)

// orders are in the order that the key goes through them.
func orders() []Order {
	return []Order{ByName, ByCPU, ByMemory, ByIO, ByNet, ByPids, ByThrottled, ByPressure}
}

// OrderNames are the orders by name.
func OrderNames() []string {
	var names []string
	for _, o := range orders() {
		names = append(names, string(o))
	}
	return names
}

// ParseOrder reads an order. An unknown one is Invalid.
func ParseOrder(s string) (Order, error) {
	if !slices.Contains(orders(), Order(s)) {
		return "", fault.New(fault.Invalid, "order "+strconv.Quote(s)+": use "+strings.Join(OrderNames(), ", "))
	}
	return Order(s), nil
}

// next is the order after or before one.
func (o Order) next(by int) Order {
	all := orders()
	n := len(all)
	return all[((slices.Index(all, o)+by)%n+n)%n]
}

// visible is a row of the list, with the lines that tie it to its pod.
type visible struct {
	row    *Row
	branch string
}

// visible are the rows that the list has, in order.
func (l *list) visible() []visible {
	var out []visible
	for _, r := range l.sorted(l.table.Rows) {
		below := l.below(r)
		if !l.shown(r) || !l.matches(r) && len(below) == 0 {
			continue
		}
		branch := "  "
		switch {
		case r.Kind != sample.ThingPod && len(below) == 0:
		case l.folded[r.Key]:
			branch = "▸ "
		default:
			branch = "▾ "
		}
		out = append(out, visible{r, branch})
		if l.folded[r.Key] {
			continue
		}
		for i, c := range below {
			branch := "  ├ "
			if i == len(below)-1 {
				branch = "  └ "
			}
			out = append(out, visible{c, branch})
		}
	}
	return out
}

// below are the rows of a pod that the filter leaves: all where the pod itself matches.
func (l *list) below(r *Row) []*Row {
	whole := l.matches(r)
	var out []*Row
	for _, c := range l.sorted(r.Rows) {
		if l.shown(c) && (whole || l.matches(c)) {
			out = append(out, c)
		}
	}
	return out
}

// matches reports whether the filter's words are all in a row's name, engine, state,
// PID or beginning of ID.
func (l *list) matches(r *Row) bool {
	for word := range strings.FieldsSeq(strings.ToLower(l.view.Filter)) {
		in := strings.ToLower(r.Name + "\n" + r.Engine + "\n" + r.State + "\n" + r.Kind)
		if !strings.Contains(in, word) && strconv.Itoa(r.PID) != word && (len(word) < 3 || !strings.HasPrefix(r.ID, word)) {
			return false
		}
	}
	return true
}

// sorted are rows in the chosen order, equal ones by name.
func (l *list) sorted(rows []Row) []*Row {
	out := make([]*Row, len(rows))
	for i := range rows {
		out[i] = &rows[i]
	}
	slices.SortStableFunc(out, func(a, b *Row) int {
		d := cmp.Compare(l.view.Order.of(b), l.view.Order.of(a))
		if l.view.Order == ByName {
			d = cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
		}
		if l.reverse {
			d = -d
		}
		return cmp.Or(d, cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
	})
	return out
}

// of is the number that an order compares; what is not known comes last.
func (o Order) of(r *Row) float64 {
	switch o {
	case ByCPU:
		return known(r.CPU)
	case ByMemory:
		return whole(r.Memory)
	case ByIO:
		return known(r.Read) + known(r.Written)
	case ByNet:
		return known(r.Received) + known(r.Sent)
	case ByPids:
		return whole(r.Pids)
	case ByThrottled:
		return known(r.Throttled)
	case ByPressure:
		some := some10(r.Pressure)
		return some[0] + some[1] + some[2]
	}
	return 0
}

func known(v *float64) float64 {
	if v == nil {
		return -1
	}
	return *v
}

func whole(v *uint64) float64 {
	if v == nil {
		return -1
	}
	return float64(*v)
}
