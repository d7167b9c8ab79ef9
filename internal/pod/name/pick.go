package name

import (
	"fmt"
	"strings"

	"carob/internal/fault"
)

// Candidate is a thing a reference may mean. Of several with one name, the live
// one is meant, and among those that are not the newest.
type Candidate struct {
	ID, Title string
	Live      bool
	Rank      int64
}

// Pick chooses among things that carry the name that was asked for.
func Pick(what, ref string, cs []Candidate) (string, error) {
	var live []Candidate
	for _, c := range cs {
		if c.Live {
			live = append(live, c)
		}
	}
	switch {
	case len(live) > 1:
		return "", ambiguous(what, ref, live)
	case len(live) == 1:
		return live[0].ID, nil
	}
	best := cs[0]
	for _, c := range cs[1:] {
		if c.Rank > best.Rank {
			best = c
		}
	}
	return best.ID, nil
}

func ambiguous(what, ref string, cs []Candidate) error {
	const most = 5
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

// Only returns the one candidate there is.
func Only(what, ref string, cs []Candidate) (string, error) {
	switch len(cs) {
	case 0:
		return "", NotFound(what, ref)
	case 1:
		return cs[0].ID, nil
	}
	return "", ambiguous(what, ref, cs)
}

// NotFound says that nothing is called so.
func NotFound(what, ref string) error {
	return fault.New(fault.NotFound, what+" "+ref+": no such "+what)
}
