// Package kube makes pods of Kubernetes manifests and removes them again. Package
// manifest reads and translates them; an Applier carries that out through the
// engine and keeps the pods' volumes.
//
// On disk it owns one directory, Dir: <Dir>/<pod uid>/volumes/<volume name>, 0700
// above the volumes; a Memory volume is a tmpfs mounted there. The files keep the
// ids the pod sees: a user namespace is bridged by the id-mapped mount the engine
// makes, so 0:0 is the pod's root. A crash leaves at most such a directory with its
// mounts, which Sweep removes when no pod has that uid.
//
// Locks: one per pod name, held over the whole making or removing of that pod, so
// that a repeated apply waits for the first and then finds nothing to do. The
// Applier's own mutex guards only the map of those locks.
package kube
