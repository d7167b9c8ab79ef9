package status

import (
	"slices"
	"strings"
)

// Filter chooses pods or containers. The zero Filter chooses all.
type Filter struct {
	// ID is the beginning of an ID.
	ID string
	// Labels must all be there with these values.
	Labels map[string]string
	// States are the names of states, of which one must be the thing's.
	States []string
	// PodRef names a pod; only it, or its containers, are chosen.
	PodRef string
	// Solo, when set, chooses pods that are (true) or are not solo.
	Solo *bool
}

// Fits reports whether a thing is chosen by all but PodRef, which is for those who know names.
func (f *Filter) Fits(id string, labels map[string]string, state string, solo bool) bool {
	if !strings.HasPrefix(id, f.ID) || len(f.States) > 0 && !slices.Contains(f.States, state) || f.Solo != nil && *f.Solo != solo {
		return false
	}
	for k, v := range f.Labels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// WaitCondition is what a container's end is waited for by.
type WaitCondition string

// The conditions, Docker's.
const (
	// WaitExit is satisfied while the container does not run, at once for one that was
	// never started; the answer is its last exit.
	WaitExit WaitCondition = ""
	// WaitNextExit is satisfied by the next exit after the call.
	WaitNextExit WaitCondition = "next-exit"
	// WaitRemoved is satisfied when the container has been removed.
	WaitRemoved WaitCondition = "removed"
)
