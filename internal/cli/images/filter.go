package images

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"carob/internal/api"
	"carob/internal/cli/ask"
	"carob/internal/cli/show"
	"carob/internal/fault"
)

// Filter is what --filter of images asks for; all keys must fit, and one of the values
// of each that can be given twice.
type Filter struct {
	dangling   string // "", "true" or "false"
	labels     []string
	references []string
	before     []string
	since      []string
	until      time.Time
}

// Filters reads words KEY=VALUE, and patterns of names as arguments.
func Filters(words, patterns []string, now time.Time) (Filter, error) {
	f := Filter{references: slices.Clone(patterns)}
	err := ask.EachFilter(words, func(k, v string) string { return f.add(k, v, now) })
	if err != nil {
		return f, err
	}
	for _, p := range f.references {
		if _, err := path.Match(p, ""); err != nil {
			return f, fault.New(fault.Invalid, fmt.Sprintf("--filter %q: %s", "reference="+p, err))
		}
	}
	return f, nil
}

func (f *Filter) add(k, v string, now time.Time) (wrong string) {
	switch k {
	case "dangling":
		if v != "true" && v != "false" {
			return "true or false"
		}
		f.dangling = v
	case "label":
		f.labels = append(f.labels, v)
	case "reference":
		f.references = append(f.references, v)
	case "before":
		f.before = append(f.before, v)
	case "since":
		f.since = append(f.since, v)
	case "until":
		f.until, wrong = moment(v, now)
	default:
		return "unknown key (dangling, label, reference, before, since, until)"
	}
	return wrong
}

// moment reads a time, or how long ago it was.
func moment(s string, now time.Time) (_ time.Time, wrong string) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), ""
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, ""
		}
	}
	return time.Time{}, "neither a duration such as 24h nor a time such as 2026-01-02T15:04:05Z"
}

// Apply chooses from all images there are, listed once per name. NotFound is an image
// that before or since names and is not there.
func (f Filter) Apply(all []api.Image) ([]show.Image, error) {
	var older, newer []time.Time
	for _, names := range []struct {
		refs []string
		into *[]time.Time
	}{{f.before, &older}, {f.since, &newer}} {
		for _, r := range names.refs {
			i := slices.IndexFunc(all, func(m api.Image) bool { return leadsTo(r, m) })
			if i < 0 {
				return nil, fault.New(fault.NotFound, "--filter: image "+r+": not in the local store")
			}
			*names.into = append(*names.into, all[i].Created)
		}
	}
	return slices.DeleteFunc(show.ByName(all), func(i show.Image) bool {
		return !f.fits(i) || slices.ContainsFunc(older, func(t time.Time) bool { return !i.Created.Before(t) }) ||
			slices.ContainsFunc(newer, func(t time.Time) bool { return !i.Created.After(t) })
	}), nil
}

// leadsTo tells whether a word names the image: by name, by name without "latest", or
// by the beginning of its ID.
func leadsTo(word string, m api.Image) bool {
	return slices.Contains(m.Names, word) || slices.Contains(m.Names, word+":latest") ||
		strings.HasPrefix(strings.TrimPrefix(m.ID, "sha256:"), strings.TrimPrefix(word, "sha256:"))
}

func (f Filter) fits(i show.Image) bool {
	if f.dangling != "" && (f.dangling == "true") != (i.Name == "") {
		return false
	}
	if !f.until.IsZero() && i.Created.After(f.until) {
		return false
	}
	for _, l := range f.labels {
		key, value, exact := strings.Cut(l, "=")
		if got, ok := i.Config.Labels[key]; !ok || exact && got != value {
			return false
		}
	}
	return len(f.references) == 0 || slices.ContainsFunc(f.references, func(p string) bool { return matches(p, i.Name) })
}

// matches holds a pattern against a name with its tag, without it, and against their
// last parts, as Docker does.
func matches(pattern, name string) bool {
	repo, _ := show.SplitName(name)
	for _, s := range []string{name, repo, path.Base(name), path.Base(repo)} {
		if ok, _ := path.Match(pattern, s); ok { // the pattern was checked
			return name != ""
		}
	}
	return false
}
