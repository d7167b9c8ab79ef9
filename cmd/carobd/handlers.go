package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"carob/internal/api"
	"carob/internal/api/launch"
	"carob/internal/config"
	"carob/internal/cri"
	"carob/internal/roots"
	"carob/internal/runtime"
	"carob/internal/runtime/checkpoint"
	"carob/internal/runtime/foreign"
	"carob/internal/runtime/route"
	"carob/internal/sys/cgroup"
	"carob/internal/sys/systemd"
)

// handlers is what runs pods: carob's own handler and OCI runtimes.
type handlers struct {
	native *runtime.Native
	others map[string]*foreign.Handler
	router *route.Router // what the engine asks
}

// wellKnown are runtimes that need no configuration when they are in PATH.
var wellKnown = [...]string{"runc", "crun", "runsc"}

func openHandlers(s settings, layout *cgroup.Layout, users *roots.Users) (*handlers, error) {
	path, err := launch.Beside("carob-pod")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	native, err := runtime.New(runtime.Config{Supervisor: f, Layout: layout, Users: users, RunDir: s.run, StartScope: systemd.StartScope})
	if err != nil {
		return nil, err
	}
	h := &handlers{native: native, others: map[string]*foreign.Handler{}}
	for name, c := range withWellKnown(s.handlers) {
		h.others[name] = foreign.New(foreign.Config{
			Name: name, Path: c.Path, Options: c.Options, Pool: native.Pool, Layout: layout, Pause: path, RunDir: s.run,
			SearchPath: os.Getenv("PATH"),
		})
	}
	all := map[string]route.Handler{route.Native: &checkpoint.Handler{
		Native: native, Layout: layout, RunDir: s.run, Scratch: filepath.Join(s.root, "restore"),
	}}
	for name, f := range h.others {
		all[name] = f
	}
	h.router = route.New(all, native)
	return h, nil
}

func withWellKnown(configured map[string]config.Handler) map[string]config.Handler {
	all := maps.Clone(configured)
	for _, name := range wellKnown {
		if _, ok := all[name]; ok {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			all[name] = config.Handler{Path: path}
		}
	}
	return all
}

// Close lets go of the supervisors and waits for the handlers.
func (h *handlers) Close() error {
	err := h.native.Close()
	for _, f := range h.others {
		err = errors.Join(err, f.Close())
	}
	return err
}

// describe lists the handlers with what their runtimes say of themselves.
func (h *handlers) describe() []api.Handler {
	out := []api.Handler{{Name: route.Native, RecursiveReadOnlyMounts: true, UserNamespaces: true}}
	for _, name := range slices.Sorted(maps.Keys(h.others)) {
		o := api.Handler{Name: name, Path: h.others[name].Path, RecursiveReadOnlyMounts: true}
		if f, err := h.others[name].Features(); err != nil {
			o.Problem = err.Error()
		} else {
			o.Runtime, o.Version = f.Runtime, f.Version
		}
		out = append(out, o)
	}
	return out
}

// forKubelet lists the OCI runtimes that work, as the CRI's Status has them.
func (h *handlers) forKubelet() []cri.Handler {
	var out []cri.Handler
	for _, one := range h.describe()[1:] {
		if one.Problem == "" {
			out = append(out, cri.Handler{Name: one.Name, RecursiveReadOnlyMounts: one.RecursiveReadOnlyMounts, UserNamespaces: one.UserNamespaces})
		}
	}
	return out
}
