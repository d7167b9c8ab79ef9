package network

import (
	"fmt"
	"strings"

	"carob/internal/cli/ask"
	"carob/internal/status"
)

// filter is what --filter of ls asks for: all keys must fit, all of the labels, and one of
// the values of each other.
type filter struct{ names, labels, drivers, dangling []string }

func filterOf(words []string) (f filter, err error) {
	err = ask.EachFilter(words, f.add)
	return f, err
}

func (f *filter) add(k, v string) (wrong string) {
	to := map[string]*[]string{"name": &f.names, "label": &f.labels, "driver": &f.drivers, "dangling": &f.dangling}[k]
	switch {
	case to == nil:
		return "unknown key (name, label, driver, dangling)"
	case k == "driver" && v != "builtin" && v != "cni":
		return "builtin or cni"
	case k == "dangling" && v != "true" && v != "false":
		return "true or false"
	}
	*to = append(*to, v)
	return ""
}

func (f filter) fits(n status.Network) bool {
	driver := n.Driver
	if driver == "" {
		driver = "builtin"
	}
	for _, l := range f.labels {
		key, want, valued := strings.Cut(l, "=")
		if got, ok := n.Labels[key]; !ok || valued && got != want {
			return false
		}
	}
	return ask.AnyOf(f.drivers, func(v string) bool { return v == driver }) &&
		ask.AnyOf(f.dangling, func(v string) bool { return v == fmt.Sprint(len(n.Members) == 0) }) &&
		ask.AnyOf(f.names, func(v string) bool { return strings.Contains(n.Name, v) })
}
