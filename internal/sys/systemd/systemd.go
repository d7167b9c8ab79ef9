// Package systemd asks the service manager, over its private D-Bus socket, for scopes: cgroups
// that it gives away whole (Delegate=yes; https://systemd.io/CGROUP_DELEGATION). It keeps no
// connection and no state. The name of a scope and its slice are all that a caller can
// say: no property is ever made of text from outside (CVE-2024-3154), and limits are
// written below the scope, where systemd does not write.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"

	"carob/internal/fault"
	"carob/internal/plan/cgroup"
)

// patience is for both ends of a job. A connection that systemd drops while it executes
// itself anew says nothing.
const patience = 30 * time.Second

// tries bounds how often a scope is asked for while one of its name is leaving.
const tries = 10

// StartScope has systemd make the scope that a pod's cgroup is in, as StartUnit does.
func StartScope(ctx context.Context, group string, pid int) error {
	u, ok := cgroup.Scope(group)
	if !ok {
		return fault.New(fault.Invalid, "cgroup "+group+": is in no pod's scope")
	}
	return StartUnit(ctx, u, pid)
}

// StartUnit has systemd make a scope around a process, which must be a child that the
// caller has not waited for, and returns when it is there. The scope ends with its last
// process. One of the same name that is still there, of the last run, is stopped first. A
// host without systemd is fault.Unsupported, a systemd that refuses fault.Unavailable.
func StartUnit(ctx context.Context, u cgroup.Unit, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	step := "scope " + u.Name
	c, err := dbus.NewSystemdConnectionContext(ctx)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fault.Wrap(fault.Unsupported, step+": systemd does not run here", err)
	}
	if err != nil {
		return fault.Wrap(fault.Unavailable, step+": systemd", err)
	}
	defer c.Close()
	for n := 1; ; n++ {
		err := start(ctx, c, u, pid)
		if !refusedAs(err, "org.freedesktop.systemd1.UnitExists") || n == tries {
			return fault.Wrap(fault.Unavailable, step, err)
		}
		if err := stop(ctx, c, u.Name); err != nil {
			return fault.Wrap(fault.Unavailable, step+": stop the one before", err)
		}
	}
}

func start(ctx context.Context, c *dbus.Conn, u cgroup.Unit, pid int) error {
	return await(ctx, func(done chan<- string) (int, error) {
		return c.StartTransientUnitContext(ctx, u.Name, "fail", []dbus.Property{
			dbus.PropDescription("carob " + u.Name),
			dbus.PropSlice(u.Slice),
			dbus.PropPids(uint32(pid)),
			property("Delegate", true),
			property("TasksMax", uint64(math.MaxUint64)), // else DefaultTasksMax
			property("CollectMode", "inactive-or-failed"),
			// A pod does not end before the services that may want it at a shutdown.
			property("DefaultDependencies", false),
		}, done)
	})
}

// stop succeeds when the unit is not there, too.
func stop(ctx context.Context, c *dbus.Conn, name string) error {
	err := await(ctx, func(done chan<- string) (int, error) {
		return c.StopUnitContext(ctx, name, "replace", done)
	})
	if refusedAs(err, "org.freedesktop.systemd1.NoSuchUnit") {
		return nil
	}
	return err
}

// await asks for a job and waits for its end.
func await(ctx context.Context, ask func(done chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := ask(done); err != nil {
		return err
	}
	select {
	case result := <-done:
		if result != "done" {
			return fmt.Errorf("systemd's job ended as %q", result)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func property(name string, value any) dbus.Property {
	return dbus.Property{Name: name, Value: godbus.MakeVariant(value)}
}

func refusedAs(err error, name string) bool {
	var refused godbus.Error
	return errors.As(err, &refused) && refused.Name == name
}
