package oci

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/plan/seccomp"
)

// standard is the default profile; the empty text only makes it fit beside Profile.
func standard(_ string, m Machine) (*specs.LinuxSeccomp, error) { return seccomp.Default(m.Caps) }
