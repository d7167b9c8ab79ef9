// Package cri serves the Kubernetes Container Runtime Interface, v1: the kubelet's and
// crictl's way to the engine. It translates and owns nothing but connections: requests
// go through package asked to the engine, snapshots come back through package shown,
// and the engine's kinds of error become gRPC codes in one place, errors.go.
//
// The kubelet sees only the pods it made (spec.OwnerCRI): it removes what it does not
// know. Pods that are not ready yet are seen by nobody.
//
// Files: the socket, 0600. Streams of exec, attach and port-forward come in on a loopback
// port, see package stream.
package cri

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/asked"
	"carob/internal/cri/shown"
	"carob/internal/image"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
)

// maxMessage is what the kubelet takes and sends, in bytes.
const maxMessage = 16 << 20

// Services is what the server works with. All fields but Pull and Options are required.
type Services struct {
	Engine      *pod.Engine
	Images      *image.Store
	Checkpoints Checkpoints
	// Pull fetches an image; nil refuses to.
	Pull Puller
	// Groups reads the use of resources of cgroups, and changes limits of pods'.
	Groups Groups
	Host   asked.Host
	// Version is carob's own.
	Version string
	// Network says why pods cannot be connected; nil when they can.
	Network func(context.Context) error
	// SystemdCgroups says that parents of cgroups are slices.
	SystemdCgroups bool
	// Handlers tells what runs pods beside carob's own handler.
	Handlers func() []Handler
	// UpdatePod asks plugins before a pod's limits change; done says that they have: see
	// plugin.Hooks.
	UpdatePod func(ctx context.Context, p status.Pod, overhead, limits *specs.LinuxResources) (done func(), err error)
	// Options are more of the gRPC server's: who watches its calls.
	Options []grpc.ServerOption
	// Root is the directory of images and of what containers write.
	Root string
	Log  *slog.Logger
}

// Checkpoints carries out the calls about checkpoints: *checkpoints.Service. The containers
// and sandboxes that it is told are the kubelet's.
type Checkpoints interface {
	// FromArchive turns a request into one for a container that goes on from an archive.
	FromArchive(ctx context.Context, ask *spec.Container, path string) error
	Container(ctx context.Context, id string, r *cri.CheckpointContainerRequest) error
	Pod(ctx context.Context, id string, r *cri.CheckpointPodRequest) error
	// Restore makes sandbox and containers through the server's own calls.
	Restore(ctx context.Context, server cri.RuntimeServiceServer, r *cri.RestorePodRequest) (*cri.RestorePodResponse, error)
}

// Handler is an OCI runtime that pods may choose.
type Handler struct {
	Name string
	// What it can do.
	RecursiveReadOnlyMounts, UserNamespaces bool
}

// Puller fetches an image from a registry and stores it under its name. A failure's kind is
// NotFound for an unknown image, Denied for wrong credentials, Unavailable for a registry
// that does not answer; it is cri-api's ErrSignatureValidationFailed for want of a signature.
type Puller func(ctx context.Context, ref string, auth *cri.AuthConfig) (image.Image, error)

// Groups are the host's cgroups, by their paths relative to each hierarchy: see
// package groups.
type Groups interface {
	UpdateGroupWithin(ctx context.Context, path string, limits *specs.LinuxResources) error
	GroupStats(ctx context.Context, path string) (status.Stats, error)
	GroupExtremes(ctx context.Context, path string) (status.Extremes, error)
	GroupCensus(ctx context.Context, path string) (status.Census, error)
}

// Streams makes the URLs at which streams are served.
type Streams interface {
	GetExec(*cri.ExecRequest) (*cri.ExecResponse, error)
	GetAttach(*cri.AttachRequest) (*cri.AttachResponse, error)
	GetPortForward(*cri.PortForwardRequest) (*cri.PortForwardResponse, error)
}

// Serve serves on l until ctx ends, and closes it. Calls under way are cancelled then;
// what they began the engine undoes.
func Serve(ctx context.Context, l net.Listener, s Services, streams Streams) error {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.UnaryInterceptor(unary(s.Log)), grpc.StreamInterceptor(stream(s.Log)),
	}, s.Options...)...)
	cri.RegisterRuntimeServiceServer(g, newRuntimeService(s, streams))
	cri.RegisterImageServiceServer(g, &images{s: s})
	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()
	if err := g.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// runtimeService is the RuntimeService, put together from its nouns. What none of them
// has is Unimplemented.
type runtimeService struct {
	*sandboxes
	*containers
	*processes
	*stats
	*metrics
	*events
	*about
	rest
}

type rest struct {
	cri.UnimplementedRuntimeServiceServer
}

func newRuntimeService(s Services, streams Streams) *runtimeService {
	f, n := finder{s.Engine}, newStats(s)
	return &runtimeService{
		sandboxes: &sandboxes{s, f}, containers: &containers{s, f}, processes: &processes{s, f, streams},
		stats: n, metrics: &metrics{n, shown.NewFamilies()}, events: &events{s, f}, about: &about{s, time.Now()},
	}
}

// RestorePod makes a sandbox and containers that go on from a checkpoint once they are
// started.
func (r *runtimeService) RestorePod(ctx context.Context, q *cri.RestorePodRequest) (*cri.RestorePodResponse, error) {
	return r.about.s.Checkpoints.Restore(ctx, r, q)
}

// Methods are the full names of all that is served.
func Methods() []string {
	var all []string
	for _, d := range []grpc.ServiceDesc{cri.RuntimeService_ServiceDesc, cri.ImageService_ServiceDesc} {
		for _, m := range d.Methods {
			all = append(all, "/"+d.ServiceName+"/"+m.MethodName)
		}
		for _, m := range d.Streams {
			all = append(all, "/"+d.ServiceName+"/"+m.StreamName)
		}
	}
	return all
}
