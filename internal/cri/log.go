package cri

import (
	"context"
	"log/slog"
	"path"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// failure is a call that did not succeed; req is nil for calls that answer in a stream.
type failure struct {
	method string
	req    any
	err    error // with its code
}

// report writes the log's one line for a failure: what is carob's own fault as an error,
// what something else has to mend as a warning; what the caller asks for in vain as
// information, but for what the kubelet does as a matter of course.
func (f failure) report(ctx context.Context, log *slog.Logger) {
	var level slog.Level
	switch grpcstatus.Code(f.err) {
	case codes.OK:
		return
	case codes.Internal, codes.Unknown:
		level = slog.LevelError
	case codes.Unavailable, codes.DeadlineExceeded:
		level = slog.LevelWarn
	case codes.NotFound, codes.Canceled, codes.Unimplemented:
		level = slog.LevelDebug
	default:
		level = slog.LevelInfo
	}
	if log.Enabled(ctx, level) {
		log.LogAttrs(ctx, level, "cri "+path.Base(f.method), append(f.about(), slog.String("error", grpcstatus.Convert(f.err).Message()))...)
	}
}

// about names what a request is about.
func (f failure) about() []slog.Attr {
	var all []slog.Attr
	add := func(key, value string) {
		if value != "" {
			all = append(all, slog.String(key, value))
		}
	}
	if r, ok := f.req.(interface{ GetPodSandboxId() string }); ok {
		add("pod", r.GetPodSandboxId())
	}
	if r, ok := f.req.(interface{ GetContainerId() string }); ok {
		add("container", r.GetContainerId())
	}
	switch r := f.req.(type) {
	case *cri.RunPodSandboxRequest:
		add("name", r.GetConfig().GetMetadata().GetNamespace()+"/"+r.GetConfig().GetMetadata().GetName())
	case *cri.CreateContainerRequest:
		add("name", r.GetConfig().GetMetadata().GetName())
	case interface{ GetImage() *cri.ImageSpec }:
		add("image", r.GetImage().GetImage())
	}
	return all
}
