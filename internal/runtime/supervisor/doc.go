// Package supervisor is the daemon's side of the pod supervisors: it starts carob-pod,
// keeps the connection to each, and carries out what the engine asks of a process
// that runs, however it was made. What a sandbox and a container are made of is
// the handlers' (packages runtime and foreign).
//
// It owns a sealed copy of the carob-pod binary and keeps no records; after a restart
// of the daemon AdoptSandbox finds everything again from the supervisor's socket.
//
// Files: <pod dir>/supervisor.sock, the supervisor's socket, and
// <pod dir>/supervisor.log, where a crash of the supervisor leaves its trace.
//
// Locks: each map has a mutex, held for access only. Each connection has one reader
// goroutine that ends with it; Close waits for all.
package supervisor
