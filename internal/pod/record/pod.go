// Package record is what the engine stores of pods and containers, and how an event of their
// lives changes it. It is pure: the engine reads the clock and asks the machine, and publishes
// and stores what comes of it.
package record

import (
	"encoding/json"
	"fmt"
	"time"

	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
)

// The kinds of records in the Store.
const (
	PodKind       = "pod"
	ContainerKind = "container"
)

// Pod is what is stored of a pod.
type Pod struct {
	Status status.Pod `json:"status"`
	// Namespaces are the effective modes; Peers are the containers, by ID, that
	// kinds are taken from.
	Namespaces spec.Namespaces   `json:"namespaces"`
	Peers      map[string]string `json:"peers,omitempty"`
	// Since is when the present sandbox was asked for, zero while there is none. It
	// is written before the sandbox is made.
	Since time.Time `json:"since,omitzero"`
	// Ahead says that its sandbox has been made ahead and has not been asked for since.
	Ahead bool `json:"ahead,omitempty"`
	// Reaper is PID 1 of the pid namespace that the pod's containers share, 0 without.
	Reaper int `json:"reaper,omitempty"`
	// Removing is written before a removal begins; Recover completes it.
	Removing bool `json:"removing,omitempty"`
}

// Move goes to the state that an event leads to; Conflict when it leads nowhere.
func (r *Pod) Move(ev lifecycle.Event) error {
	next, err := lifecycle.NextPod(r.Status.State, ev)
	if err != nil {
		return fmt.Errorf("pod %s: %w", r.Status.Name, err)
	}
	r.Status.State = next
	return nil
}

// Wake is the start of a pod's sandbox, be it a solo pod's once more: for the state
// table a woken pod that had exited is removed and created anew, under the same ID.
func (r *Pod) Wake() error {
	if r.Status.State == lifecycle.PodExited {
		for _, ev := range []lifecycle.Event{lifecycle.Remove, lifecycle.Create} {
			if err := r.Move(ev); err != nil {
				return err
			}
		}
	}
	return r.Move(lifecycle.Start)
}

// Exit is the end of a pod's sandbox.
func (r *Pod) Exit() error {
	r.Status.Pid, r.Status.Namespaces = 0, nil
	r.Status.Connect(nil)
	r.Since, r.Reaper = time.Time{}, 0
	return r.Move(lifecycle.Exit)
}

// SameSpec compares what was asked; a record that has been read back has lost the
// difference between an empty list and none.
func SameSpec(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}
