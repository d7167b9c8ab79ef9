package lifecycle

import "time"

// Docker's back-off: the first restart comes after 100 ms, each further one after
// twice as long up to a minute; a process that ran for 10 s begins anew.
const (
	firstDelay  = 100 * time.Millisecond
	longestWait = time.Minute
	goodRun     = 10 * time.Second
)

// NextDelay is the delay before the next restart, given the one before the last and
// how long the process ran.
func NextDelay(last, ran time.Duration) time.Duration {
	if last == 0 || ran >= goodRun {
		return firstDelay
	}
	return min(2*last, longestWait)
}
