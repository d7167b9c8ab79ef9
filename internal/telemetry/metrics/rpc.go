package metrics

import (
	"context"
	"path"

	"google.golang.org/grpc/stats"
	grpcstatus "google.golang.org/grpc/status"
)

// RPCs watches the calls of a gRPC server. Methods are those that the server has, by their
// full names: whatever else a client may call is counted as unknown.
func (m *Metrics) RPCs(methods []string) stats.Handler {
	known := map[string]string{}
	for _, full := range methods {
		known[full] = path.Base(full)
	}
	return &rpcs{m, known}
}

type rpcs struct {
	m     *Metrics
	known map[string]string // short names by full ones
}

// method is the key of a call's method in its context.
type method struct{}

func (r *rpcs) TagRPC(ctx context.Context, i *stats.RPCTagInfo) context.Context {
	name, ok := r.known[i.FullMethodName]
	if !ok {
		name = "unknown"
	}
	return context.WithValue(ctx, method{}, name)
}

func (r *rpcs) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok {
		name, _ := ctx.Value(method{}).(string)
		r.m.rpcs.WithLabelValues(name, grpcstatus.Code(end.Error).String()).Observe(end.EndTime.Sub(end.BeginTime).Seconds())
	}
}

func (r *rpcs) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (r *rpcs) HandleConn(context.Context, stats.ConnStats)                       {}
