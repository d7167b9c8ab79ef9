package resctrl

import "strings"

// schema is what one field of linux.intelRdt asks for.
type schema struct {
	field string
	lines []string
}

func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// differs compares the lines that are asked for with a schemata file, and returns the
// first thing in which that is different: resources and caches that are not asked for
// may have what they have.
func differs(file string, asked []string) string {
	have := map[string]map[string]string{}
	for _, line := range lines(file) {
		name, values := parse(line)
		have[name] = values
	}
	for _, line := range asked {
		name, values := parse(line)
		for cache, want := range values {
			if got, ok := have[name][cache]; !ok || got != want {
				return name + ":" + cache + "=" + got + ", not " + want
			}
		}
	}
	return ""
}

// parse takes a line apart: a resource, and what of it in each cache. The kernel pads
// bitmasks with zeros and bandwidths with spaces.
func parse(line string) (resource string, values map[string]string) {
	resource, rest, _ := strings.Cut(line, ":")
	values = map[string]string{}
	for part := range strings.SplitSeq(rest, ";") {
		cache, value, _ := strings.Cut(part, "=")
		value = strings.ToLower(strings.TrimSpace(value))
		values[strings.TrimSpace(cache)] = strings.TrimLeft(strings.TrimPrefix(value, "0x"), "0")
	}
	return strings.TrimSpace(resource), values
}
