//go:build !linux

package oci

import (
	"runtime"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// standard has no answer here: the default profile is built for Linux only.
func standard(string, Machine) (*specs.LinuxSeccomp, error) {
	return nil, fault.New(fault.Unsupported, "seccomp: no default profile on "+runtime.GOOS)
}
