// Package ask translates the command line into what is asked of the engine:
// Docker's flags, with Docker's meaning, into spec.Pod and spec.Container. It is pure:
// what it must know of the machine (environment, files, device numbers) it is given
// as functions. Every refusal is one line that begins with the flag's name.
package ask

import (
	"fmt"

	"carob/internal/fault"
)

// Host is what a translation may look up.
type Host struct {
	// LookupEnv is os.LookupEnv, for -e NAME and env files.
	LookupEnv func(name string) (string, bool)
	// ReadFile is os.ReadFile, for --env-file, --label-file and seccomp profiles.
	ReadFile func(name string) ([]byte, error)
	// Abs is filepath.Abs, for volumes written as ./dir.
	Abs func(path string) (string, error)
	// Device returns a block device's numbers, for limits on devices.
	Device func(path string) (major, minor int64, err error)
}

// bad is a refused value of a flag.
func bad(flag, value, why string) error {
	return fault.New(fault.Invalid, fmt.Sprintf("--%s %q: %s", flag, value, why))
}

// clash is a flag that another one rules out.
func clash(flag, why string) error {
	return fault.New(fault.Invalid, "--"+flag+": "+why)
}
