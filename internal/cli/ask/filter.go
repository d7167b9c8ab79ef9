package ask

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"carob/internal/plan/port"
	"carob/internal/spec"
	"carob/internal/status"
)

// Filter is what --filter of ps asks for; all keys must fit, and one of the values of
// each.
type Filter struct {
	// Pod names a pod whose containers alone are listed.
	Pod string

	// Before and Since are containers, by whom the others were created before, or after.
	Before, Since string

	ids, names, statuses, ancestors []string
	networks, volumes               []string
	published                       []spec.Port
	labels                          map[string]*string
	exited                          []int
}

var states = []string{"created", "running", "paused", "exited"}

// Filters reads words KEY=VALUE.
func Filters(words []string) (Filter, error) {
	f := Filter{labels: map[string]*string{}}
	err := EachFilter(words, f.add)
	return f, err
}

// EachFilter reads the words KEY=VALUE of a flag --filter, of whatever is listed. add takes
// one; it returns what is wrong with it, "" is nothing. The error is Invalid and names the word.
func EachFilter(words []string, add func(key, value string) (wrong string)) error {
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok || v == "" {
			return bad("filter", w, "not KEY=VALUE")
		}
		if wrong := add(k, v); wrong != "" {
			return bad("filter", w, wrong)
		}
	}
	return nil
}

// add takes one key; it returns what is wrong with it.
func (f *Filter) add(k, v string) (wrong string) {
	if words := map[string]*[]string{"id": &f.ids, "name": &f.names, "ancestor": &f.ancestors, "network": &f.networks, "volume": &f.volumes}[k]; words != nil {
		*words = append(*words, v)
		return ""
	}
	if ref := map[string]*string{"pod": &f.Pod, "before": &f.Before, "since": &f.Since}[k]; ref != nil {
		*ref = v
		return ""
	}
	switch k {
	case "label":
		key, value, given := strings.Cut(v, "=")
		f.labels[key] = nil
		if given {
			f.labels[key] = &value
		}
	case "status":
		if !slices.Contains(states, v) {
			return "not one of " + strings.Join(states, ", ")
		}
		f.statuses = append(f.statuses, v)
	case "exited":
		n, err := strconv.Atoi(v)
		if err != nil {
			return "not an exit code"
		}
		f.exited = append(f.exited, n)
	case "publish":
		return f.publish(v)
	default:
		return "unknown key (" + PSKeys + ")"
	}
	return ""
}

// PSKeys are the keys of Filters.
const PSKeys = "id, name, label, status, pod, ancestor, exited, before, since, network, volume, publish"

// publish takes a port of the host, or a range: 80, 80/tcp, 8000-8080/udp.
func (f *Filter) publish(v string) (wrong string) {
	ports, protocol, _ := strings.Cut(v, "/")
	if protocol == "" {
		protocol = "tcp"
	}
	all, err := port.Parse(ports + ":" + ports + "/" + protocol)
	if err != nil {
		return "not a port, or a range of ports, with tcp, udp or sctp: 8080/tcp"
	}
	f.published = append(f.published, all...)
	return ""
}

// States are those the engine is to list; none is all. Without all only what runs is
// listed, unless the filter names states.
func (f Filter) States(all bool) []string {
	if !all && len(f.statuses) == 0 && len(f.exited) == 0 {
		return []string{"running"}
	}
	return nil
}

// Seen is a container with what its pod has.
type Seen struct {
	status.Container
	Networks []string
	Ports    []spec.Port
	// Since and Before are when the containers were created that the filter names.
	Since, Before time.Time
}

// Fits applies the rest.
func (f Filter) Fits(c Seen) bool {
	if !c.Before.IsZero() && !c.CreatedAt.Before(c.Before) || !c.Since.IsZero() && !c.CreatedAt.After(c.Since) {
		return false
	}
	return f.fits(c.Container) &&
		AnyOf(f.networks, func(v string) bool { return slices.Contains(c.Networks, v) }) &&
		AnyOf(f.volumes, func(v string) bool {
			return slices.ContainsFunc(c.Spec.Mounts, func(m spec.Mount) bool { return v == m.Source || v == m.Target })
		}) &&
		AnyOf(f.published, func(want spec.Port) bool {
			return slices.ContainsFunc(c.Ports, func(p spec.Port) bool { return p.HostPort == want.HostPort && protocol(p) == protocol(want) })
		})
}

func protocol(p spec.Port) string { return strings.ToUpper(cmp.Or(p.Protocol, "TCP")) }

func (f Filter) fits(c status.Container) bool {
	state := string(c.State)
	if c.Paused {
		state = "paused"
	}
	for k, want := range f.labels {
		if got, ok := c.Spec.Labels[k]; !ok || want != nil && got != *want {
			return false
		}
	}
	return AnyOf(f.ids, func(v string) bool { return strings.HasPrefix(c.ID, v) }) &&
		AnyOf(f.names, func(v string) bool { return strings.Contains(c.PodName+"/"+c.Name, v) }) &&
		AnyOf(f.statuses, func(v string) bool { return v == state }) &&
		AnyOf(f.ancestors, func(v string) bool {
			return v == c.Image || strings.TrimSuffix(c.Image, ":latest") == v || strings.HasPrefix(c.ImageID, v)
		}) &&
		AnyOf(f.exited, func(n int) bool { return state == "exited" && c.ExitCode == n })
}

// AnyOf is true when no value was asked for or one of them fits.
func AnyOf[T any](asked []T, fits func(T) bool) bool {
	return len(asked) == 0 || slices.ContainsFunc(asked, fits)
}
