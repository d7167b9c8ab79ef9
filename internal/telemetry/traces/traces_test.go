package traces

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"carob/internal/telemetry"
	"carob/internal/testenv"
)

// receiver is a collector.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex
	got []*otlp.Span
}

func (r *receiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range req.GetResourceSpans() {
		for _, s := range of.GetScopeSpans() {
			r.got = append(r.got, s.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// collect runs a collector and returns where.
func collect(t *testing.T) (*receiver, string) {
	t.Helper()
	r := &receiver{}
	g := grpc.NewServer()
	collector.RegisterTraceServiceServer(g, r)
	return r, listen(t, g)
}

func listen(t *testing.T, g *grpc.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func open(t *testing.T, c Config) *Traces {
	t.Helper()
	c.Log = slog.New(slog.DiscardHandler)
	tr, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// finish ends the traces when the collector has them all.
func finish(t *testing.T, tr *Traces) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.Patience(20*time.Second))
	defer cancel()
	if err := tr.Close(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

func one(t *testing.T, all []*otlp.Span, name string) *otlp.Span {
	t.Helper()
	for _, s := range all {
		if s.GetName() == name {
			return s
		}
	}
	t.Fatalf("no span %s among %v", name, all)
	return nil
}

func TestSpans(t *testing.T) {
	r, at := collect(t)
	tr := open(t, Config{Endpoint: at, Sampling: 1, Version: "v"})
	ctx, end := tr.Call(t.Context(), "run")
	_, inner := tr.Step(ctx, telemetry.Step{Name: telemetry.SandboxRun, Handler: "native", Pod: "p"})
	inner(errors.New("no luck"))
	end(nil)
	_, alone := tr.Step(t.Context(), telemetry.Step{Name: telemetry.CgroupRemove})
	alone(nil)
	finish(t, tr)
	call, step := one(t, r.got, "carob.api/run"), one(t, r.got, "sandbox-run")
	if string(step.GetParentSpanId()) != string(call.GetSpanId()) || len(call.GetParentSpanId()) != 0 || call.GetKind() != otlp.Span_SPAN_KIND_SERVER {
		t.Errorf("the call is %v, the step %v", call, step)
	}
	if step.GetStatus().GetCode() != otlp.Status_STATUS_CODE_ERROR || step.GetStatus().GetMessage() != "no luck" {
		t.Errorf("the step ended with %v", step.GetStatus())
	}
	attributes := map[string]string{}
	for _, a := range step.GetAttributes() {
		attributes[a.GetKey()] = a.GetValue().GetStringValue()
	}
	if len(attributes) != 2 || attributes["carob.handler"] != "native" || attributes["carob.pod.id"] != "p" {
		t.Errorf("attributes %v", attributes)
	}
	if len(r.got) != 2 {
		t.Errorf("%d spans, want no step on its own", len(r.got))
	}
}

// TestCallersDecide: whoever says that its call is traced, or is not, is followed,
// whatever the sampling is.
func TestCallersDecide(t *testing.T) {
	const parent, id = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-", "0af7651916cd43dd8448eb211c80319c"
	for _, tt := range []struct {
		sampling float64
		header   string
		want     int
	}{{0, "", 0}, {1, "", 1}, {0, parent + "01", 1}, {1, parent + "00", 0}, {1, "garbage", 1}} {
		r, at := collect(t)
		tr := open(t, Config{Endpoint: at, Sampling: tt.sampling})
		g := grpc.NewServer(grpc.StatsHandler(tr.RPCs()))
		grpc_health_v1.RegisterHealthServer(g, health.NewServer())
		conn, err := grpc.NewClient(listen(t, g), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		if tt.header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", tt.header)
		}
		if _, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		g.GracefulStop() // the span ends after the answer
		finish(t, tr)
		if len(r.got) != tt.want {
			t.Errorf("%+v: %d spans", tt, len(r.got))
		}
		if tt.want == 1 && len(tt.header) > 10 {
			if s := r.got[0]; s.GetName() != "grpc.health.v1.Health/Check" || hex.EncodeToString(s.GetTraceId()) != id {
				t.Errorf("%+v: %v", tt, s)
			}
		}
	}
}

// TestNoCollector: one that is not there holds nothing up.
func TestNoCollector(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tr := open(t, Config{Endpoint: l.Addr().String(), Sampling: 1})
	began := time.Now()
	for range 10000 {
		_, end := tr.Call(t.Context(), "run")
		end(nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := tr.Close(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > testenv.Patience(5*time.Second) { // the library's own patience is 10 s and more
		t.Errorf("took %v", took)
	}
}

// BenchmarkStep is what a step costs of a call that is traced, with nobody who takes spans.
func BenchmarkStep(b *testing.B) {
	tr, err := Open(b.Context(), Config{Endpoint: "127.0.0.1:1", Sampling: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	gone, cancel := context.WithCancel(b.Context())
	cancel()
	defer tr.Close(gone)
	ctx, end := tr.Call(b.Context(), "run")
	defer end(nil)
	for b.Loop() {
		_, end := tr.Step(ctx, telemetry.Step{Name: telemetry.SandboxRun, Handler: "native", Pod: "p"})
		end(nil)
	}
}
