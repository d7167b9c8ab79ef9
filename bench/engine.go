package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"carob/internal/api"
	"carob/internal/api/client"
	"carob/internal/fault"
	"carob/internal/spec"
)

// engine measures the daemon's own work: calls over its socket as another program
// would make them, without a command line to start.
type engine struct{ c *client.Client }

func (b *bench) engine() (*engine, error) {
	c, err := client.Dial(filepath.Join(b.runDir, "api.sock"))
	return &engine{c}, err
}

const (
	enginePod = "engine"
	manyPod   = "many"
	manySize  = 60
)

// scenarios have the budgets of docs/spec.md.
func (e *engine) scenarios() []scenario {
	one := func(name string, budget float64, s subject) scenario {
		s.name = "carob, by API"
		return scenario{name: name, budget: budget, subjects: []subject{s}}
	}
	host := spec.Namespaces{Net: spec.Host, User: spec.Host}
	ready := func(ctx context.Context) error { return e.podOfTwo(ctx, "two") }
	gone := func(ctx context.Context) error { return e.remove(ctx, "two") }
	own := subject{
		once:  func(ctx context.Context) error { return e.sandbox(ctx, "two", spec.Namespaces{}) },
		after: gone,
	}
	rested := func(s scenario) scenario {
		s.apart = 100 * time.Millisecond
		return s
	}
	return []scenario{
		rested(one("sandbox, own network", 5, own)),
		one("the same right after another", 0, own),
		rested(one("sandbox, host's network and users", 2.5, subject{
			once:  func(ctx context.Context) error { return e.sandbox(ctx, "two", host) },
			after: gone,
		})),
		one("create and start", 4, subject{
			before: e.once(func(ctx context.Context) error { return e.sandbox(ctx, enginePod, spec.Namespaces{}) }),
			once:   func(ctx context.Context) error { return e.start(ctx, enginePod, "c") },
			after: func(ctx context.Context) error {
				_, err := client.Call(ctx, e.c, api.Remove, api.RemoveParams{Ref: enginePod + "/c", Force: true})
				return err
			},
		}),
		rested(one("pod of two, ready", 10, subject{once: ready, after: gone})),
		one("teardown of that pod", 10, subject{before: ready, once: gone}),
		one("exec true", 2, subject{once: func(ctx context.Context) error {
			_, err := client.Call(ctx, e.c, api.Exec, api.ExecParams{Ref: "target", Exec: spec.Exec{Command: []string{"true"}}})
			return err
		}}),
		one(fmt.Sprintf("stats of %d containers", manySize), 10, subject{
			before: e.once(e.many),
			once: func(ctx context.Context) error {
				_, err := client.Call(ctx, e.c, api.Stats, api.StatsParams{})
				return err
			},
		}),
	}
}

// once makes f a preparation that is done the first time only.
func (e *engine) once(f func(context.Context) error) func(context.Context) error {
	done := false
	return func(ctx context.Context) error {
		if done {
			return nil
		}
		done = true
		return f(ctx)
	}
}

func (e *engine) sandbox(ctx context.Context, name string, ns spec.Namespaces) error {
	_, err := client.Call(ctx, e.c, api.PodCreate, spec.Pod{Name: name, Namespaces: ns})
	return err
}

func (e *engine) start(ctx context.Context, pod, name string) error {
	_, err := client.Call(ctx, e.c, api.Create, api.RunParams{PodRef: pod, Container: spec.Container{
		Name: name, Image: image, Command: []string{"sleep", "1000000"},
	}})
	if err != nil {
		return err
	}
	_, err = client.Call(ctx, e.c, api.Start, api.StartParams{Ref: pod + "/" + name})
	return err
}

func (e *engine) podOfTwo(ctx context.Context, name string) error {
	if err := e.sandbox(ctx, name, spec.Namespaces{}); err != nil {
		return err
	}
	for _, c := range []string{"a", "b"} {
		if err := e.start(ctx, name, c); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) remove(ctx context.Context, pod string) error {
	now := time.Duration(0)
	if _, err := client.Call(ctx, e.c, api.PodStop, api.StopParams{Ref: pod, Timeout: &now}); err != nil {
		return err
	}
	_, err := client.Call(ctx, e.c, api.PodRemove, api.RemoveParams{Ref: pod})
	return err
}

// many makes containers to be counted.
func (e *engine) many(ctx context.Context) error {
	if err := e.sandbox(ctx, manyPod, spec.Namespaces{}); err != nil {
		return err
	}
	for i := range manySize - 1 { // and the exec's target
		if err := e.start(ctx, manyPod, fmt.Sprintf("c%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// close removes what the scenarios keep between rounds.
func (e *engine) close(ctx context.Context) error {
	for _, pod := range []string{enginePod, manyPod} {
		err := e.remove(ctx, pod)
		if err != nil && !fault.Is(err, fault.NotFound) { // its scenario was left out
			return err
		}
	}
	return nil
}
