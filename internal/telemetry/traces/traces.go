// Package traces makes OpenTelemetry spans of calls and of the steps that they have the
// machine do, and sends them to a collector by OTLP over gRPC. A collector that does not
// answer holds nothing up: spans are queued, up to a bound, and dropped then.
package traces

import (
	"context"
	"log/slog"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/stats"

	"carob/internal/fault"
	"carob/internal/telemetry"
)

// Config says where traces go.
type Config struct {
	// Endpoint is HOST:PORT of the collector, spoken to in plain text as the kubelet does.
	Endpoint string
	// Sampling is the share of calls that are traced, of those whose caller has not
	// decided; see Open.
	Sampling float64
	// Version is the daemon's.
	Version string
	// Log is told when the collector does not take what it is sent.
	Log *slog.Logger
}

// Traces makes spans. The caller ends it with Close.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Open returns traces; nothing is sent yet, and the collector need not be there. A caller
// that has decided whether its call is traced, as the kubelet does, is followed.
func Open(ctx context.Context, c Config) (*Traces, error) {
	to, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(c.Endpoint), otlptracegrpc.WithInsecure())
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "tracing: endpoint "+c.Endpoint, err)
	}
	// The library has no other place for it than a global of its own.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { c.Log.Warn("traces", "error", err) }))
	host, _ := os.Hostname() // uname(2) does not fail
	p := sdk.NewTracerProvider(
		sdk.WithBatcher(to),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.Sampling))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "carob"), attribute.String("service.version", c.Version), attribute.String("host.name", host),
		)),
	)
	return &Traces{provider: p, tracer: p.Tracer("carob", trace.WithInstrumentationVersion(c.Version))}, nil
}

// Close sends what is queued. What the collector has not taken when ctx ends is dropped,
// which is no error.
func (t *Traces) Close(ctx context.Context) error {
	err := t.provider.Shutdown(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Step is a telemetry.Watch: a step is a child of the call that it is taken for.
func (t *Traces) Step(ctx context.Context, s telemetry.Step) (context.Context, func(error)) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, func(error) {} // the engine's own account: restarts, recovery
	}
	ctx, span := t.tracer.Start(ctx, s.Name)
	if span.IsRecording() {
		span.SetAttributes(attributes(s)...)
	}
	return ctx, ending(span)
}

func attributes(s telemetry.Step) []attribute.KeyValue {
	var all []attribute.KeyValue
	for _, a := range [...]attribute.KeyValue{
		attribute.String("carob.handler", s.Handler), attribute.String("carob.pod.id", s.Pod), attribute.String("carob.container.id", s.Container),
	} {
		if a.Value.AsString() != "" {
			all = append(all, a)
		}
	}
	return all
}

func ending(span trace.Span) func(error) {
	return func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// Call watches a call of the API: see api.Services.
func (t *Traces) Call(ctx context.Context, method string) (context.Context, func(error)) {
	ctx, span := t.tracer.Start(ctx, "carob.api/"+method, trace.WithSpanKind(trace.SpanKindServer))
	return ctx, ending(span)
}

// RPCs makes a span of each call of a gRPC server, below the caller's if it has one.
func (t *Traces) RPCs() stats.Handler {
	return otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(propagation.TraceContext{}), otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
	)
}
