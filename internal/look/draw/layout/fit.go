package layout

import "strings"

// memo remembers widths: the same texts are measured for every width that is tried.
type memo struct {
	Metrics
	seen map[Font]map[string]int
}

func (m *memo) width(f Font, s string) int {
	if w, ok := m.seen[f][s]; ok {
		return w
	}
	if m.seen[f] == nil {
		m.seen[f] = map[string]int{}
	}
	w := m.Measure(f, s)
	m.seen[f][s] = w
	return w
}

// fit cuts a text to a width, at its end.
func (m *memo) fit(f Font, s string, room int) string {
	if m.width(f, s) <= room {
		return s
	}
	r := []rune(s)
	n := longest(len(r), func(n int) bool { return m.Measure(f, strings.TrimRight(string(r[:n]), " ")+"…") <= room })
	if n == 0 {
		return ""
	}
	return strings.TrimRight(string(r[:n]), " ") + "…"
}

// middle cuts a text to a width, in the middle: a path's end tells most.
func (m *memo) middle(f Font, s string, room int) string {
	if m.width(f, s) <= room {
		return s
	}
	r := []rune(s)
	part := func(n int) string { return string(r[:n/3]) + "…" + string(r[len(r)-(n-n/3):]) }
	n := longest(len(r)-1, func(n int) bool { return m.Measure(f, part(n)) <= room })
	if n < 3 {
		return m.fit(f, s, room)
	}
	return part(n)
}

// longest is the largest number up to most that fits, 0 when none does. What fits, fits
// shorter too.
func longest(most int, fits func(int) bool) int {
	low, high := 0, most
	for low < high {
		mid := (low + high + 1) / 2
		if fits(mid) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// wrap breaks a text into lines of a width at its spaces; a word that is too long is cut.
func (m *memo) wrap(f Font, s string, room int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		longer := strings.TrimSpace(line + " " + word)
		if line != "" && m.Measure(f, longer) > room {
			lines = append(lines, m.fit(f, line, room))
			longer = word
		}
		line = longer
	}
	if line != "" {
		lines = append(lines, m.fit(f, line, room))
	}
	return lines
}
