package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"carob/internal/api"
	"carob/internal/fault"
)

func TestReport(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, tt := range []struct {
		ctx    context.Context
		params string
		err    error
		want   string
	}{
		{t.Context(), "", nil, ""},
		{t.Context(), `{"ref":"r"}`, errors.New("x"), `level=ERROR msg="api do" ref=r error=x`},
		{gone, `{"ref":"r"}`, errors.New("x"), `level=DEBUG msg="api do" ref=r error=x`},
		{t.Context(), `{"podRef":"p","container":{"name":"c","image":"i"}}`, fault.New(fault.Unavailable, "x"), `level=WARN msg="api do" pod=p container=c error=x`},
		{t.Context(), `{"pod":{"name":"p"},"container":{}}`, fault.New(fault.Invalid, "x"), `level=INFO msg="api do" pod=p error=x`},
		{t.Context(), `{"name":"n"}`, fault.New(fault.NotFound, "x"), `level=DEBUG msg="api do" name=n error=x`},
		{t.Context(), `[]`, fault.New(fault.Invalid, "x"), `level=INFO msg="api do" error=x`},
		{t.Context(), "", fault.New(fault.Invalid, "x"), `level=INFO msg="api do" error=x`},
	} {
		var b bytes.Buffer
		log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		failure{api.Request{Method: "do", Params: []byte(tt.params)}, tt.err}.report(tt.ctx, log)
		if _, got, _ := strings.Cut(strings.TrimSpace(b.String()), " "); got != tt.want {
			t.Errorf("%s, %v: %s, want %s", tt.params, tt.err, got, tt.want)
		}
	}
}
