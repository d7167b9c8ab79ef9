package network

import (
	"fmt"
	"slices"
	"strings"

	"carob/internal/fault"
	"carob/internal/status"
)

// filter is what --filter of ls asks for: all keys must fit, all of the labels, and one of
// the values of each other.
type filter struct{ names, labels, drivers, dangling []string }

func filterOf(words []string) (f filter, err error) {
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		to := map[string]*[]string{"name": &f.names, "label": &f.labels, "driver": &f.drivers, "dangling": &f.dangling}[k]
		switch {
		case !ok || v == "":
			err = fault.New(fault.Invalid, "not KEY=VALUE")
		case to == nil:
			err = fault.New(fault.Invalid, "unknown key (name, label, driver, dangling)")
		case k == "driver" && v != "builtin" && v != "cni":
			err = fault.New(fault.Invalid, "builtin or cni")
		case k == "dangling" && v != "true" && v != "false":
			err = fault.New(fault.Invalid, "true or false")
		}
		if err != nil {
			return f, fmt.Errorf("--filter %q: %w", w, err)
		}
		*to = append(*to, v)
	}
	return f, nil
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
	return anyOf(f.drivers, func(v string) bool { return v == driver }) &&
		anyOf(f.dangling, func(v string) bool { return v == fmt.Sprint(len(n.Members) == 0) }) &&
		anyOf(f.names, func(v string) bool { return strings.Contains(n.Name, v) })
}

func anyOf(asked []string, fits func(string) bool) bool {
	return len(asked) == 0 || slices.ContainsFunc(asked, fits)
}
