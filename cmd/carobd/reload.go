package main

import (
	"context"
	"log/slog"
	"os"
	"reflect"
	"sync"

	"carob/internal/api"
	"carob/internal/api/launch"
	"carob/internal/image/registry"
	"carob/internal/logfile/stderr"
)

// configuration is what is in force. What can change while the daemon runs is replaced by
// reload, all of it or nothing; those who work with it read it once per operation.
type configuration struct {
	said       settings // by flags and environment
	level      *slog.LevelVar
	log        *slog.Logger
	handlers   *handlers
	registries *registry.Client
	hangUp     <-chan os.Signal // asks for a reload

	mu  sync.Mutex // guards what follows, and orders reloads
	now settings
}

// newConfiguration returns what is in force at the start; handlers and registries are
// filled in when there are any.
func newConfiguration(said, now settings, hangUp <-chan os.Signal) *configuration {
	c := &configuration{said: said, now: now, level: &slog.LevelVar{}, hangUp: hangUp}
	c.level.Set(now.level)
	c.log = slog.New(slog.NewTextHandler(stderr.New(launch.LogPath(now.run), os.Stderr), &slog.HandlerOptions{Level: c.level}))
	return c
}

// setting is what of the settings stands under one key of the file.
type setting struct {
	key string
	of  func(settings) any
	// take gives the present settings this one of the next; nil waits for a restart.
	take func(now *settings, next settings)
}

func allSettings() []setting {
	return []setting{
		{"root", func(s settings) any { return s.root }, nil},
		{"run", func(s settings) any { return s.run }, nil},
		{"socket", func(s settings) any { return s.socket }, nil},
		{"cri-socket", func(s settings) any { return s.cri.socket }, nil},
		{"cri-streams", func(s settings) any { return s.cri.streams }, nil},
		{"log-level", func(s settings) any { return s.level }, func(now *settings, next settings) { now.level = next.level }},
		{"cgroup-driver", func(s settings) any { return s.cgroupDriver }, nil},
		{"registry-config", func(s settings) any { return s.registries }, func(now *settings, next settings) { now.registries = next.registries }},
		{"policy", func(s settings) any { return s.policy }, func(now *settings, next settings) { now.policy = next.policy }},
		{"userns", func(s settings) any { return [2]uint32{s.idBase, s.idSize} }, nil},
		{"network", func(s settings) any { return [2]any{s.connecting, s.pools} }, nil},
		{"handlers", func(s settings) any { return s.handlers }, func(now *settings, next settings) { now.handlers = next.handlers }},
		{"cdi-spec-dirs", func(s settings) any { return s.plugging.cdiDirs }, nil},
		{"nri", func(s settings) any { return s.plugging.nri }, nil},
		{"metrics", func(s settings) any { return s.metrics }, nil},
		{"tracing", func(s settings) any { return s.tracing }, nil},
	}
}

// merge is the settings in force after a reload, and what it changes of them.
func merge(now, next settings) (settings, api.Reloaded) {
	var done api.Reloaded
	for _, s := range allSettings() {
		switch {
		case reflect.DeepEqual(s.of(now), s.of(next)):
		case s.take == nil:
			done.Restart = append(done.Restart, s.key)
		default:
			s.take(&now, next)
			done.Changed = append(done.Changed, s.key)
		}
	}
	return now, done
}

// reload reads the file again. An error has changed nothing.
func (c *configuration) reload(context.Context) (done api.Reloaded, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, err := c.said.complete()
	if err != nil {
		return done, err
	}
	c.now, done = merge(c.now, next)
	c.level.Set(c.now.level)
	c.handlers.use(c.now.handlers)
	c.registries.Use(registry.Files{Dir: c.now.registries, Policy: c.now.policy})
	c.log.Info("reloaded", "changed", done.Changed, "restart", done.Restart)
	return done, nil
}

// listen reloads at each hang-up until ctx ends.
func (c *configuration) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.hangUp:
			if _, err := c.reload(ctx); err != nil {
				c.log.Error("reload: nothing has changed", "error", err)
			}
		}
	}
}
