package live

import (
	"github.com/gdamore/tcell/v3"

	"carob/internal/look/ink"
	"carob/internal/look/watch"
)

// open takes a terminal.
func open(tty tcell.Tty) (tcell.Screen, error) {
	// Nothing of what a terminal could answer is needed, and an answer that comes after
	// the end would be typed into the shell.
	s, err := tcell.NewTerminfoScreenFromTty(tty, tcell.OptNegotiation(false), tcell.OptSanitizeContent(true))
	if err != nil {
		return nil, err
	}
	if err := s.Init(); err != nil {
		return nil, err
	}
	for _, f := range fallbacks() {
		for _, r := range f[0] {
			s.RegisterRuneFallback(r, f[1])
		}
	}
	return s, nil
}

// fallbacks are what is shown in a locale that is not of UTF-8, where everything else
// that is not ASCII becomes "?".
func fallbacks() [][2]string {
	return [][2]string{
		{"▁▂▏▎", "_"}, {"▃▄▅▍▌▋", "="}, {"▆▇█▊▉", "#"}, {"·", "."}, {"–", "-"}, {"…", "~"},
		{"›▸", ">"}, {"▾▼↓", "v"}, {"▲↑", "^"}, {"├└", "+"}, {"─", "-"}, {"│", "|"}, {"←", "<"}, {"→", ">"},
	}
}

// show puts a screen on the terminal; only what has changed is written.
func show(s tcell.Screen, lines watch.Screen, colour bool) {
	s.Clear()
	for y, line := range lines {
		x := 0
		for _, span := range line {
			s.PutStrStyled(x, y, span.Text, style(span, colour))
			x += ink.Width(span.Text)
		}
	}
	s.Show()
}

// style is a span's style. Colours are from the first sixteen, which people set to be
// readable on their background. Without colours alarm is bold: left to the library a
// coloured word would be reversed, as the selected row is.
func style(s watch.Span, colour bool) tcell.Style {
	st := tcell.StyleDefault.Bold(s.Bold || s.Ink == ink.Bold).Reverse(s.Reverse)
	switch {
	case s.Ink == ink.Dim:
		return st.Dim(true)
	case !colour && (s.Ink == ink.Red || s.Ink == ink.Yellow):
		return st.Bold(true)
	case !colour || s.Ink == ink.Plain || s.Ink == ink.Bold:
		return st
	}
	switch s.Ink {
	case ink.Red:
		return st.Foreground(tcell.PaletteColor(1))
	case ink.Green:
		return st.Foreground(tcell.PaletteColor(2))
	case ink.Yellow:
		return st.Foreground(tcell.PaletteColor(3))
	}
	return st.Foreground(tcell.PaletteColor(6))
}

// keyOf is the name of a key, "" for one that means nothing here.
func keyOf(e *tcell.EventKey) watch.Key {
	switch e.Key() {
	case tcell.KeyRune:
		if e.Modifiers()&(tcell.ModAlt|tcell.ModCtrl|tcell.ModMeta) != 0 {
			return ""
		}
		return watch.Key(e.Str())
	case tcell.KeyUp:
		return watch.Up
	case tcell.KeyDown:
		return watch.Down
	case tcell.KeyLeft:
		return watch.Left
	case tcell.KeyRight:
		return watch.Right
	case tcell.KeyPgUp, tcell.KeyCtrlB:
		return watch.PageUp
	case tcell.KeyPgDn, tcell.KeyCtrlF:
		return watch.PageDown
	case tcell.KeyHome:
		return watch.Home
	case tcell.KeyEnd:
		return watch.End
	}
	return command(e.Key())
}

// command are the keys that do something instead of moving.
func command(k tcell.Key) watch.Key {
	switch k {
	case tcell.KeyEnter:
		return watch.Enter
	case tcell.KeyEscape:
		return watch.Escape
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		return watch.Backspace
	case tcell.KeyCtrlC:
		return watch.Interrupt
	}
	return ""
}
