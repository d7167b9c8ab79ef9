// Package metrics counts what the daemon does and shows it to Prometheus. It owns a
// registry of its own and nothing else: where it is served the caller says, and the figures
// of containers are somebody else's, asked for at each scrape.
//
// The number of series is bounded: labels are steps, handlers, methods, states and kinds of
// error, of which there are so many as the code or the configuration has. Names and IDs are
// only in the figures of the containers that there are.
package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"carob/internal/fault"
	"carob/internal/status"
	"carob/internal/telemetry"
)

// Metrics counts. Its methods may be called from any goroutine.
type Metrics struct {
	registry         *prometheus.Registry
	steps, api, rpcs *prometheus.HistogramVec
	failures         *prometheus.CounterVec
	running          *prometheus.GaugeVec
	received         prometheus.Counter
	starts           prometheus.Counter
	exits            *prometheus.CounterVec
}

// New returns metrics of a daemon of this version that has done nothing yet.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		steps:    histogram("carob_step_duration_seconds", "How long steps took that the engine had the machine do", "step", "handler"),
		failures: counters("carob_step_failures_total", "Steps that failed, by kind of error", "step", "handler", "kind"),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "carob_steps_in_progress", Help: "Steps that have begun and not ended: one that hangs is in no histogram",
		}, []string{"step", "handler"}),
		api:      histogram("carob_api_call_duration_seconds", "How long calls of carob's own API took, by kind of error, which is none without one; those that follow or wait last as long as what they wait for", "method", "error"),
		rpcs:     histogram("carob_cri_call_duration_seconds", "How long calls of the CRI took, by gRPC code", "method", "code"),
		received: prometheus.NewCounter(prometheus.CounterOpts{Name: "carob_image_received_bytes_total", Help: "Bytes of blobs that registries have sent"}),
		starts:   prometheus.NewCounter(prometheus.CounterOpts{Name: "carob_container_starts_total", Help: "Starts of containers that succeeded"}),
		exits:    counters("carob_container_exits_total", "Ends of containers, by reason", "reason"),
	}
	about := prometheus.NewGauge(prometheus.GaugeOpts{Name: "carob_build_info", Help: "1, with the version", ConstLabels: prometheus.Labels{"version": version}})
	about.Set(1)
	m.registry.MustRegister(
		m.steps, m.failures, m.running, m.api, m.rpcs, m.received, m.starts, m.exits, about,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, // from one step of a start to a pull
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120},
	}, labels)
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Step is a telemetry.Watch.
func (m *Metrics) Step(ctx context.Context, s telemetry.Step) (context.Context, func(error)) {
	began, running := time.Now(), m.running.WithLabelValues(s.Name, s.Handler)
	running.Inc()
	return ctx, func(err error) {
		running.Dec()
		m.steps.WithLabelValues(s.Name, s.Handler).Observe(time.Since(began).Seconds())
		if err != nil {
			m.failures.WithLabelValues(s.Name, s.Handler, kind(ctx, err)).Inc()
		}
	}
}

// Call watches a call of the API: see api.Services.
func (m *Metrics) Call(ctx context.Context, method string) (context.Context, func(error)) {
	began := time.Now()
	return ctx, func(err error) {
		what := "none"
		if err != nil {
			what = kind(ctx, err)
		}
		m.api.WithLabelValues(method, what).Observe(time.Since(began).Seconds())
	}
}

// kind is the kind of an error; one after the caller has left says nothing but that.
func kind(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "cancelled"
	}
	return fault.KindOf(err).String()
}

// Received counts bytes of blobs.
func (m *Metrics) Received(n int) { m.received.Add(float64(n)) }

// Follow counts what events tell, from the first that are kept on, until they end with
// ctx. subscribe returns the events numbered from and later.
func (m *Metrics) Follow(ctx context.Context, subscribe func(ctx context.Context, from uint64) <-chan status.Event) {
	next := uint64(1)
	for ctx.Err() == nil {
		before := next
		for e := range subscribe(ctx, next) {
			next = e.Seq + 1
			m.count(e)
		}
		if next == before {
			return // there will be no more
		}
	}
}

func (m *Metrics) count(e status.Event) {
	if e.Type != "container" {
		return
	}
	switch e.Action {
	case "start":
		m.starts.Inc()
	case "exit":
		m.exits.WithLabelValues(e.Attributes["reason"]).Inc()
	}
}
