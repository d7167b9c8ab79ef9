// Package nri lets plugins of the Node Resource Interface (https://github.com/containerd/nri) see
// pods and containers, change containers before they are made, and change their limits later. It is
// the engine's plugin.Hooks, over containerd's adaptation library, which speaks with the plugins
// and settles what several of them want of one container.
//
// One goroutine, the pump, has all conversation with plugins: it takes the engine's events in their
// order, and before it asks about something it tells all that has happened before. So a plugin
// hears of create, start, stop and remove in this order, and a question waits for what it
// depends on. A plugin that does not answer is left behind after the request timeout; until then the
// pump, and whoever asks, waits: other pods at most that long, and once, because the plugin is
// disconnected (unless it has asked to be kept). Nothing waits for plugins to be told of something.
//
// What plugins change is a request to the engine like any other. Limits of other containers that
// they want changed are changed by goroutines of their own, which hold up nobody.
//
// Files: the socket, 0600. It is taken from nobody who answers there.
//
// Locks: the library's synchronisation lock is held while plugins are asked or told, and while a
// new one is shown what there is: that one misses nothing. known is guarded by it.
package nri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/adaptation"
	"github.com/containerd/nri/pkg/api"
	nrilog "github.com/containerd/nri/pkg/log"
	grpcstatus "google.golang.org/grpc/status"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/nri/shown"
	"carob/internal/pod"
	"carob/internal/pod/plugin"
	"carob/internal/status"
)

// Config says where plugins are and how patient to be.
type Config struct {
	// Socket is where plugins connect.
	Socket string
	// PluginDir has plugins to be launched, ConfigDir their configurations.
	PluginDir, ConfigDir string
	// Registration and Request bound how long a plugin may take to register, and to answer.
	Registration, Request time.Duration
	// Version is carob's own.
	Version string
	// Devices describes the CDI devices that plugins ask for.
	Devices plugin.Devices
	Log     *slog.Logger
}

// Plugins is the plugins that are connected. Its methods may be called from any goroutine.
type Plugins struct {
	c       Config
	library *adaptation.Adaptation
	engine  *pod.Engine

	requests chan request
	// ctx ends with Close, and with it all goroutines.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	known known
	// mu guards updating: the containers whose limits plugins are changing.
	mu       sync.Mutex
	updating map[string]int
}

// request is a question for the pump.
type request struct {
	ctx  context.Context
	ask  func(context.Context) error
	done chan error
}

// LogTo says where the library logs, once in a process and before New.
func LogTo(log *slog.Logger) { nrilog.Set(logger{log}) }

// New returns plugins that nobody can reach yet. The library's timeouts are those of the whole
// process.
func New(c Config) (*Plugins, error) {
	n := &Plugins{c: c, requests: make(chan request), known: newKnown(), updating: map[string]int{}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	adaptation.SetPluginRegistrationTimeout(c.Registration)
	adaptation.SetPluginRequestTimeout(c.Request)
	var err error
	n.library, err = adaptation.New("carob", c.Version, n.synchronize, updater{n}.update,
		adaptation.WithSocketPath(c.Socket), adaptation.WithPluginPath(c.PluginDir), adaptation.WithPluginConfigPath(c.ConfigDir))
	if err != nil {
		return nil, fmt.Errorf("nri: %w", err)
	}
	return n, nil
}

// Serve launches plugins and lets others connect, until Close. The engine has recovered; questions that it has
// asked meanwhile have waited.
func (n *Plugins) Serve(e *pod.Engine) error {
	n.engine = e
	if conn, err := net.Dial("unix", n.c.Socket); err == nil {
		_ = conn.Close()
		return fault.New(fault.Exists, "nri: "+n.c.Socket+": somebody answers there already; choose another socket")
	}
	events := e.Events(n.ctx, 0)
	n.learn()
	if err := n.library.Start(); err != nil {
		return fmt.Errorf("nri: %w", err)
	}
	n.work.Go(func() { n.pump(events) })
	if err := os.Chmod(n.c.Socket, 0o600); err != nil {
		return fmt.Errorf("nri: %w", err)
	}
	return nil
}

// learn fills known with what an earlier daemon has left.
func (n *Plugins) learn() {
	for _, p := range n.engine.Pods(status.Filter{}) {
		if p.State != lifecycle.PodAbsent {
			n.known.pods[p.ID] = &knownPod{PodSandbox: shown.Pod(p), solo: p.Spec.Solo, stopped: p.State == lifecycle.PodExited && !p.Spec.Solo}
		}
	}
	for _, c := range n.engine.Containers(status.Filter{}) {
		if c.State != lifecycle.ContainerAbsent && n.known.pods[c.PodID] != nil {
			n.known.containers[c.ID] = n.show(c)
		}
	}
}

// show is a container as plugins see it.
func (n *Plugins) show(c status.Container) *api.Container {
	in, err := n.engine.InspectContainer(n.ctx, c.ID)
	if err != nil { // it has just ended or gone
		return shown.Container(c, in.OCI)
	}
	return shown.Container(in.Container, in.OCI)
}

// Close disconnects plugins, ends those that were launched, and waits for what is going on. The
// engine has closed: nobody asks any more.
func (n *Plugins) Close() error {
	n.cancel()
	n.work.Wait()
	if n.engine != nil {
		n.library.Stop()
	}
	return nil
}

// ask has the pump ask plugins, after all that has happened before this call.
func (n *Plugins) ask(ctx context.Context, ask func(context.Context) error) error {
	r := request{ctx, ask, make(chan error, 1)}
	select {
	case n.requests <- r:
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, "nri: plugins are busy", context.Cause(ctx))
	case <-n.ctx.Done():
		return fault.New(fault.Unavailable, "nri: shutting down")
	}
	return <-r.done
}

// pump is the only one who speaks with plugins.
func (n *Plugins) pump(events <-chan status.Event) {
	feed := feed{n: n, events: events}
	for {
		select {
		case ev, ok := <-feed.events:
			feed.next(ev, ok)
		case r := <-n.requests:
			feed.catchUp()
			r.done <- n.converse(func() error { return r.ask(r.ctx) })
		case <-n.ctx.Done():
			return
		}
	}
}

// feed is the engine's events as far as plugins have been told of them.
type feed struct {
	n      *Plugins
	events <-chan status.Event
	last   uint64
}

func (f *feed) next(ev status.Event, ok bool) {
	switch {
	case !ok: // the engine has closed
		f.events = nil
	case ev.Action == "lost":
		f.events = f.n.engine.Events(f.n.ctx, f.last+1)
	default:
		f.last = ev.Seq
		teller{f.n}.tell(ev)
	}
}

// catchUp tells of all that has happened by now.
func (f *feed) catchUp() {
	for f.n.ctx.Err() == nil {
		select {
		case ev, ok := <-f.events:
			f.next(ev, ok)
		default:
			return
		}
	}
}

// converse keeps new plugins out while others are asked or told.
func (n *Plugins) converse(f func() error) error {
	block := n.library.BlockPluginSync()
	defer block.Unblock()
	return f()
}

// synchronize shows a new plugin what all others know. Nobody is asked or told meanwhile.
func (n *Plugins) synchronize(ctx context.Context, show adaptation.SyncCB) error {
	var pods []*api.PodSandbox
	var containers []*api.Container
	for _, p := range n.known.pods {
		if !p.stopped {
			pods = append(pods, p.PodSandbox)
		}
	}
	for id, c := range n.known.containers {
		if now, err := n.engine.Container(id); err == nil {
			shown.Refresh(c, now)
		}
		containers = append(containers, c)
	}
	updates, err := show(ctx, pods, containers)
	updater{n}.apply(updates)
	return err
}

// logger is the library's log.
type logger struct{ log *slog.Logger }

func (l logger) Debugf(ctx context.Context, format string, args ...any) {
	l.log.DebugContext(ctx, "nri: "+fmt.Sprintf(format, args...))
}

func (l logger) Infof(ctx context.Context, format string, args ...any) {
	l.log.InfoContext(ctx, "nri: "+fmt.Sprintf(format, args...))
}

func (l logger) Warnf(ctx context.Context, format string, args ...any) {
	l.log.WarnContext(ctx, "nri: "+fmt.Sprintf(format, args...))
}

func (l logger) Errorf(ctx context.Context, format string, args ...any) {
	l.log.ErrorContext(ctx, "nri: "+fmt.Sprintf(format, args...))
}

// refused is a plugin's no, or that it did not answer.
func refused(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, "nri", err)
	}
	return fault.New(fault.Denied, "nri: refused by a plugin: "+grpcstatus.Convert(err).Message())
}
