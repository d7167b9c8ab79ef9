// Package kube turns Kubernetes Pod manifests into pods.
//
// Parse reads YAML or JSON and refuses what it does not understand: a field that
// Kubernetes does not know, a field that carob does not honour, and a value the API
// server would not take are errors that name the field's path. Fields that have no
// meaning on one machine are accepted and become warnings. Which field is what
// stands in the table of fields.go, which is checked by reflection against every
// field that a manifest sets; docs/manifest.md is made from it.
//
// Translate is pure: manifest and facts to spec.Pod, spec.Container and volumes.
//
// An Applier carries that out through the engine. On disk it owns one directory,
// Dir: <Dir>/<pod uid>/volumes/<volume name>, 0700 above the volumes; a Memory
// volume is a tmpfs mounted there. The files keep the ids the pod sees: a user
// namespace is bridged by the id-mapped mount the engine makes, so 0:0 is the pod's
// root. A crash leaves at most such a directory with its mounts, which Sweep removes
// when no pod has that uid.
//
// Locks: one per pod name, held over a whole Apply or Delete, so that a repeated
// apply waits for the first and then finds nothing to do. The Applier's own mutex
// guards only the map of those locks.
package kube
