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
// a system call delays nobody but itself.
//
// A crash at any instant leaves records and sandboxes that Recover brings
// together: what runs is adopted, what ended meanwhile gets its exit code, what
// was half made is removed.
package pod
