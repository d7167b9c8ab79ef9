// Package asked translates what the kubelet asks for (CRI messages) into what the
// engine understands (package spec). It decides nothing about this machine, touches
// nothing and keeps nothing: what it must know of the host stands in Host.
//
// Every field of a request is honoured, has no meaning for this runtime (docs/cri.md
// says which and why), or is refused with an error that names it.
package asked

import (
	"fmt"

	"carob/internal/fault"
	"carob/internal/host"
)

// Host is what a translation must know of the machine.
type Host struct {
	Facts host.Facts
	// Hostname is the host's own.
	Hostname string
	// Hugetlb says that cgroups can limit huge pages.
	Hugetlb bool
	// ReadProfile reads a seccomp profile, a file of the host.
	ReadProfile func(path string) (string, error)
	// CheckAppArmor refuses an AppArmor profile that is not loaded.
	CheckAppArmor func(profile string) error
}

// HandlerNative is the name of the runtime handler that is always there; "" means it.
const HandlerNative = "native"

func invalid(field, format string, args ...any) error {
	return fault.New(fault.Invalid, field+": "+fmt.Sprintf(format, args...))
}

func unsupported(field, format string, args ...any) error {
	return fault.New(fault.Unsupported, field+": "+fmt.Sprintf(format, args...))
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
