package cri

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	crierrors "k8s.io/cri-api/pkg/errors"

	"carob/internal/fault"
	"carob/internal/status"
)

// code is the gRPC code of an error: the one map from the engine's kinds.
func code(ctx context.Context, err error) codes.Code {
	var late *status.DeadlineError
	switch {
	case errors.As(err, &late), errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case errors.Is(err, context.Canceled), ctx.Err() != nil:
		return codes.Canceled
	}
	switch fault.KindOf(err) {
	case fault.Invalid:
		return codes.InvalidArgument
	case fault.NotFound:
		return codes.NotFound
	case fault.Exists:
		return codes.AlreadyExists
	case fault.Conflict, fault.Unsupported:
		return codes.FailedPrecondition
	case fault.Unavailable:
		return codes.Unavailable
	case fault.Denied:
		return codes.PermissionDenied
	}
	return codes.Internal
}

// coded gives an error its code; one that has a code keeps it.
func coded(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := grpcstatus.FromError(err); ok {
		return err
	}
	return grpcstatus.Error(code(ctx, err), err.Error())
}

// pullFailure puts the CRI's own name of a failure first (k8s.io/cri-api/pkg/errors). It
// goes with the code Unknown: of any other a kubelet does not see the name
// (k8s.io/cri-client, remote_image.go), and shows ErrImagePull for everything.
func pullFailure(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, crierrors.ErrSignatureValidationFailed):
		return grpcstatus.Error(codes.Unknown, err.Error())
	case fault.Is(err, fault.Unavailable):
		return grpcstatus.Error(codes.Unknown, fmt.Sprintf("%v: %v", crierrors.ErrRegistryUnavailable, err))
	}
	return err
}

func unary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		resp, err := handle(ctx, req)
		err = coded(ctx, err)
		failure{info.FullMethod, req, err}.report(ctx, log)
		return resp, err
	}
}

func stream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		err := coded(ss.Context(), handle(srv, ss))
		failure{info.FullMethod, nil, err}.report(ss.Context(), log)
		return err
	}
}
