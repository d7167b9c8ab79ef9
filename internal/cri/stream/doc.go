// Package stream serves exec, attach and port-forward as the CRI has them: a call
// returns a URL on a loopback port, good once and for a minute, at which the API
// server's client speaks SPDY or WebSocket through the kubelet. The protocols are
// k8s.io/cri-streaming's; this package connects their streams with the engine.
//
// The port is open to every process of the host; a URL's random token is what it takes
// to use it, and only the CRI socket, 0600, gives one.
package stream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"k8s.io/cri-streaming/pkg/streaming"

	"carob/internal/pod"
)

// Server makes URLs and serves them.
type Server struct {
	streaming.Server
	l net.Listener
}

// headerTime bounds how long a client may take to say what it wants.
const headerTime = 30 * time.Second

// Listen opens a port on addr, "127.0.0.1:0" by default.
func Listen(addr string, e *pod.Engine) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := streaming.DefaultConfig
	c.Addr = l.Addr().String()
	s, err := streaming.NewServer(c, &runtime{e})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &Server{s, l}, nil
}

// Serve serves until ctx ends, and closes the port. Connections under way end with the
// process.
func (s *Server) Serve(ctx context.Context) error {
	h := &http.Server{Handler: s.Server, ReadHeaderTimeout: headerTime}
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	if err := h.Serve(s.l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
