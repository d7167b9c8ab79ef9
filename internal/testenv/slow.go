package testenv

import (
	"os"
	"strconv"
	"time"
)

// SlowVariable is the environment variable that says how many times slower than
// real hardware this machine is: under emulation, say 10.
const SlowVariable = "CAROB_TEST_SLOW"

// Patience is how long a test waits, on this machine, for what takes at most d on real
// hardware. It is for giving up and for measured limits; what a test wants to
// happen after d still happens after d.
func Patience(d time.Duration) time.Duration {
	n, err := strconv.ParseFloat(os.Getenv(SlowVariable), 64)
	if err != nil || n < 1 {
		return d
	}
	return time.Duration(n * float64(d))
}
