package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"carob/internal/status"
)

// Figure is a value of somebody else's family.
type Figure struct {
	Name, Help     string
	Counter        bool
	Labels, Values []string
	Value          float64
}

// Sources are asked at each scrape.
type Sources struct {
	Pods       func() []status.Pod
	Containers func() []status.Container
	// Figures are those of containers, by the names that cAdvisor has for them; ctx ends
	// when nobody waits for the answer any more. What could not be read is the error's.
	Figures func(ctx context.Context) ([]Figure, error)
}

// The bounds of a scrape.
const (
	headerTime = 10 * time.Second
	answerTime = time.Minute
	maxHeader  = 16 << 10
)

// Serve answers scrapes of /metrics on l, one at a time, until ctx ends, and closes l.
func (m *Metrics) Serve(ctx context.Context, l net.Listener, s Sources, log *slog.Logger) error {
	turn := make(chan struct{}, 1)
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
			m.scrape(w, r, s, log)
		case <-r.Context().Done():
		}
	})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", page)
	server := &http.Server{
		Handler: mux, ReadTimeout: headerTime, WriteTimeout: answerTime, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // ends Serve; scrapes are cancelled with ctx
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// scrape answers with the metrics, and with what the sources have now.
func (m *Metrics) scrape(w http.ResponseWriter, r *http.Request, s Sources, log *slog.Logger) {
	now := prometheus.NewRegistry()
	now.MustRegister(collector(func(to chan<- prometheus.Metric) { collect(r.Context(), s, to, log) }))
	promhttp.HandlerFor(prometheus.Gatherers{m.registry, now}, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
	}).ServeHTTP(w, r)
}

// collector collects for one scrape.
type collector func(to chan<- prometheus.Metric)

// Describe says nothing: which families there are is seen when they are collected.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends what there is now.
func (c collector) Collect(to chan<- prometheus.Metric) { c(to) }

func collect(ctx context.Context, s Sources, to chan<- prometheus.Metric, log *slog.Logger) {
	pods, containers := map[[2]string]int{}, map[[2]string]int{}
	for _, p := range s.Pods() {
		pods[[2]string{p.Spec.Owner, string(p.State)}]++
	}
	for _, c := range s.Containers() {
		containers[[2]string{c.Owner, string(c.State)}]++
	}
	counted(to, "carob_pods", "Pods, by who asked for them and their state", pods)
	counted(to, "carob_containers", "Containers, by who asked for them and their state", containers)
	figures, err := s.Figures(ctx)
	if err != nil && ctx.Err() == nil {
		log.Warn("metrics", "error", err) // what could be read is shown
	}
	families := map[string]*prometheus.Desc{}
	for _, f := range figures {
		d := families[f.Name]
		if d == nil {
			d = prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
			families[f.Name] = d
		}
		send(to, d, f)
	}
}

func counted(to chan<- prometheus.Metric, name, help string, by map[[2]string]int) {
	d := prometheus.NewDesc(name, help, []string{"owner", "state"}, nil)
	for k, n := range by {
		send(to, d, Figure{Values: k[:], Value: float64(n)})
	}
}

// send sends a value. Labels may have anything that a request had: what is not UTF-8 in
// them is replaced.
func send(to chan<- prometheus.Metric, d *prometheus.Desc, f Figure) {
	kind := prometheus.GaugeValue
	if f.Counter {
		kind = prometheus.CounterValue
	}
	values := make([]string, len(f.Values))
	for i, v := range f.Values {
		values[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	v, err := prometheus.NewConstMetric(d, kind, f.Value, values...)
	if err != nil {
		v = prometheus.NewInvalidMetric(d, err)
	}
	to <- v
}
