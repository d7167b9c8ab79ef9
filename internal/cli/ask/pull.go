package ask

import "carob/internal/ref"

// When an image is pulled before a container is made of it.
const (
	// PullMissing is when it is not here.
	PullMissing = "missing"
	// PullAlways asks the registry each time.
	PullAlways = "always"
	// PullNever is only what is here.
	PullNever = "never"
)

// PullPolicies are the values of --pull.
func PullPolicies() []string { return []string{PullMissing, PullAlways, PullNever} }

// RegistryOf is the host of the registry that a reference leads to, "" when it is none.
func RegistryOf(name string) string {
	r, err := ref.Parse(name)
	if err != nil {
		return ""
	}
	return r.Registry
}
