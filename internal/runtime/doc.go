// Package runtime is the native handler: it runs pods' sandboxes and containers
// through carob-pod, the pod supervisor, and implements the engine's Sandboxes and
// Processes.
//
// What it owns: the connection to each pod's supervisor, compiled seccomp filters, and a sealed copy of the carob-pod binary. It
// decides nothing: what to run comes as a finished OCI specification, package
// initstage turns it into a program, the supervisor runs that. It keeps no records;
// after a restart of the daemon AdoptSandbox finds everything again from the
// supervisor's socket.
//
// Files: <pod dir>/supervisor.sock, the supervisor's socket, and
// <pod dir>/supervisor.log, where a crash of the supervisor leaves its trace.
//
// Locks: Native.mu guards the maps and is held for map access only. Each
// connection has one reader goroutine that ends with it; Close waits for all.
package runtime
