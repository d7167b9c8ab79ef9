package facts

import (
	"strconv"

	"github.com/moby/sys/capability"
)

// CapNames are the capabilities of a set as capabilities(7) writes them, without
// "CAP_" and in order of number.
func CapNames(set uint64) []string {
	var out []string
	for i := range 64 {
		if set&(1<<i) == 0 {
			continue
		}
		if c := capability.Cap(i); i < len(capability.ListKnown()) {
			out = append(out, c.String())
		} else {
			out = append(out, "cap_"+strconv.Itoa(i)) // newer than this program
		}
	}
	return out
}

// Has reports whether a set has a capability by its name.
func Has(set uint64, name string) bool {
	for _, c := range capability.ListKnown() {
		if c.String() == name {
			return set&(1<<uint(c)) != 0
		}
	}
	return false
}

// AllCaps is the set of every capability that this program knows.
func AllCaps() uint64 { return 1<<len(capability.ListKnown()) - 1 }

// Every reports whether a set has all capabilities; an older kernel may lack the newest.
func Every(set uint64) bool {
	older := AllCaps() >> 1
	return set&older == older
}
