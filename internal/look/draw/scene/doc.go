// Package scene decides what a drawing shows: which cgroups are nested in which, which
// containers stand side by side, and which namespaces cross which of them. It is pure:
// from what package look observed to a Scene, the same every time. Where things go on
// paper is package layout's.
//
// Text that a process chose is made harmless here, once, so that nothing behind this
// package has to ask: what is not printable is replaced, and what is long is cut. Marks
// of a format (XML, dot) are escaped by whoever writes that format.
package scene

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"carob/internal/look"
	"carob/internal/look/group"
)

// Input is what was observed.
type Input struct {
	Host *look.Host
	// Groups is the root of the tree of cgroups, nil where it could not be read.
	Groups *group.Group
	// Mode is the version of cgroups, "" when unknown; Memory the machine's in bytes.
	Mode   group.Mode
	Memory uint64
	// Name is the host's.
	Name string
	// Addresses are by inode of a net namespace, Maps by inode of a user namespace: how
	// its users are mapped, in words.
	Addresses map[uint64][]string
	Maps      map[uint64]string
	// Focus is what is asked for; the host means everything.
	Focus look.Thing
}

// Scene is a drawing before it has any measure.
type Scene struct {
	Title string
	// Facts are about the machine and what was found, in words.
	Facts []string
	// Root is the outermost cgroup.
	Root *Frame
	// Kinds are the kinds of namespaces that are to be seen, in order.
	Kinds []look.Kind
	// Compact asks for less about each of many.
	Compact bool
	// Notes say what could not be read.
	Notes []string
}

// Frame is a cgroup with what is inside.
type Frame struct {
	// Path is the cgroup's; Label is the part of it below the frame around it.
	Path, Label string
	Meters      []Meter
	Cards       []*Card
	Frames      []*Frame
}

// Meter is one limit or use of a cgroup.
type Meter struct {
	Name string // memory, cpu, pids
	// Text is in words: "3MiB of 256MiB"; Short is the limit alone, "" without one.
	Text, Short string
	// Share is the used part of the limit from 0 to 1, below 0 when there is no limit
	// or use does not count against it.
	Share float64
}

// Card is a pod, a container outside of pods, or containers that share namespaces
// though nobody calls them a pod.
type Card struct {
	// Key names the card for programs, and never changes while it lives.
	Key string
	// Is is "pod", or the class of its only column, or "shared" for several
	// containers that are no pod.
	Is, Name, Engine, ID string
	Addresses            []string
	// Group is the cgroup of all columns but the first Outside, nil when there is no
	// such one beside those of the columns themselves. A pod's sandbox may be outside
	// of where its containers are: where there is no Group, it stands among them.
	Group   *Frame
	Outside int
	Columns []Column
	Lanes   []Lane
	// Words say who shares what.
	Words string
}

// Alone reports whether the card is nothing but one container.
func (c *Card) Alone() bool { return len(c.Columns) == 1 && c.Is != "pod" }

// Column is one container.
type Column struct {
	Key             string
	Class, Name, ID string
	Engine          string
	// Path is its cgroup, Label that below the card's or the whole of it outside.
	Path, Label string
	Meters      []Meter
	// Note is what there is to say where Meters show no limit, "" where they do.
	Note      string
	Processes []Process
	Focus     bool

	of *look.Container
	// stray is true for one whose cgroup is not beside those of the others.
	stray bool
}

// Process is a process of a container.
type Process struct {
	PID     int
	Command string
	Focus   bool
	// Odd are the kinds of namespaces in which it is not where its container is.
	Odd []look.Kind
}

// Lane is one row of outlines: all namespaces of one kind, or of several kinds that are
// shared in the same way.
type Lane struct {
	Outlines []Outline
}

// Outline is one namespace, or several that the same containers are in.
type Outline struct {
	Namespaces []look.Namespace
	// Members are indices of columns, in order.
	Members []int
	// Host is true for the host's own.
	Host bool
	// Elsewhere is how many containers outside of this card are in it too; of the
	// host's nobody counts them.
	Elsewhere int
	// Detail is what there is to say of it: addresses, mapped users.
	Detail string
}

// longest is the most of a process's text that is kept, in characters.
const longest = 300

// Clean makes a text that a process chose harmless to show: no control or formatting
// characters, no heaps of combining marks, and not longer than anyone would read.
func Clean(s string) string {
	var b strings.Builder
	marks, n := 0, 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks++; marks > 2 {
				continue
			}
		case r == utf8.RuneError || !unicode.IsPrint(r):
			r, marks = '?', 0
		default:
			marks = 0
		}
		if n++; n > longest {
			return b.String() + "…"
		}
		b.WriteRune(r)
	}
	return b.String()
}
