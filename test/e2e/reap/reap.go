// Package reap gives a test program a parent that reaps the processes that its tests leave
// without one: daemons, supervisors, what `exec --detach` starts. The machine's process 1 may
// take its time for that: half a minute has been seen, and for as long as that the end of a
// pid namespace waits, and with it a container's.
package reap

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"carob/internal/testenv"
)

// variable says to this program that it runs below carob-init.
const variable = "CAROB_TEST_REAPED"

// Main runs tests and exits as they say, below carob-init if that has been built. It is
// called by TestMain, before anything else.
func Main(run func() int) {
	if _, below := os.LookupEnv(variable); !below {
		if err := again(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	_ = os.Unsetenv(variable) // a name without "=" is no error
	os.Exit(run())
}

// again executes this program below carob-init. It returns if there is none, or on an error.
func again() error {
	bin, err := testenv.BinDir()
	if err != nil {
		return nil // nothing but carob's binaries leaves anything, and tests ask for them
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Setenv(variable, "1"); err != nil {
		return err
	}
	initial := filepath.Join(bin, "carob-init")
	return &os.PathError{Op: "exec", Path: initial, Err: syscall.Exec(initial, append([]string{initial, self}, os.Args[1:]...), os.Environ())}
}
