package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"carob/internal/fault"
)

// explain gives an error of the library its kind, and words for those who see it.
func explain(ctx context.Context, registry string, err error) error {
	var f *fault.Error
	var status remoteerrors.ErrUnexpectedStatus
	var u *url.Error
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Unavailable, "", context.Cause(ctx))
	case errors.As(err, &f):
		if errors.As(err, &u) && errors.As(u, &f) {
			return f // the gate's words are enough
		}
		return err
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return denied(registry, "the credentials are missing or wrong")
	case errors.As(err, &status):
		return refused(registry, status)
	case errdefs.IsNotImplemented(err) && strings.Contains(err.Error(), schema1):
		return errSchema1()
	case errdefs.IsNotFound(err):
		return fault.New(fault.NotFound, "registry "+registry+" does not have it")
	case errors.As(err, &u):
		return fault.Wrap(fault.Unavailable, u.Op+" "+withoutQuery(u.URL), u.Err)
	case errdefs.IsFailedPrecondition(err):
		return invalid("the registry sends more than the manifest says")
	}
	return fault.Wrap(fault.Unavailable, "registry "+registry, err)
}

func denied(registry, why string) error {
	return fault.New(fault.Denied, fmt.Sprintf(`registry %s: %s, or there is no such repository; "carob login %s" gives credentials`, registry, why, registry))
}

// refused is an answer that is no success, with what the registry says about it.
func refused(registry string, s remoteerrors.ErrUnexpectedStatus) error {
	text := fmt.Sprintf("registry %s: %s", registry, s.Status)
	if says := complaint(s.Body); says != "" {
		text += ": " + says
	}
	switch {
	case s.StatusCode == 401 || s.StatusCode == 403:
		return denied(registry, strings.TrimPrefix(text, "registry "+registry+": "))
	case s.StatusCode == 404:
		return fault.New(fault.NotFound, text)
	case s.StatusCode >= 500 || s.StatusCode == 429 || s.StatusCode == 408:
		return fault.New(fault.Unavailable, text)
	}
	return fault.New(fault.Invalid, text)
}

// complaint reads the distribution specification's error body. The server writes it:
// it is cut, and kept to one line.
func complaint(body []byte) string {
	var b struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(body, &b) != nil || len(b.Errors) == 0 {
		return ""
	}
	text := b.Errors[0].Message
	if text == "" {
		text = b.Errors[0].Code
	}
	return fmt.Sprintf("%.200s", strings.Map(printable, text))
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}

// withoutQuery hides what a signed URL holds.
func withoutQuery(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the registry"
	}
	u.RawQuery, u.User = "", nil
	return u.String()
}
