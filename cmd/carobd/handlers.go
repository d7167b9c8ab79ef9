package main

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"

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
	// resuming is native with checkpoints.
	resuming *checkpoint.Handler
	router   *route.Router // what the engine asks
	base     foreign.Config
	sweep    func() error // what restores have left: after recovery

	mu     sync.Mutex // guards what follows
	others map[string]*foreign.Handler
	// former are those that pods cannot choose any more and may still have.
	former []*foreign.Handler
}

// wellKnown are runtimes that need no configuration when they are in PATH.
var wellKnown = [...]string{"runc", "crun", "runsc"}

func openHandlers(s settings, layout *cgroup.Layout, users *roots.Users, log *slog.Logger) (*handlers, error) {
	path, err := launch.Beside("carob-pod")
	if err != nil {
		return nil, err
	}
	init, err := launch.Beside("carob-init")
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	native, err := runtime.New(runtime.Config{Supervisor: f, Layout: layout, Users: users, RunDir: s.run, StartScope: systemd.StartScope, Log: log})
	if err != nil {
		return nil, err
	}
	resuming := &checkpoint.Handler{Native: native, Layout: layout, RunDir: s.run, Scratch: filepath.Join(s.root, "restore")}
	sweep, err := resuming.Litter()
	if err != nil {
		return nil, err
	}
	h := &handlers{
		native: native, resuming: resuming, sweep: sweep,
		router: route.New(nil, native),
		base:   foreign.Config{Pool: native.Pool, Layout: layout, Pause: path, Init: init, RunDir: s.run, SearchPath: os.Getenv("PATH")},
	}
	h.use(s.handlers)
	return h, nil
}

// use gives pods that are run from now on these runtimes to choose from. One that stays
// what it is stays the same handler.
func (h *handlers) use(configured map[string]config.Handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	others, all := map[string]*foreign.Handler{}, map[string]route.Handler{route.Native: h.resuming}
	for name, c := range configured {
		one, ok := h.others[name]
		if !ok || one.Path != c.Path || !slices.Equal(one.Options, c.Options) {
			f := h.base
			f.Name, f.Path, f.Options = name, c.Path, c.Options
			one = foreign.New(f)
		}
		others[name], all[name] = one, one
	}
	for name, one := range h.others {
		if others[name] != one {
			h.former = append(h.former, one)
		}
	}
	h.others = others
	h.router.Replace(all)
}

// withWellKnown adds the runtimes that are in PATH.
func withWellKnown(all map[string]config.Handler) map[string]config.Handler {
	if all == nil {
		all = map[string]config.Handler{}
	}
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
	h.mu.Lock()
	all := slices.AppendSeq(h.former, maps.Values(h.others))
	h.mu.Unlock()
	for _, f := range all {
		err = errors.Join(err, f.Close())
	}
	return err
}

// describe lists the handlers with what their runtimes say of themselves.
func (h *handlers) describe() []api.Handler {
	h.mu.Lock()
	others := h.others // replaced, never changed
	h.mu.Unlock()
	out := []api.Handler{{Name: route.Native, RecursiveReadOnlyMounts: true, UserNamespaces: true}}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		o := api.Handler{Name: name, Path: others[name].Path, RecursiveReadOnlyMounts: true}
		if f, err := others[name].Features(); err != nil {
			o.Problem = err.Error()
		} else {
			o.Runtime, o.Version, o.UserNamespaces = f.Runtime, f.Version, !f.Sentry
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
