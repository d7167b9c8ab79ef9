// Package lifecycle is the table of states of pods and containers: which event
// leads from which state to which, and nothing else. It is pure; the engine asks
// it before it acts, and every transition that is not in the table is a typed
// refusal. The container table is the CRI's (CREATED, RUNNING, EXITED), the pod
// table its READY and NOTREADY with the moments before and after.
package lifecycle

import (
	"fmt"

	"carob/internal/fault"
)

// ContainerState is where a container is in its life.
type ContainerState string

// The container states. Absent is before create and after remove.
const (
	ContainerAbsent  ContainerState = ""
	ContainerCreated ContainerState = "created"
	ContainerRunning ContainerState = "running"
	ContainerExited  ContainerState = "exited"
)

// PodState is where a sandbox is in its life.
type PodState string

// The pod states. Absent is before run and after remove.
const (
	PodAbsent  PodState = ""
	PodCreated PodState = "created"
	PodReady   PodState = "ready"
	PodExited  PodState = "exited"
)

// Event is what happens to a pod or container.
type Event string

// The events.
const (
	Create Event = "create"
	Start  Event = "start"
	Exit   Event = "exit"
	Remove Event = "remove"
)

// TransitionError is a transition that the table does not have. Its fault kind is
// Conflict.
type TransitionError struct {
	Thing string
	From  string
	Event Event
}

// Error says which event met which state.
func (e *TransitionError) Error() string {
	from := e.From
	if from == "" {
		from = "absent"
	}
	return fmt.Sprintf("%s: cannot %s while %s", e.Thing, e.Event, from)
}

// Unwrap gives the error its fault kind.
func (e *TransitionError) Unwrap() error { return fault.New(fault.Conflict, "illegal transition") }

// NextContainer returns the state that event leads to, or a *TransitionError.
func NextContainer(from ContainerState, ev Event) (ContainerState, error) {
	if to, ok := containers[from][ev]; ok {
		return to, nil
	}
	return from, &TransitionError{Thing: "container", From: string(from), Event: ev}
}

// NextPod returns the state that event leads to, or a *TransitionError.
func NextPod(from PodState, ev Event) (PodState, error) {
	if to, ok := pods[from][ev]; ok {
		return to, nil
	}
	return from, &TransitionError{Thing: "pod", From: string(from), Event: ev}
}

var containers = map[ContainerState]map[Event]ContainerState{
	ContainerAbsent:  {Create: ContainerCreated, Remove: ContainerAbsent}, // CRI: removing what is gone succeeds
	ContainerCreated: {Start: ContainerRunning, Exit: ContainerExited, Remove: ContainerAbsent},
	ContainerRunning: {Exit: ContainerExited},                                                   // removing a running one is kill, exit, remove
	ContainerExited:  {Start: ContainerRunning, Remove: ContainerAbsent, Exit: ContainerExited}, // Docker: start again
}

var pods = map[PodState]map[Event]PodState{
	PodAbsent:  {Create: PodCreated, Remove: PodAbsent},
	PodCreated: {Start: PodReady, Exit: PodExited, Remove: PodAbsent},
	PodReady:   {Exit: PodExited},
	PodExited:  {Remove: PodAbsent, Exit: PodExited}, // CRI: StopPodSandbox is idempotent; a stopped sandbox is never ready again
}
