// Package nofile knows the limit of open files that this process was started with. Go
// raises the soft one when package syscall is initialised, and what a runtime starts
// must not inherit that: programs close every descriptor up to the limit, or allocate for
// it. The package imports nothing, so that it is initialised before (the Go
// specification orders packages without dependencies by their import paths).
package nofile

// started is read before main: see the package's comment.
var started = ask()

func ask() (limit [2]uint64) {
	read(&limit)
	return limit
}

// read is prlimit64(2) of RLIMIT_NOFILE.
//
//go:noescape
func read(limit *[2]uint64)

// Started returns the soft and the hard limit of before.
func Started() (soft, hard uint64) { return started[0], started[1] }
