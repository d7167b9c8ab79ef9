// Package wire is the protocol between the daemon and a pod supervisor: packets of
// one fixed size on a SOCK_SEQPACKET socket, files beside them by SCM_RIGHTS. It
// does no I/O. Fixed packets need no parser and no memory in the supervisor, whose
// size is part of the product; what is long, the program of system calls that makes
// a container, is passed as a file (package spawn).
//
// A connection carries requests from the daemon, each answered by one packet with
// the same Seq (List: by one per process and a last one with Handle 0), and Exit
// events. One connection counts at a time: a new one replaces the old, whose
// owner has died or lost patience.
//
//	op        files                                    A                    B             C         reply
//	Hello     –                                        version              –             –         A version, B processes, C pid
//	Setup     program, its files                       0 or Ahead           –             –         Err, A step
//	Spawn     program, by flags: log, oom, terminal,   flags                target        room      A pid, or Err, A step
//	          client stdin, stdout, stderr; its files                       handle
//	Signal    –                                        signal               –             –         Err
//	Attach    by flags: stdin, stdout, stderr          flags                –             –         Err
//	Resize    –                                        rows                 columns       –         Err
//	Reopen    log                                      room                 –             –         Err
//	Adopt     by flags: terminal, stdin, stdout,       flags                pid           –         A pid
//	          stderr
//	End       –                                        wait status          –             –         Err
//	List      –                                        –                    –             –         A pid, B flags, C status, D ended
//	Forget    –                                        –                    –             –         Err
//	Quit      –                                        0 or 1               –             –         Err
//	Exit      (event)                                  wait status          flags         oom kills D ended
//	Full      (event)                                  –                    –             –         –
//
// Handle names a process; the daemon chooses it at random, never 0. Err is an
// errno. Times are nanoseconds since 1970. The files of a request are the
// supervisor's from then on. Common errnos: EPROTO not a packet, ENOSYS unknown
// op, EINVAL wrong flags or number of files, ENOENT unknown handle, ESRCH the
// process has ended. And in particular:
//
//   - A supervisor is *settled* by its first request that is not a Setup with Ahead. Before,
//     it ends with its connection: nobody else knows of it.
//   - Spawn is answered when the command executes, or with the failure; other
//     requests go on meanwhile, and Signal reaches the process. If it is killed
//     before execve it counts as begun, and Exit follows. If the connection that
//     asked is gone, List tells, and a failed program shows as a process that
//     ended with status 127. EEXIST: the handle is in use. ESRCH: no live target.
//   - With Helper, the program runs somebody else's command that makes the process,
//     an OCI runtime's, with the streams that the process will have, and Spawn is
//     answered when that has ended: with status 0 the process is *made*, else with
//     ECHILD and the wait status in A. What a made process is, comes next. Adopt names
//     it: a child by then, because the supervisor is the nearest subreaper
//     (PR_SET_CHILD_SUBREAPER) and whoever made it has gone; it may have ended already.
//     A terminal comes with it, and the clients of that; with pid 0 only those, which a
//     running process can be given too. End says of a process that is nobody's child
//     that it has ended. ECHILD: no such child; EBUSY: the process is not a made one.
//     Signal reaches a helper and what it has started; killed, it has made nothing.
//   - Attach takes pipes or sockets that are the client's own: they are made
//     non-blocking, for whoever shares the open file (never pass a person's
//     terminal), and what the client does not read makes the process wait. Each
//     ends by itself when its other end closes. ENXIO: there is no standard input;
//     EPIPE: it has been closed. It is closed when a client's input ends if
//     StdinOnce is set or OpenStdin is not; a terminal never is.
//   - A terminal's slave has to be opened blocking, which os.OpenFile does not do: the
//     flag would be the container's.
//   - Reopen also gives a log to a process without one. ENOTTY: Resize without a
//     terminal.
//   - Room is how many bytes a log may take until Full asks for another file, 0 being no
//     bound. The log goes on meanwhile: Full comes again with every FullAgain bytes until
//     Reopen. Nobody hears it without a daemon: the next one looks at the file.
//   - Exit comes once, on the connection of the moment. List has it until Forget.
//     EBUSY: Forget of a process that runs.
//   - Quit is EBUSY with live processes, or with clients that have not read all of
//     an ended one. A 1 kills the ones and drops the others.
package wire

import (
	"encoding/binary"
	"strings"
)

// Version is the protocol version. A supervisor outlives the daemon that started
// it, so every daemon must speak to older ones.
const Version = 1

// Op says what a packet is.
type Op uint16

// The operations; never renumber.
const (
	Hello Op = iota + 1
	Setup
	Spawn
	Signal
	Attach
	Resize
	Reopen
	List
	Forget
	Quit
	Adopt
	End
	Exit Op = 100
	Full Op = 101
)

// FullAgain is how many bytes a log that has taken its room takes until the next Full.
const FullAgain = 1 << 20

// Flags of Spawn and Attach (what files come, in this order, and how the process
// runs) and of Exit and List (how it ended).
const (
	// HasLog: a log file in CRI format, opened for appending.
	HasLog = 1 << iota
	// HasOOM: the cgroup's memory.oom_control or memory.events, to count OOM kills.
	HasOOM
	// HasTerminal: the master of a pseudo terminal; the slave is among the
	// program's own files.
	HasTerminal
	// HasStdin, HasStdout, HasStderr: the client's ends of the standard streams.
	HasStdin
	HasStdout
	HasStderr
	// OpenStdin keeps the process's standard input open with nobody attached.
	OpenStdin
	// StdinOnce ends standard input when the first client's input ends.
	StdinOnce
	// Ended marks, in List, a process that has ended.
	Ended
	// OOMKilled marks a process that ended after an OOM kill in its cgroup.
	OOMKilled
	// Starting marks, in List, a process whose program has not come to execve yet.
	Starting
	// Helper: the program's command makes the process and is not the process itself. In
	// List, with Ended: it has made nothing, and the connection that asked was gone.
	Helper
	// Made marks, in List, a process whose helper has done its work.
	Made
)

// Ahead, in a Setup, says that nobody has asked for the sandbox yet; another Setup follows
// when somebody does.
const Ahead = 1

// HugePages is the file that tells whether the kernel gives huge pages unasked.
const HugePages = "/sys/kernel/mm/transparent_hugepage/enabled"

// Env is the environment that a supervisor is to be started with, given what the file
// HugePages holds, "always [madvise] never". It keeps the Go runtime small: one P,
// each of which costs 75 KB, and an early collection as a safety net. Where the
// kernel gives huge pages unasked, as Debian's does, a heap of 150 KB would be one
// of 2 MB; elsewhere GODEBUG is left alone, since setting it costs 12 KB.
func Env(hugePages string) []string {
	env := []string{"GOMAXPROCS=1", "GOGC=25"}
	if strings.Contains(hugePages, "[always]") {
		env = append(env, "GODEBUG=disablethp=1")
	}
	return env
}

// Size is the size of every packet in bytes.
const Size = 48

// MaxFiles is the most files one packet can carry (SCM_MAX_FD).
const MaxFiles = 253

// Packet is one message.
type Packet struct {
	Op         Op
	Err        uint16
	Seq        uint32
	Handle     uint64
	A, B, C, D uint64
}

// Encode writes p to b.
func (p *Packet) Encode(b *[Size]byte) {
	le := binary.LittleEndian
	le.PutUint16(b[0:], uint16(p.Op))
	le.PutUint16(b[2:], p.Err)
	le.PutUint32(b[4:], p.Seq)
	le.PutUint64(b[8:], p.Handle)
	le.PutUint64(b[16:], p.A)
	le.PutUint64(b[24:], p.B)
	le.PutUint64(b[32:], p.C)
	le.PutUint64(b[40:], p.D)
}

// Decode reads p from b.
func (p *Packet) Decode(b *[Size]byte) {
	le := binary.LittleEndian
	p.Op = Op(le.Uint16(b[0:]))
	p.Err = le.Uint16(b[2:])
	p.Seq = le.Uint32(b[4:])
	p.Handle = le.Uint64(b[8:])
	p.A = le.Uint64(b[16:])
	p.B = le.Uint64(b[24:])
	p.C = le.Uint64(b[32:])
	p.D = le.Uint64(b[40:])
}

// Files counts the files that the flags announce.
func Files(flags uint64) int {
	n := 0
	for f := uint64(HasLog); f <= HasStderr; f <<= 1 {
		if flags&f != 0 {
			n++
		}
	}
	return n
}
