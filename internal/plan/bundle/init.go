package bundle

import (
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// UnderInit returns the plan with another first process, a program of the host's that
// executes the command it is given; the plan itself stays as it is. The program is mounted
// in the container's own /dev, where it leaves nothing in the image; a /dev of the host's
// is none of a container's business.
func UnderInit(s *specs.Spec, program string) *specs.Spec {
	at := "/run/carob-init"
	if slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev" && m.Type == "tmpfs" }) {
		at = "/dev/carob-init"
	}
	out, process := *s, *s.Process
	out.Mounts = append(slices.Clone(s.Mounts), specs.Mount{
		Destination: at, Type: "bind", Source: program, Options: []string{"bind", "ro", "nosuid", "nodev"},
	})
	process.Args = append([]string{at}, s.Process.Args...)
	out.Process = &process
	return &out
}
