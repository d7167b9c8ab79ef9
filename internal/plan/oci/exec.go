package oci

import (
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/fault"
	"carob/internal/plan/ident"
	"carob/internal/spec"
)

// Process plans one more process in a running container. container is the process
// of that container's plan and stays unchanged; id is the resolved e.User and
// counts only when e.User is not empty. Limits, labels and no_new_privs are the
// container's; so are the capabilities, unless e is privileged: then all of them,
// which in a pod with a user namespace of its own are good for that namespace only.
// The errors are Invalid.
func Process(r Request, container *specs.Process, e spec.Exec, id ident.Identity) (*specs.Process, error) {
	if len(e.Command) == 0 || e.Command[0] == "" {
		return nil, fault.New(fault.Invalid, "exec: no command: give one")
	}
	if err := noNUL("exec: command", e.Command); err != nil {
		return nil, err
	}
	out := *container
	out.ConsoleSize = nil
	out.Terminal = e.TTY
	out.Args = slices.Clone(e.Command)
	out.Rlimits = slices.Clone(container.Rlimits)
	out.User.AdditionalGids = slices.Clone(container.User.AdditionalGids)
	if e.User != "" {
		out.User = user(id)
	}
	var err error
	if out.Env, err = execEnvironment(r, container, e, id.Home); err != nil {
		return nil, err
	}
	if e.WorkingDir != "" {
		if out.Cwd, err = workingDir(e.WorkingDir, ""); err != nil {
			return nil, err
		}
	}
	out.Capabilities, err = execCapabilities(r, container, e, out.User.UID)
	return &out, err
}

// execEnvironment is the container's environment with the request's words over it.
// What was only a default follows the new process: HOME another user, TERM a
// terminal.
func execEnvironment(r Request, container *specs.Process, e spec.Exec, home string) ([]string, error) {
	env := newEnviron(2 + len(container.Env) + len(e.Env))
	for _, w := range container.Env {
		env.set(w)
	}
	if e.User != "" && !said(r, "HOME") {
		env.unset("HOME")
	}
	if _, has := env.at["TERM"]; e.TTY && !has {
		env.set("TERM=xterm")
	} else if has && !e.TTY && container.Terminal && !said(r, "TERM") {
		env.unset("TERM")
	}
	if err := env.override(e.Env); err != nil {
		return nil, err
	}
	return env.finish(home)
}

// said tells whether the image or the request gives a variable.
func said(r Request, key string) bool {
	has := func(w string) bool { return strings.HasPrefix(w, key) && strings.HasPrefix(w[len(key):], "=") }
	return slices.ContainsFunc(r.Image.Env, has) || (r.Container != nil && slices.ContainsFunc(r.Container.Env, has))
}

// execCapabilities starts from the bounding set, which root has in full whoever the
// container's own process is. A container that is privileged has all already, less
// what it dropped by name.
func execCapabilities(r Request, container *specs.Process, e spec.Exec, uid uint32) (*specs.LinuxCapabilities, error) {
	if e.Privileged {
		caps, err := ident.Capabilities(nil, nil, true)
		if err != nil {
			return nil, err
		}
		if caps, err = held(r, caps, nil); err != nil {
			return nil, err
		}
		return ident.ForUser(caps, uid), nil
	}
	if container.Capabilities == nil {
		return nil, nil
	}
	all := *container.Capabilities
	all.Effective, all.Permitted = all.Bounding, all.Bounding
	return ident.ForUser(&all, uid), nil
}
