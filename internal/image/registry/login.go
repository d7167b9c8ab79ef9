package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"

	"carob/internal/fault"
	"carob/internal/ref"
)

// Login asks a registry, named by its host, whether it takes the credentials; nothing is
// kept. Denied means that it does not. A registry that lets everybody in takes them too.
func (c *Client) Login(ctx context.Context, host string, auth Auth, progress func(Progress)) error {
	if _, err := ref.Parse(host + "/x"); err != nil || strings.Contains(host, "/") {
		return fault.New(fault.Invalid, fmt.Sprintf("login: %.100q: want a registry's host, such as quay.io or localhost:5000", host))
	}
	b := newBoard(progress)
	defer b.close()
	ctx, cancel := context.WithTimeout(quiet(ctx), c.c.Pace.Answer)
	defer cancel()
	l, err := c.now().connect(ctx, host, auth, b.set)
	if err == nil {
		err = l.knock(ctx)
	}
	if err != nil {
		return fmt.Errorf("login: %w", explain(ctx, host, err))
	}
	return nil
}

// knock asks the registry itself, not its mirrors, for the root of the API, and again
// with what it wants for that.
func (l link) knock(ctx context.Context) error {
	if len(l.hosts) == 0 {
		return fault.New(fault.Invalid, "the configuration leaves no host")
	}
	h := l.hosts[len(l.hosts)-1]
	var seen []*http.Response
	for range 3 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.Scheme+"://"+h.Host+h.Path+"/", nil)
		if err != nil {
			return err
		}
		for name, values := range h.Header {
			req.Header[name] = values
		}
		if err := h.Authorizer.Authorize(ctx, req); err != nil {
			return fmt.Errorf("%w: %w", docker.ErrInvalidAuthorization, err)
		}
		resp, err := h.Client.Do(req)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusUnauthorized {
			defer func() { _ = resp.Body.Close() }() // only read from
			if resp.StatusCode > 299 {
				return remoteerrors.NewUnexpectedStatusErr(resp)
			}
			_, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
			return err
		}
		_ = resp.Body.Close() // the headers are enough
		seen = append(seen, resp)
		if len(seen) > 1 {
			return docker.ErrInvalidAuthorization
		}
		if err := h.Authorizer.AddResponses(ctx, seen); err != nil {
			return err
		}
	}
	return docker.ErrInvalidAuthorization
}
