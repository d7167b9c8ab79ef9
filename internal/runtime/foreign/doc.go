// Package foreign is the handler of OCI runtimes that are not carob's own: runc, crun,
// gVisor's runsc, or whoever takes their command line. It implements the engine's
// Sandboxes and Processes.
//
// A pod has a supervisor as under the native handler: it holds net, ipc and uts, owns
// streams, terminals, logs and exit codes, and outlives the daemon. Only what makes a
// container is another: a *helper*, the runtime's `run --detach` or `exec --detach`,
// which the supervisor runs with the streams that the container will have. When it has
// ended, the container's process is the supervisor's child and is adopted. Every command of
// the runtime's runs so, in the pod's namespaces and in a mount namespace of the
// pod's: root file systems and volumes are mounted there and nowhere else, so that they go
// with the pod's last process however that ends.
//
// gVisor (runtime "runsc") has no process of the host's for a container: who waits for
// one is `runsc wait`, a process of the supervisor's too, and signals go through
// `runsc kill`. Its sandbox begins with the pod's first container, because it takes over
// the network as it is then: with a container that pauses, or, in a pod of a single
// container, with that.
//
// Files, below the pod's directory: oci/state, the runtime's --root; oci/ID/ per container (the
// ID's first 12 digits) with config.json, rootfs and mounts, on which things are mounted,
// and pid, NAME.json, NAME.log, which commands read and write. All of it goes with the container
// or the pod.
//
// Locks: Handler.mu guards the map of pods; a box's mu orders the beginning of a gVisor
// sandbox. Goroutines that wait for a gVisor container end with the connection to
// the supervisor; Close waits for them.
package foreign
