// Package view serves a drawing of this host, or of one thing on it, as a page for a
// browser on the same machine. The drawing lives: it is looked at anew while a page is
// open, and sent when it has changed.
//
// What a page shows is nobody else's business. The server listens on loopback only; every
// address begins with a random word that is told to who started it; requests whose Host is
// another are refused, so that a name that is made to resolve to this machine (DNS
// rebinding) finds nothing; answers forbid to be framed, kept or referred to. The page
// loads nothing from elsewhere and runs no script but its own. It can change nothing:
// there is no request that does.
//
// A page costs a look at the host every Options.Every; without pages nothing is read. At
// most maxPages are open at a time.
package view

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/base32"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"carob/internal/fault"
	"carob/internal/look/draw"
)

//go:embed page
var page embed.FS

// Options say what is shown.
type Options struct {
	// Look is what the drawing is made of; its Thing is what a page shows first.
	Look draw.Options
	// Every is how often an open page looks, one second when 0.
	Every time.Duration
}

// Server shows one host.
type Server struct {
	options Options
	token   string
	pages   chan struct{}
}

// maxPages is how many pages may be open at a time.
const maxPages = 16

// New makes a server with an address of its own.
func New(o Options) *Server {
	if o.Every == 0 {
		o.Every = time.Second
	}
	secret := make([]byte, 20)
	_, _ = rand.Read(secret) // never fails (crypto/rand)
	token := strings.ToLower(base32.StdEncoding.EncodeToString(secret))
	return &Server{options: o, token: token, pages: make(chan struct{}, maxPages)}
}

// Listen takes a port of loopback, any when it is 0.
func Listen(port int) (net.Listener, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	return l, fault.Wrap(fault.Unavailable, "view", err)
}

// URL is the page's address.
func (s *Server) URL(l net.Listener) string {
	return "http://" + l.Addr().String() + "/" + s.token + "/"
}

// Serve answers until ctx ends, and then closes the listener and the pages. It returns nil
// for that end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s.handler(l.Addr().String()),
		ReadHeaderTimeout: 5 * time.Second,
		MaxHeaderBytes:    1 << 14,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { _ = h.Close() }) // what it could say, Serve says
	defer stop()
	err := h.Serve(l)
	if ctx.Err() != nil && errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
