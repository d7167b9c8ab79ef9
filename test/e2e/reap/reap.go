// Package reap makes a test program the parent of the processes that its tests leave without
// one: daemons, supervisors, what `exec --detach` starts. Where they belong to the machine's
// process 1 it may take its time: half a minute has been seen, and for as long as that the
// end of a pid namespace waits, and with it a container's.
package reap

import (
	"fmt"
	"os"

	"carob/internal/sys/reaper"
)

// variable says to this program that it runs below itself.
const variable = "CAROB_TEST_REAPED"

// Main runs tests in a child of this process, which reaps whatever they leave, and exits as
// that does. It is called by TestMain, before anything else.
func Main(run func() int) {
	if os.Getenv(variable) != "" {
		_ = os.Unsetenv(variable) // a name without "=" is no error
		os.Exit(run())
	}
	code, err := below()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func below() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	if err := os.Setenv(variable, "1"); err != nil {
		return 1, err
	}
	return reaper.Run(append([]string{self}, os.Args[1:]...))
}
