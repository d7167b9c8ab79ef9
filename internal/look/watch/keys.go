package watch

import (
	"time"
	"unicode"
	"unicode/utf8"
)

// Key is a key that was pressed: a character, or one of the names below.
type Key string

// The keys that are no characters.
const (
	Up        Key = "up"
	Down      Key = "down"
	Left      Key = "left"
	Right     Key = "right"
	PageUp    Key = "page up"
	PageDown  Key = "page down"
	Home      Key = "home"
	End       Key = "end"
	Enter     Key = "enter"
	Escape    Key = "escape"
	Backspace Key = "backspace"
	Interrupt Key = "interrupt" // control-c
)

// Action is what a key asks of who runs the model, beside drawing it again.
type Action int

// The actions.
const (
	// None is for the model alone.
	None Action = iota
	// Quit ends the view.
	Quit
	// Look reads the details that Asks names.
	Look
	// Tick takes Interval and Paused anew.
	Tick
)

// The Fastest and Slowest that samples follow each other.
const (
	Fastest = 250 * time.Millisecond
	Slowest = time.Minute
)

func within(d time.Duration) time.Duration { return min(max(d, Fastest), Slowest) }

// Press takes a key.
func (m *Model) Press(k Key) Action {
	switch {
	case k == Interrupt:
		return Quit
	case m.typing:
		m.typed(k)
		m.settle()
		return None
	case m.page != listPage:
		return m.pressPage(k)
	}
	if by, ok := step(k, m.listHeight()); ok {
		m.move(by)
		m.settle()
		return None
	}
	switch k {
	case Enter:
		return m.open()
	case Left, Right, "f", " ":
		m.fold(k)
	case "F":
		m.foldAll()
	case Escape:
		m.view.Filter = ""
	case "/":
		m.typing = true
	case "a":
		m.view.All = !m.view.All
	default:
		return m.pressAnywhere(k)
	}
	m.settle()
	return None
}

// pressAnywhere are the keys that mean the same on every page.
func (m *Model) pressAnywhere(k Key) Action {
	switch k {
	case "q", "Q":
		return Quit
	case "?", "h":
		m.page, m.scroll = helpPage, 0
	case "s":
		m.view.Order = m.view.Order.next(1)
	case "S":
		m.view.Order = m.view.Order.next(-1)
	case "r":
		m.reverse = !m.reverse
	case "p":
		m.paused = !m.paused
		return Tick
	case "+", "=":
		m.interval = within(m.interval * 2)
		return Tick
	case "-":
		m.interval = within(m.interval / 2)
		return Tick
	}
	m.settle()
	return None
}

// pressPage are the keys of a page over the list.
func (m *Model) pressPage(k Key) Action {
	if by, ok := step(k, m.height-2); ok {
		m.scroll = m.over().within(m.scroll + by)
		return None
	}
	switch k {
	case Escape, Enter, Backspace, Left:
		m.page = listPage
		m.settle()
		return None
	case "?", "h":
		if m.page == helpPage {
			m.page = listPage
			return None
		}
	}
	return m.pressAnywhere(k)
}

// step is how far a key moves.
func step(k Key, shown int) (by int, ok bool) {
	const far = 1 << 20
	switch k {
	case Up, "k":
		return -1, true
	case Down, "j":
		return 1, true
	case PageUp:
		return -max(shown-1, 1), true
	case PageDown:
		return max(shown-1, 1), true
	case Home, "g":
		return -far, true
	case End, "G":
		return far, true
	}
	return 0, false
}

// typed takes a key into the filter. Enter keeps it, Escape drops it.
func (m *Model) typed(k Key) {
	switch k {
	case Enter, Up, Down:
		m.typing = false
	case Escape:
		m.typing, m.view.Filter = false, ""
	case Backspace:
		_, n := utf8.DecodeLastRuneInString(m.view.Filter)
		m.view.Filter = m.view.Filter[:len(m.view.Filter)-n]
	default:
		if r, n := utf8.DecodeRuneInString(string(k)); n == len(k) && unicode.IsPrint(r) && len(m.view.Filter) < 64 {
			m.view.Filter += string(k)
		}
	}
}

// open shows the details of the selected row.
func (m *Model) open() Action {
	if m.selected == "" {
		return None
	}
	m.page, m.scroll, m.details = detailPage, 0, nil
	return Look
}
