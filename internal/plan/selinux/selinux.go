// Package selinux decides the SELinux labels of a container: what its process runs as, and
// what its mounts are labelled with. It is pure. A label is user:role:type:level; what a
// request leaves empty comes from the policy's own words for containers, and the level from
// the pod: a pair of categories that no other pod has, so that the kernel keeps apart what
// is of one type.
package selinux

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"

	"carob/internal/fault"
)

// Disable is the request for a process without a label of its own: it keeps the domain of
// the daemon that starts it.
const Disable = "disable"

// Labels are a container's. Either may be empty: the kernel's own decision.
type Labels struct {
	// Process is what execve changes to.
	Process string
	// Mount is every file's in the container's own file systems.
	Mount string
}

// Shared is the mount label that every container may use: that without categories.
func (l Labels) Shared() string {
	parts := split(l.Mount)
	if parts[level] != "" {
		parts[level] = "s0"
	}
	return join(parts)
}

// The parts of a label.
const (
	user = iota
	role
	kind
	level
	count
)

func split(label string) (parts [count]string) {
	copy(parts[:], strings.SplitN(label, ":", count))
	return parts
}

func join(parts [count]string) string {
	if parts[level] == "" {
		return strings.Trim(strings.Join(parts[:level], ":"), ":")
	}
	return strings.Join(parts[:], ":")
}

// With answers the labels of a container. l are those of the policy, podLevel is the pod's
// categories, "" for none. Requests are the pod's, then the container's: each is Disable, or
// a label in which parts may be empty, "" for all of them; a later one stands above an
// earlier. Invalid is a request that is no label, Unsupported one that needs more than the
// policy says.
func (l Labels) With(podLevel string, requests ...string) (Labels, error) {
	process, mount := split(l.Process), split(l.Mount)
	if process[level] != "" && podLevel != "" {
		process[level] = podLevel
	}
	asked, disabled, err := merge(requests)
	if err != nil {
		return Labels{}, err
	}
	process = over(process, asked)
	whole := process[user] != "" && process[role] != "" && process[kind] != ""
	if asked != [count]string{} && !disabled && !whole {
		return Labels{}, fault.New(fault.Unsupported, "selinux label \""+strings.Join(process[:], ":")+
			"\": this host's policy has no label for containers that would fill in the rest: give user, role, type and level")
	}
	if l.Mount != "" {
		mount = over(mount, [count]string{user: asked[user], level: process[level]})
	}
	out := Labels{join(process), join(mount)}
	if disabled {
		out.Process = ""
	}
	return out, nil
}

// merge joins requests; the last that says anything decides whether there is a label.
func merge(requests []string) (asked [count]string, disabled bool, err error) {
	for _, r := range requests {
		if err := Check(r); err != nil {
			return asked, false, err
		}
		switch r {
		case "":
		case Disable:
			disabled = true
		default:
			disabled, asked = false, over(asked, split(r))
		}
	}
	return asked, disabled, nil
}

// over replaces the parts that another label has.
func over(parts, by [count]string) [count]string {
	for i, p := range by {
		if p != "" {
			parts[i] = p
		}
	}
	return parts
}

// words are what labels are made of; they go into an option of a mount, in quotes.
var words = regexp.MustCompile(`^[\w.-]{0,255}:[\w.-]{0,255}:[\w.-]{0,255}:[\w.,:-]*$`)

// longest is a page without the NUL, which is what the kernel takes.
const longest = 4095

// Check refuses, as Invalid, what is not Disable, nor user:role:type:level with or without
// words in the places, nor nothing.
func Check(label string) error {
	if label == "" || label == Disable || len(label) <= longest && words.MatchString(label) {
		return nil
	}
	return fault.New(fault.Invalid, fmt.Sprintf("selinux label %.100q is not user:role:type:level", label))
}

// Context checks a whole label, as the OCI's configuration has it: with a policy without
// levels it has three parts.
func Context(label string) error {
	parts := split(label)
	if parts[user] == "" || parts[role] == "" || parts[kind] == "" || label == Disable {
		return fault.New(fault.Invalid, fmt.Sprintf("selinux label %.100q is not user:role:type:level", label))
	}
	return Check(strings.Join(parts[:], ":"))
}

// categories is how many the policies of all distributions have.
const categories = 1024

// FreeLevel draws a level of two categories that is not in use: there are half a million.
// Labels without levels need none, and nobody is asked.
func (l Labels) FreeLevel(used func(level string) bool) (string, error) {
	if split(l.Process)[level] == "" {
		return "", nil
	}
	for range 10000 {
		a, b := rand.IntN(categories), rand.IntN(categories)
		free := fmt.Sprintf("s0:c%d,c%d", min(a, b), max(a, b))
		if a != b && !used(free) {
			return free, nil
		}
	}
	return "", fault.New(fault.Unavailable, "selinux: no pair of categories is free")
}
