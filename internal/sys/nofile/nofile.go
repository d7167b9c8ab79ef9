// Package nofile knows the limit of open files that this process was started with. Go
// raises the soft one when package syscall is initialised, and what a runtime starts
// must not inherit that: programs close every descriptor up to the limit, or allocate for
// it. The package imports nothing, so that it is initialised before (the Go
// specification orders packages without dependencies by their import paths).
package nofile

// limits are a soft and a hard one.
type limits struct{ both [2]uint64 }

// started is read before main, and never changed: see the package's comment.
var started = limits{ask()}

func ask() (limit [2]uint64) {
	read(&limit)
	return limit
}

// read is prlimit64(2) of RLIMIT_NOFILE.
//
//go:noescape
func read(limit *[2]uint64)

// Started returns the soft and the hard limit of before.
func Started() (soft, hard uint64) { return started.both[0], started.both[1] }
