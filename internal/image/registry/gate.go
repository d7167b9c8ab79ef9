package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"carob/internal/fault"
	"carob/internal/image/registry/call"
)

// gate is what every request of a call goes through, those to token servers and the
// targets of redirects included.
type gate struct {
	base http.RoundTripper
	*rules
}

// rules are shared by the gates of one call.
type rules struct {
	pace  Pace
	agent string
	note  func(Progress)
	// token is sent to the registry itself and to nobody else.
	token string

	mu sync.Mutex
	// itself is the registry's own host.
	itself string
	// secure says that all of the registry's hosts speak HTTPS.
	secure bool
	// hosts are the registry's own and its mirrors.
	hosts map[string]bool
	// private are headers for those hosts only.
	private []string
}

// RoundTrip makes the request as often as the pace allows while the server is too busy
// or the connection breaks. A server that stays busy is an error, not an answer.
func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if err := g.prepare(req); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		resp, err := g.base.RoundTrip(req)
		busy := g.busy(req, resp, err)
		if busy == nil {
			return resp, err
		}
		pause, ok := g.pace.pause(attempt, resp, time.Now())
		if resp != nil {
			_ = resp.Body.Close() // what it says is not needed
		}
		if !ok || attempt >= g.pace.Attempts || !repeatable(req) {
			return nil, busy
		}
		g.note(Progress{Step: call.Retrying, Text: fmt.Sprintf("%v; again in %s", busy, pause.Round(100*time.Millisecond))})
		if err := wait(req.Context(), pause); err != nil {
			return nil, err
		}
	}
}

// prepare decides what the request may carry to where it goes.
func (g *gate) prepare(req *http.Request) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	req.Header.Set("User-Agent", g.agent)
	req.Header.Set("Accept-Encoding", "identity") // ranges and digests are those of the blob itself
	if !g.hosts[req.URL.Host] {
		for _, name := range g.private {
			req.Header.Del(name)
		}
	}
	if g.token != "" && req.URL.Host == g.itself && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+g.token)
	}
	carries := req.Header.Get("Authorization") != "" || req.Method == http.MethodPost
	if g.secure && req.URL.Scheme != "https" && carries {
		return fault.New(fault.Denied, fmt.Sprintf("the registry wants credentials to be sent to %s in plain text: refused", req.URL.Host))
	}
	return nil
}

// busy is why the same request may succeed a little later; nil when it would not, or
// when it has succeeded.
func (g *gate) busy(req *http.Request, resp *http.Response, err error) error {
	if err != nil {
		if req.Context().Err() == nil && broken(err) {
			return fault.Wrap(fault.Unavailable, req.URL.Host, err)
		}
		return nil
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fault.New(fault.Unavailable, req.URL.Host+": "+resp.Status)
	}
	return nil
}

// broken is a connection that was there and broke. One that cannot be made, or whose
// certificate is wrong, does not get better.
func broken(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && (op.Op == "read" || op.Op == "write")
}

// repeatable is a request without a body; the only one of those that changes something
// begins an upload, and one that is begun twice is begun once too often.
func repeatable(req *http.Request) bool { return req.Body == nil || req.Body == http.NoBody }

// pause is how long to wait before the next attempt: what the server asks for, or twice
// as long as before, with some chance so that those who were refused together do not
// come again together. A server that asks for more than the bound gets no further
// attempt.
func (p Pace) pause(attempt int, resp *http.Response, now time.Time) (time.Duration, bool) {
	if resp != nil {
		if d, ok := retryAfter(resp.Header.Get("Retry-After"), now); ok {
			return d, d <= p.MostPause
		}
	}
	d := min(p.Pause<<min(attempt-1, 16), p.MostPause)
	return d/2 + rand.N(d/2+1), true
}

// retryAfter reads the header's two forms: seconds and a date.
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
