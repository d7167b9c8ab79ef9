package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"carob/internal/criu"
	"carob/internal/fault"
	"carob/internal/plan/oci"
	"carob/internal/pod"
	"carob/internal/runtime"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/fd"
	"carob/internal/sys/ns"
)

// Handler is the native handler with checkpoints.
type Handler struct {
	*runtime.Native
	Layout *cgroup.Layout
	// RunDir is /run/carob: bind mounts from below it are carob's own files. Scratch is
	// where archives are unpacked, on disk.
	RunDir, Scratch string
}

// Litter is what an earlier daemon did not live to remove: in there are memories of
// containers. Nothing works in Scratch yet, but that daemon's CRIU may: sweep is called
// when sandboxes have been adopted.
func (h *Handler) Litter() (sweep func() error, err error) {
	all, err := filepath.Glob(filepath.Join(h.Scratch, "*"))
	return func() error {
		var errs []error
		for _, path := range all {
			errs = append(errs, os.RemoveAll(path))
		}
		return errors.Join(errs...)
	}, err
}

const (
	// netKey is the key of the pod's network namespace: runc's, too.
	netKey = "extRootNetNS"
	// groupMode leaves cgroups to carob.
	groupMode = "ignore"
)

// fits refuses what CRIU cannot do.
func fits(p pod.Process) error {
	if p.IDs.Size > 0 {
		return fault.New(fault.Unsupported, "user namespace: criu knows no id-mapped mounts; a container with --userns host can be written down")
	}
	if _, joined := p.Join["pid"]; joined {
		return fault.New(fault.Unsupported, "pid namespace: criu needs one that is the container's own")
	}
	if p.Init {
		return fault.New(fault.Unsupported, "init: its reaping PID 1 is a part of the supervisor's memory")
	}
	return nil
}

// Checkpoint writes a container down.
func (h *Handler) Checkpoint(_ context.Context, p pod.Process, images string, leave bool) error {
	if err := fits(p); err != nil {
		return err
	}
	group, err := h.Layout.Open(p.Cgroup)
	if err != nil {
		return err
	}
	dir, err := os.Open(images)
	if err != nil {
		return err
	}
	defer dir.Close()
	o := options(dir)
	o.LeaveRunning, o.Freezer = leave, criu.Freezer(group)
	if o.External, err = network(p.TargetPid); err != nil {
		return err
	}
	root, err := ns.Root(p.TargetPid)
	if err != nil {
		return err
	}
	defer root.Close()
	var binds []string
	for _, m := range p.Spec.Mounts {
		if bound(m.Type, m.Source) {
			binds = append(binds, fd.Follow(root, m.Destination))
		}
	}
	if err := o.Describe(p.TargetPid, binds); err != nil {
		return err
	}
	return criu.Dump(criu.Command(""), p.TargetPid, o, criu.Hooks{})
}

// options are what a dump and a restore have in common. Connections to the outside end: who
// is restored may have another address.
func options(images *os.File) criu.Options {
	return criu.Options{Images: images, EmptyNet: true, GroupMode: groupMode, FileLocks: true, TCPClose: true}
}

// bound tells whether what is mounted comes from outside of the container.
func bound(kind, source string) bool {
	return slices.Contains([]string{"bind", "overlay"}, kind) || source == oci.ShmSource
}

// network names the network namespace of a process as one that is not the container's: the
// pod's. The host's CRIU does not ask for.
func network(pid int) ([]string, error) {
	inode, err := inodeOf(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, err
	}
	if own, err := inodeOf("/proc/self/ns/net"); err != nil || own == inode {
		return nil, err
	}
	return []string{fmt.Sprintf("net[%d]:%s", inode, netKey)}, nil
}

func inodeOf(name string) (uint64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, fault.Wrap(fault.NotFound, "namespace", err)
	}
	_, inode, _ := fd.Link(info)
	return inode, nil
}
