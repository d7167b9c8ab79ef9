package server

import (
	"context"
	"encoding/json"
	"log/slog"

	"carob/internal/api"
	"carob/internal/fault"
)

// failure is a call that did not succeed.
type failure struct {
	api.Request
	err error
}

// report writes the log's one line for a failure: what is carob's own fault as an error,
// what something else has to mend as a warning, what the caller asks for in vain as
// information. That nothing has such a name, or that the caller went away, is no news.
func (f failure) report(ctx context.Context, log *slog.Logger) {
	if f.err == nil {
		return
	}
	level := slog.LevelInfo
	switch kind := fault.KindOf(f.err); {
	case ctx.Err() != nil, kind == fault.NotFound:
		level = slog.LevelDebug
	case kind == fault.Internal:
		level = slog.LevelError
	case kind == fault.Unavailable:
		level = slog.LevelWarn
	}
	if log.Enabled(ctx, level) {
		log.LogAttrs(ctx, level, "api "+f.Method, append(f.about(), slog.String("error", f.err.Error()))...)
	}
}

// about names what a call is about, if its parameters do.
func (f failure) about() []slog.Attr {
	var p struct {
		Ref    string `json:"ref"`
		PodRef string `json:"podRef"`
		Name   string `json:"name"`
		Pod    struct {
			Name string `json:"name"`
		} `json:"pod"`
		Container struct {
			Name string `json:"name"`
		} `json:"container"`
	}
	if json.Unmarshal(f.Params, &p) != nil {
		return nil // the error says what is wrong with them
	}
	var all []slog.Attr
	for _, a := range [...]slog.Attr{
		slog.String("ref", p.Ref), slog.String("name", p.Name), slog.String("pod", p.PodRef+p.Pod.Name), slog.String("container", p.Container.Name),
	} {
		if a.Value.String() != "" {
			all = append(all, a)
		}
	}
	return all
}
