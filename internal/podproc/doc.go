// Package podproc is the pod supervisor: what runs inside carob-pod, one small
// process per pod that holds the sandbox and is the parent of everything in it. It
// starts processes by running programs of system calls (package spawn), pumps
// their output into logs and to attached clients, owns their terminals, and keeps
// how they ended until the daemon has seen it. It decides nothing: what a
// container is has been compiled into the program it is given. It outlives the
// daemon and obeys whoever connects last (package wire).
//
// One goroutine runs one epoll loop and owns all state; there are no locks. No
// request, child or client can stop the loop: every descriptor is non-blocking,
// children report through a pipe, and a client that does not read pauses only the
// stream it is attached to. The exceptions are writes to log files, which are
// regular files, and Setup, which runs in this process.
//
// Memory is the product. Steady work allocates nothing: records are recycled, data
// passes through one buffer, and what must wait lies in mappings of its own that
// are given back. It imports nothing that imports fmt or net.
//
// # Life of a process
//
//	Spawn → starting → running → ended → Forget
//	   │       └→ failed: forgotten as soon as the child is reaped
//	   └→ made → Adopt → running, or End → ended     (by a helper, see package wire)
//
// A process has ended when its first process has; others that still hold its
// streams do not delay that, and find them closed. What they had written up to
// then is logged and delivered. For a client that has not read everything by then its
// pipe is widened, by what a stream held at most; one that cannot be is served from
// memory until it has all or hangs up.
//
// # Streams
//
// An attached client loses no byte: while one is full, the stream is not read and
// the process waits, as it would without a supervisor. The log comes first, so a
// slow client never delays what has been read. A log that cannot be written
// (ENOSPC) loses lines rather than stopping the container; the number of lost
// bytes is logged as soon as writing works again.
package podproc
