package ocicli

import (
	"context"
	"fmt"
	"os"
	"slices"

	"carob/internal/fault"
	"carob/internal/ocirt"
	"carob/internal/sys/task"
)

// inUsers is the word of --rootless by which this program tells itself that it has been
// started anew, in the user namespace that the container is to have.
const inUsers = "in-users"

// needsRoot tells whether a command makes what takes root, for a user who is not. The others,
// and start, do with the rights that the user has over a namespace that is the user's own.
func needsRoot(c command) bool { return c.starts && c.name != "start" && os.Geteuid() != 0 }

// rooted carries out a command that starts processes for a user who is root nowhere: anew, as
// root of the container's user namespace.
func rooted(a *app, c command, args []string) (int, error) {
	argv := slices.Concat([]string{os.Args[0]}, a.before, []string{"--rootless", inUsers, c.name}, args)
	pid, err := startRooted(a, c, argv)
	if err != nil {
		err = fmt.Errorf("without root: %w", err)
		if c.name == "exec" {
			err = &exitError{failedExec, err}
		}
		return 0, err
	}
	id, _, err := task.Find(pid)
	if err != nil {
		return 0, err
	}
	return a.follow(id, nil)
}

func startRooted(a *app, c command, argv []string) (int, error) {
	switch c.name {
	case "create", "run":
		o, err := a.createOptions()
		if err != nil {
			return 0, err
		}
		return ocirt.Rooted(context.Background(), o.Bundle, argv)
	case "exec":
		container, err := a.load()
		if err != nil {
			return 0, err
		}
		return ocirt.RootedIn(container, argv)
	}
	return 0, fault.New(fault.Unsupported, c.name+": takes root")
}
