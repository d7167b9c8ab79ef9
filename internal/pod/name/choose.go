package name

import (
	"fmt"
	"slices"
	"strings"

	"carob/internal/fault"
)

// IsHex reports whether s could be the beginning of an ID.
func IsHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// Candidate is a thing a reference may mean. Of several with one name, the live
// one is meant, and among those that are not the one of the highest rank.
type Candidate struct {
	ID, Title string
	Live      bool
	Rank      int64
}

// most is how many names an error lists.
const most = 5

// Pick chooses among things that carry the name that was asked for; there is one at
// least. Several live ones are Invalid. what names the kind of thing.
func Pick(what, ref string, cs []Candidate) (id string, err error) {
	c, err := pick(what, ref, cs)
	return c.ID, err
}

func pick(what, ref string, cs []Candidate) (Candidate, error) {
	var live []Candidate
	for _, c := range cs {
		if c.Live {
			live = append(live, c)
		}
	}
	switch {
	case len(live) > 1:
		return Candidate{}, ambiguous(what, ref, live)
	case len(live) == 1:
		return live[0], nil
	}
	best := cs[0]
	for _, c := range cs[1:] {
		if c.Rank > best.Rank {
			best = c
		}
	}
	return best, nil
}

// Only returns the one candidate there is: NotFound without one, Invalid with several.
func Only(what, ref string, cs []Candidate) (id string, err error) {
	switch len(cs) {
	case 0:
		return "", NotFound(what, ref)
	case 1:
		return cs[0].ID, nil
	}
	return "", ambiguous(what, ref, cs)
}

// NotFound says that ref means nothing.
func NotFound(what, ref string) error {
	return fault.New(fault.NotFound, what+" "+ref+": no such "+what)
}

// notAmong is NotFound for whoever knows the pod: it is told the containers, by title.
func notAmong(ref, but string, titles []string) error {
	if len(titles) == 0 {
		return NotFound("container", ref)
	}
	slices.Sort(titles)
	titles = slices.Compact(titles) // attempts
	if len(titles) > most {
		titles = append(titles[:most], fmt.Sprintf("%d more", len(titles)-most))
	}
	return fault.New(fault.NotFound, "container "+ref+": "+but+" "+strings.Join(titles, ", "))
}

func ambiguous(what, ref string, cs []Candidate) error {
	var names []string
	for i, c := range cs {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(cs)-most))
			break
		}
		names = append(names, fmt.Sprintf("%s (%s)", c.ID[:12], c.Title))
	}
	return fault.New(fault.Invalid, fmt.Sprintf("%s %s: means several: %s", what, ref, strings.Join(names, ", ")))
}
