package pod

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/host"
	"carob/internal/plan/cgroup"
	"carob/internal/plan/ident"
	"carob/internal/plan/oci"
	"carob/internal/pod/attempt"
	"carob/internal/pod/execs"
	"carob/internal/pod/feed"
	"carob/internal/pod/plugin"
	"carob/internal/pod/shelf"
	"carob/internal/volume"
)

// Deps is what an engine works with. All fields are required.
type Deps struct {
	Sandboxes Sandboxes
	Processes Processes
	Groups    Groups
	Roots     Roots
	Observer  Observer
	Images    Images
	Volumes   *volume.Store
	Network   Network
	Store     Store
	// Devices describes devices that requests name; Plugins may change or refuse requests.
	Devices plugin.Devices
	Plugins plugin.Hooks

	Facts host.Facts
	// Cgroups decides which cgroups pods and containers get.
	Cgroups cgroup.Placement
	Log     *slog.Logger
	// RunDir is on tmpfs (/run/carob): pods/<id> is a pod's runtime directory.
	RunDir string
	// LibDir is on disk (/var/lib/carob): logs/<podid>/<name>.log.
	LibDir string
	// Ranges is where user namespaces get their ids from.
	Ranges Ranges
}

// Ranges is where user namespaces get their ids from: pieces of Count ids from
// [First, First+Size), never one that overlaps Taken. See package ident.
type Ranges struct {
	First, Size, Count uint32
	// Taken belong to others: /etc/subuid's, say.
	Taken []ident.Range
}

// Engine owns all pods, containers and execs of a host. Its methods may be called
// from any goroutine. See the package comment for its locks and its crash rule.
type Engine struct {
	d      Deps
	events *feed.Feed
	// plans keeps decided seccomp profiles, so that a handler can keep what it
	// compiles of them.
	plans *oci.Builder

	leavers leavers
	execs   *execs.Table
	// attempts are the creates under way.
	attempts *attempt.Group

	// ctx ends with Close: the parent of everything the engine does on its own
	// account (attempts, exits, restarts).
	ctx    context.Context
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	// mu guards what follows. It is held for map access only.
	mu         sync.Mutex
	closed     bool
	pods       map[string]*pod
	containers map[string]*container
	ahead      shelf.Shelf[shape, Sandbox]
	// early holds exits that arrived before Recover knew whose they are.
	early     []ProcessExit
	recovered bool
}

// New returns an engine that knows no pods; Recover loads them. The caller ends it
// with Close.
func New(d Deps) *Engine {
	ctx, cancel := context.WithCancelCause(context.Background())
	e := &Engine{
		d: d, ctx: ctx, cancel: cancel, events: feed.New(), plans: oci.New(), attempts: attempt.New(ctx),
		pods:       map[string]*pod{},
		containers: map[string]*container{},
	}
	e.execs = execs.New(execs.Deps{Processes: d.Processes, Store: d.Store, Log: d.Log, Context: ctx, After: e.after})
	e.spawn(e.receiveExits)
	return e
}

// Close ends the engine's goroutines and waits for them. Pods and containers go
// on; running attempts are cancelled and undone. Subscribers' channels are closed.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	cs := slices.Collect(maps.Values(e.containers))
	e.mu.Unlock()
	e.cancel(errClosed)
	for _, c := range cs {
		c.cancelRestart()
	}
	e.execs.Close()
	e.attempts.Close(errClosed)
	e.work.Wait()
	preparer{e}.forsakeAll()
	e.events.Close()
	return nil
}

// spawn runs f in a goroutine that Close waits for; after Close it does nothing
// and returns false.
func (e *Engine) spawn(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.work.Add(1)
	go func() {
		defer e.work.Done()
		f()
	}()
	return true
}

// after runs f in an engine goroutine when d has passed.
func (e *Engine) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { e.spawn(f) })
}

var errClosed = fault.New(fault.Unavailable, "engine: shutting down")
