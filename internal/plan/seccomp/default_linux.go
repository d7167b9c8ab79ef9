package seccomp

import (
	"fmt"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Default returns Docker's default profile for a container whose bounding set is
// caps (full names, CAP_SYS_ADMIN): each capability opens the system calls that
// need it. The caller owns the result. Its only dependence on the running
// kernel is ptrace since 4.8, older than any kernel carob runs on.
func Default(caps []string) (*specs.LinuxSeccomp, error) {
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
	p, err := seccomp.GetDefaultProfile(spec)
	if err != nil {
		return nil, fmt.Errorf("default seccomp profile: %w", err)
	}
	return p, nil
}
