package namespace

import (
	"slices"
	"strings"

	"carob/internal/spec"
)

// Foreseen reports whether the links of a sandbox can be made before it is known: in the
// default network, and with no sysctl that a new link takes up from its namespace when it
// is made (net.ipv4.conf.default and the like), or that names a link.
func Foreseen(joins []spec.Join, sysctls map[string]string) bool {
	for name := range sysctls {
		if words := strings.Split(name, "."); slices.Contains(words, "conf") || slices.Contains(words, "neigh") {
			return false
		}
	}
	return len(joins) == 0
}
