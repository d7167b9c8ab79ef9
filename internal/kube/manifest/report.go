package manifest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"carob/internal/fault"
)

// maxProblems bounds what one error lists; a hostile manifest must not turn 2 MiB
// into a hundred.
const maxProblems = 50

// report collects what is wrong with a manifest and what has no effect.
type report struct {
	prefix   string
	problems []error
	more     int
	warnings []string
}

func (r *report) add(kind fault.Kind, path, text string) {
	if len(r.problems) == maxProblems {
		r.more++
		return
	}
	r.problems = append(r.problems, fault.New(kind, oneLine(r.prefix+path+": "+text)))
}

// oneLine keeps what a manifest says about itself from filling or driving a
// terminal: keys are quoted nowhere.
func oneLine(s string) string {
	const most = 1000
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}

func (r *report) invalid(path, text string) { r.add(fault.Invalid, path, text) }

func (r *report) invalidf(path, format string, args ...any) {
	r.invalid(path, fmt.Sprintf(format, args...))
}

func (r *report) unsupported(path, text string) { r.add(fault.Unsupported, path, text) }

func (r *report) warn(path, text string) {
	if len(r.warnings) < maxProblems {
		r.warnings = append(r.warnings, oneLine(r.prefix+path+": "+text))
	}
}

// rules adds what Kubernetes' own validation functions say.
func (r *report) rules(path, value string, complaints []string) {
	for _, c := range complaints {
		c, _, _ = strings.Cut(c, " (e.g. ") // a regular expression says less than the sentence before it
		r.invalidf(path, "%q: %s", value, c)
	}
}

func (r *report) clean() bool { return len(r.problems) == 0 }

func (r *report) merge(o *report) {
	for _, p := range o.problems {
		if len(r.problems) == maxProblems {
			r.more++
			continue
		}
		r.problems = append(r.problems, p)
	}
	r.more += o.more
	r.warnings = append(r.warnings, o.warnings...)
}

// err joins the problems, Invalid ones first: they decide the kind.
func (r *report) err() error {
	if r.clean() {
		return nil
	}
	sorted := slices.Clone(r.problems)
	slices.SortStableFunc(sorted, func(a, b error) int {
		return int(fault.KindOf(a)) - int(fault.KindOf(b))
	})
	if r.more > 0 {
		sorted = append(sorted, fmt.Errorf("and %d more", r.more))
	}
	return errors.Join(sorted...)
}

func sortedKeys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// didYouMean is " (did you mean X?)" when a known name is close to the written one.
func didYouMean(written string, known []string) string {
	best, at := 3, ""
	if len(written) < 5 {
		best = 2
	}
	for _, k := range known {
		if strings.EqualFold(k, written) {
			at = k
			break
		}
		if d := distance(strings.ToLower(written), strings.ToLower(k), best); d < best {
			best, at = d, k
		}
	}
	if at == "" {
		return ""
	}
	return " (did you mean " + at + "?)"
}

// distance counts the insertions, deletions, replacements and swaps of neighbours
// between a and b; anything from limit on is limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return min(prev[len(b)], limit)
}
