package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"carob/internal/api/launch"
	"carob/internal/cri"
	"carob/internal/image"
	"carob/internal/image/registry"
	"carob/internal/status"
	"carob/internal/telemetry"
	"carob/internal/telemetry/metrics"
	"carob/internal/telemetry/traces"
)

// watching is what watches the daemon's work, if anything does: nothing of it is there
// when neither metrics nor traces are configured.
type watching struct {
	metrics *metrics.Metrics
	page    net.Listener
	traces  *traces.Traces
}

func openWatching(ctx context.Context, c settings, log *slog.Logger) (*watching, error) {
	w := &watching{}
	var err error
	if c.metrics != "" {
		if w.page, err = listenMetrics(c.metrics); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		w.metrics = metrics.New(version)
	}
	if c.tracing.Endpoint == "" {
		return w, nil
	}
	t := traces.Config{Endpoint: c.tracing.Endpoint, Sampling: 1, Version: version, Log: log}
	if c.tracing.Sampling != nil {
		t.Sampling = *c.tracing.Sampling
	}
	if w.traces, err = traces.Open(ctx, t); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// listenMetrics listens on HOST:PORT, or on a socket that is root's.
func listenMetrics(address string) (net.Listener, error) {
	if filepath.IsAbs(address) {
		return launch.Listen(address)
	}
	return net.Listen("tcp", address)
}

// lastWords is how long the end of the daemon waits for a collector of traces.
const lastWords = 500 * time.Millisecond

// Close sends the last spans.
func (w *watching) Close() error {
	if w.page != nil {
		_ = w.page.Close() // serving it has closed it, if it was served
	}
	if w.traces == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	return w.traces.Close(ctx)
}

// steps is who watches the engine's steps; nil is nobody.
func (w *watching) steps() telemetry.Watch {
	var all []telemetry.Watch
	if w.metrics != nil {
		all = append(all, w.metrics.Step)
	}
	if w.traces != nil {
		all = append(all, w.traces.Step)
	}
	return telemetry.Together(all...)
}

// calls is who watches calls of the API; nil is nobody.
func (w *watching) calls() func(context.Context, string) (context.Context, func(error)) {
	switch {
	case w.metrics == nil && w.traces == nil:
		return nil
	case w.traces == nil:
		return w.metrics.Call
	case w.metrics == nil:
		return w.traces.Call
	}
	return func(ctx context.Context, method string) (context.Context, func(error)) {
		ctx, counted := w.metrics.Call(ctx, method)
		ctx, traced := w.traces.Call(ctx, method)
		return ctx, func(err error) { counted(err); traced(err) }
	}
}

// rpcs is who watches calls of the CRI.
func (w *watching) rpcs() []grpc.ServerOption {
	var all []grpc.ServerOption
	if w.metrics != nil {
		all = append(all, grpc.StatsHandler(w.metrics.RPCs(cri.Methods())))
	}
	if w.traces != nil {
		all = append(all, grpc.StatsHandler(w.traces.RPCs()))
	}
	return all
}

// received is who counts bytes of images; nil is nobody.
func (w *watching) received() func(int) {
	if w.metrics == nil {
		return nil
	}
	return w.metrics.Received
}

// serve shows the metrics until ctx ends.
func (w *watching) serve(ctx context.Context, s cri.Services) {
	if w.metrics == nil {
		return
	}
	all := metrics.Sources{
		Pods:       func() []status.Pod { return s.Engine.Pods(status.Filter{}) },
		Containers: func() []status.Container { return s.Engine.Containers(status.Filter{}) },
		Figures:    figures(s),
	}
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		w.metrics.Follow(ctx, s.Engine.Events)
	}()
	if err := w.metrics.Serve(ctx, w.page, all, s.Log); err != nil {
		s.Log.Error("metrics", "error", err) // pods do not depend on them
	}
	<-counted
}

// figures are those of containers, in the words of package metrics.
func figures(s cri.Services) func(context.Context) ([]metrics.Figure, error) {
	read := cri.Figures(s)
	return func(ctx context.Context) ([]metrics.Figure, error) {
		all, err := read(ctx)
		out := make([]metrics.Figure, len(all))
		for i, f := range all {
			out[i] = metrics.Figure(f)
		}
		return out, err
	}
}

// pulls is a registry client whose pulls are watched.
type pulls struct {
	*registry.Client
	watch telemetry.Watch
}

// Pull gets an image: see registry.Client.
func (p pulls) Pull(ctx context.Context, name string, o registry.PullOptions) (image.Image, error) {
	if p.watch == nil {
		return p.Client.Pull(ctx, name, o)
	}
	ctx, end := p.watch(ctx, telemetry.Step{Name: telemetry.ImagePull})
	img, err := p.Client.Pull(ctx, name, o)
	end(err)
	return img, err
}
