package ocirt

import (
	"context"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
)

// Resctrl names the group that a container with this id has in the resctrl file system, and
// makes nothing. Unsupported says that there is no such file system.
type Resctrl func(rdt *specs.LinuxIntelRdt, id string) (Shares, error)

// Shares is a container's group in the resctrl file system, as resctrl.Group is.
type Shares interface {
	// Make makes what is not there; on an error nothing of that remains.
	Make(rdt *specs.LinuxIntelRdt) error
	// Undo removes what Make has made.
	Undo() error
	// Add moves a process, which has one thread, into the group.
	Add(pid int) error
	// Remove removes what ends with the container.
	Remove() error
}

// shares is the container's, nil if linux.intelRdt asks for none: then nothing of that file
// system is touched.
func shares(c *Container, spec *specs.Spec) (Shares, error) {
	if spec.Linux.IntelRdt == nil {
		return nil, nil
	}
	return c.r.Resctrl(spec.Linux.IntelRdt, c.ID)
}

// share makes the container's group and returns what its process is put there with.
func (n *creation) share() (add func(pid int) error, err error) {
	s, err := shares(n.Container, n.spec)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return func(int) error { return nil }, nil
	}
	if err := s.Make(n.spec.Linux.IntelRdt); err != nil {
		return nil, err
	}
	n.undo.Push("resctrl group", func(context.Context) error { return s.Undo() })
	return s.Add, nil
}

// unshare removes what of the container's group ends with it. A file system that is no
// longer mounted has taken its groups along.
func unshare(c *Container, spec *specs.Spec) error {
	s, err := shares(c, spec)
	switch {
	case fault.Is(err, fault.Unsupported):
		return nil
	case err != nil || s == nil:
		return err
	}
	return s.Remove()
}
