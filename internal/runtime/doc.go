// Package runtime is the native handler: it makes containers itself, through
// carob-pod, the pod supervisor, and implements the engine's Sandboxes and
// Processes.
//
// What it owns: compiled seccomp filters. It decides nothing: what to run comes as a
// finished OCI specification, package initstage turns it into a program, the
// supervisor runs that. It keeps no records.
//
// Subpackages: supervisor is the daemon's side of the supervisors, of every handler;
// foreign is the handler of OCI runtimes; route picks a pod's handler.
package runtime
