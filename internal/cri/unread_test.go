package cri

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/cri/shown"
	"carob/internal/fault"
	"carob/internal/pod"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/systest"
)

// broken are groups of which one cannot be read.
type broken struct {
	Groups // nil: nothing else is asked for
	path   *string
}

func (b broken) fails(path string) error {
	if path == *b.path {
		return errors.New("input/output error")
	}
	return nil
}

func (b broken) GroupStats(_ context.Context, path string) (status.Stats, error) {
	return status.Stats{}, b.fails(path)
}

func (b broken) GroupExtremes(_ context.Context, path string) (status.Extremes, error) {
	return status.Extremes{}, b.fails(path)
}

func (b broken) GroupCensus(_ context.Context, path string) (status.Census, error) {
	return status.Census{Processes: 1}, b.fails(path)
}

// reader is the calls that read figures, of two pods of the kubelet's with a container each.
type reader struct {
	*stats
	pods       []status.Pod
	containers []status.Container
	log        *bytes.Buffer
	broken     *string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	m := systest.New(t.TempDir())
	d := m.Deps()
	d.Log = slog.New(slog.DiscardHandler)
	e := pod.New(d)
	t.Cleanup(func() { _ = e.Close() })
	if err := e.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &reader{log: &bytes.Buffer{}, broken: new(string)}
	for _, name := range []string{"one", "two"} {
		p, err := e.RunPod(t.Context(), spec.Pod{Name: name, Owner: spec.OwnerCRI, Namespaces: spec.Namespaces{Net: spec.Host}})
		if err != nil {
			t.Fatal(err)
		}
		c, err := e.CreateContainer(t.Context(), p.ID, spec.Container{Name: "c", Image: "toolbox", Command: []string{"sleep", "9"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.StartContainer(t.Context(), c.ID, pod.Streams{}); err != nil {
			t.Fatal(err)
		}
		r.pods, r.containers = append(r.pods, p), append(r.containers, c)
	}
	r.stats = newStats(Services{
		Engine: e, Groups: broken{path: r.broken}, Root: t.TempDir(), Log: slog.New(slog.NewTextHandler(r.log, nil)),
	})
	return r
}

// TestOneUnreadable: a container, or a pod, whose group cannot be read is left out of every
// list, and the others are there. The log says so once.
func TestOneUnreadable(t *testing.T) {
	r := newReader(t)
	type counts struct{ containers, pods, podsMetrics, containersMetrics int }
	lists := func() (n counts) {
		t.Helper()
		c, err := r.ListContainerStats(t.Context(), &cri.ListContainerStatsRequest{})
		if err != nil {
			t.Error(err)
		}
		p, err := r.ListPodSandboxStats(t.Context(), &cri.ListPodSandboxStatsRequest{})
		if err != nil {
			t.Error(err)
		}
		m, err := (&metrics{r.stats, shown.NewFamilies()}).ListPodSandboxMetrics(t.Context(), &cri.ListPodSandboxMetricsRequest{})
		if err != nil {
			t.Error(err)
		}
		n = counts{containers: len(c.GetStats()), pods: len(p.GetStats()), podsMetrics: len(m.GetPodMetrics())}
		for _, one := range m.GetPodMetrics() {
			n.containersMetrics += len(one.GetContainerMetrics())
		}
		return n
	}
	for name, tt := range map[string]struct {
		path string
		want counts
		log  string
	}{
		"none":        {"", counts{2, 2, 2, 2}, ""},
		"a container": {r.containers[0].Cgroup, counts{1, 2, 2, 1}, "of=container id=" + r.containers[0].ID},
		"a pod":       {r.pods[1].Cgroup, counts{2, 1, 1, 1}, "of=pod id=" + r.pods[1].ID},
	} {
		t.Run(name, func(t *testing.T) {
			*r.broken = ""
			lists()
			*r.broken = tt.path
			r.log.Reset()
			for range 2 {
				if got := lists(); got != tt.want {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
			}
			if got := r.log.String(); strings.Count(got, "\n") != min(1, len(tt.log)) || !strings.Contains(got, tt.log) {
				t.Errorf("the log has %q, want %q once", got, tt.log)
			}
		})
	}
}

// TestReadAllEnds: who has left gets no list.
func TestReadAllEnds(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	got, err := readAll(ctx, []int{1, 2, 3}, func(n int) (*int, error) {
		leave()
		return &n, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestUnreadIsForgotten: what has ended is not news, and what can be read again may be told
// of again.
func TestUnreadIsForgotten(t *testing.T) {
	var log bytes.Buffer
	u := unread{log: slog.New(slog.NewTextHandler(&log, nil)), told: map[string]time.Time{}}
	failed := errors.New("x")
	for i, step := range []struct {
		err   error
		lines int
	}{{fault.New(fault.NotFound, "gone"), 0}, {failed, 1}, {failed, 1}, {nil, 1}, {failed, 2}, {fault.New(fault.NotFound, "gone"), 2}} {
		if got := u.note(t.Context(), unreadable{"pod", "p", step.err}); got != step.err {
			t.Errorf("%d: %v", i, got)
		}
		if got := strings.Count(log.String(), "\n"); got != step.lines {
			t.Errorf("%d: %d lines, want %d", i, got, step.lines)
		}
	}
	if len(u.told) > 0 {
		t.Errorf("what has ended stays: %v", u.told)
	}
	u.told["pod old"] = time.Now().Add(-2 * keepReading)
	_ = u.note(t.Context(), unreadable{"pod", "q", failed})
	if len(u.told) != 1 {
		t.Errorf("what nobody asks for stays: %v", u.told)
	}
}
