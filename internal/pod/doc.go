// Package pod is the engine: the only owner of pod, container and exec state and
// the only place that orchestrates. It decides with package lifecycle, plan and
// spec, acts through the interfaces in handler.go, and keeps beside every step
// its undo.
//
// Records: one JSON document per pod and per container in the Store, written
// before an operation that must survive a crash of the daemon and after each state
// change. They live as long as the machine runs.
//
// Locks: each pod has a mutex that serialises operations on it; nothing holds two
// of them. The engine's own mutex guards the maps of pods, names and ranges and is
// held for map access only, never across an interface call. Readers (List, Status,
// Inspect, Wait, Events) take immutable snapshots and no pod lock: a pod stuck in
// a system call delays nobody but itself. Stop and kill of a container take no pod
// lock either. Order: pod.lock, then Engine.mu, then the leaves pod.mu, container.mu,
// those of package execs and the event hub's; a record is written under its leaf, so that records,
// snapshots and events of one thing come in one order.
//
// A solo pod, the one around a single container, has a sandbox only while its
// container runs or is about to run again: a start wakes it, an exit lays it to
// rest. An exited container therefore holds no namespaces, and starting it again
// makes new ones under the same IDs and the same range of user ids.
//
// A create runs detached from those who wait for it, so that a retry joins it; see
// attempt.
//
// A crash at any instant leaves records and sandboxes that Recover brings
// together: what runs is adopted, what ended meanwhile gets its exit code, what
// was half made is removed.
//
// Files: RunDir/pods/<id> (0700: the handler's socket and the pod's /etc files),
// LibDir/logs/<podid>.
package pod
