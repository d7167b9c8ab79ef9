package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	grpcstatus "google.golang.org/grpc/status"

	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
	"carob/internal/telemetry"
)

func none() ([]Figure, error) { return nil, nil }

// sources are of a machine with one pod and two containers.
func sources(figures func() ([]Figure, error)) Sources {
	return Sources{
		Pods: func() []status.Pod { return []status.Pod{{State: lifecycle.PodReady, Spec: spec.Pod{Owner: "cri"}}} },
		Containers: func() []status.Container {
			return []status.Container{{State: lifecycle.ContainerRunning, Owner: "cri"}, {State: lifecycle.ContainerRunning, Owner: "cri"}}
		},
		Figures: func(context.Context) ([]Figure, error) { return figures() },
	}
}

// serve serves m and returns how a path is asked for.
func serve(t *testing.T, m *Metrics, s Sources, log io.Writer) func(path string) (int, string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, l, s, slog.New(slog.NewTextHandler(log, nil))) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(path string) (int, string) {
		t.Helper()
		resp, err := client.Get("http://x" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
}

func wantLines(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(page, "\n"+l+"\n") {
			t.Errorf("no line %q in\n%s", l, page)
		}
	}
}

func TestPage(t *testing.T) {
	m := New("v1")
	get := serve(t, m, sources(none), io.Discard)
	_, end := m.Step(t.Context(), telemetry.Step{Name: telemetry.SandboxRun, Handler: "native", Pod: "never in a label"})
	end(nil)
	_, end = m.Step(t.Context(), telemetry.Step{Name: telemetry.SandboxRun, Handler: "native"})
	end(fault.New(fault.Conflict, "x"))
	gone, leave := context.WithCancel(t.Context())
	_, end = m.Step(gone, telemetry.Step{Name: telemetry.NetworkAttach})
	leave()
	end(errors.New("x"))
	_, end = m.Call(t.Context(), "run")
	end(nil)
	_, end = m.Call(t.Context(), "run")
	end(fault.New(fault.NotFound, "x"))
	m.Received(5)
	_, hangs := m.Step(t.Context(), telemetry.Step{Name: telemetry.RootMount})
	defer hangs(nil)
	code, page := get("/metrics")
	if code != http.StatusOK {
		t.Errorf("%d", code)
	}
	wantLines(t, page,
		`carob_build_info{version="v1"} 1`,
		`carob_pods{owner="cri",state="ready"} 1`,
		`carob_containers{owner="cri",state="running"} 2`,
		`carob_step_duration_seconds_count{handler="native",step="sandbox-run"} 2`,
		`carob_step_duration_seconds_bucket{handler="native",step="sandbox-run",le="120"} 2`,
		`carob_step_failures_total{handler="native",kind="conflict",step="sandbox-run"} 1`,
		`carob_step_failures_total{handler="",kind="cancelled",step="network-attach"} 1`,
		`carob_api_call_duration_seconds_count{error="none",method="run"} 1`,
		`carob_api_call_duration_seconds_count{error="not found",method="run"} 1`,
		`carob_image_received_bytes_total 5`,
		`carob_steps_in_progress{handler="",step="root-mount"} 1`,
		`carob_steps_in_progress{handler="native",step="sandbox-run"} 0`,
	)
	if strings.Contains(page, "never") || !strings.Contains(page, "\ngo_goroutines ") || !strings.Contains(page, "\nprocess_open_fds ") {
		t.Errorf("the page is\n%s", page)
	}
	if code, _ := get("/"); code != http.StatusNotFound {
		t.Errorf("/ is %d", code)
	}
}

// TestFigures: what was read is shown though something could not be, and labels may have
// anything.
func TestFigures(t *testing.T) {
	var log strings.Builder
	get := serve(t, New("v1"), sources(func() ([]Figure, error) {
		return []Figure{
			{"container_a", "A", true, []string{"name"}, []string{"x\"\\\n"}, 1.5},
			{"container_a", "A", true, []string{"name"}, []string{"\xff"}, 2},
			{"container_b", "B", false, []string{"name"}, []string{"y"}, 1 << 40},
		}, errors.New("the third is broken")
	}), &log)
	_, page := get("/metrics")
	wantLines(t, page, "# TYPE container_a counter", `container_a{name="x\"\\\n"} 1.5`, "container_a{name=\"\uFFFD\"} 2", "# TYPE container_b gauge", `container_b{name="y"} 1.099511627776e+12`)
	if !strings.Contains(log.String(), "the third is broken") {
		t.Errorf("the log is %q", log.String())
	}
}

// TestScrapesWait: one scrape at a time, and one that is given up makes way.
func TestScrapesWait(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	m := New("v1")
	get := serve(t, m, sources(func() ([]Figure, error) { began <- struct{}{}; <-goOn; return nil, nil }), io.Discard)
	done := make(chan int, 2)
	for range 2 {
		go func() { code, _ := get("/metrics"); done <- code }()
	}
	<-began
	select {
	case <-began:
		t.Error("two at a time")
	case <-time.After(20 * time.Millisecond): // a wrong one comes at once
	}
	goOn <- struct{}{}
	<-began
	goOn <- struct{}{}
	for range 2 {
		if code := <-done; code != http.StatusOK {
			t.Errorf("%d", code)
		}
	}
}

// TestRPCs: what is called is bounded by what there is.
func TestRPCs(t *testing.T) {
	m := New("v1")
	h := m.RPCs([]string{"/runtime.v1.RuntimeService/Status"})
	at := time.Now()
	for i, name := range []string{"/runtime.v1.RuntimeService/Status", "/made.Up/1", "/made.Up/2"} {
		ctx := h.TagRPC(h.TagConn(t.Context(), nil), &stats.RPCTagInfo{FullMethodName: name})
		h.HandleRPC(ctx, &stats.Begin{})
		var err error
		if i > 0 {
			err = grpcstatus.Error(codes.Unimplemented, "no such method")
		}
		h.HandleRPC(ctx, &stats.End{BeginTime: at, EndTime: at.Add(30 * time.Millisecond), Error: err})
	}
	_, page := serve(t, m, sources(none), io.Discard)("/metrics")
	wantLines(t, page,
		`carob_cri_call_duration_seconds_bucket{code="OK",method="Status",le="0.025"} 0`, `carob_cri_call_duration_seconds_bucket{code="OK",method="Status",le="0.05"} 1`,
		`carob_cri_call_duration_seconds_count{code="Unimplemented",method="unknown"} 2`)
	if strings.Contains(page, "made") {
		t.Error("a client's word is a label")
	}
}

// TestFollow: starts and exits are counted over a loss of the events.
func TestFollow(t *testing.T) {
	m := New("v1")
	var asked []uint64
	rounds := [][]status.Event{
		{
			{Seq: 7, Type: "container", Action: "start"}, {Seq: 8, Type: "pod", Action: "start"},
			{Seq: 9, Type: "container", Action: "exit", Attributes: map[string]string{"code": "0", "reason": "Completed"}},
		},
		{{Seq: 10, Type: "container", Action: "exit", Attributes: map[string]string{"reason": "OOMKilled"}}},
		nil,
	}
	m.Follow(t.Context(), func(_ context.Context, from uint64) <-chan status.Event {
		asked = append(asked, from)
		to := make(chan status.Event, 9)
		for _, e := range rounds[0] {
			to <- e
		}
		rounds = rounds[1:]
		close(to)
		return to
	})
	if fmt.Sprint(asked) != "[1 10 11]" {
		t.Errorf("asked for the events from %v", asked)
	}
	_, page := serve(t, m, sources(none), io.Discard)("/metrics")
	wantLines(t, page, "carob_container_starts_total 1", `carob_container_exits_total{reason="Completed"} 1`, `carob_container_exits_total{reason="OOMKilled"} 1`)
}

// BenchmarkStep is what a step costs that is counted.
func BenchmarkStep(b *testing.B) {
	m := New("v1")
	for b.Loop() {
		_, end := m.Step(b.Context(), telemetry.Step{Name: telemetry.SandboxRun, Handler: "native", Pod: "p"})
		end(nil)
	}
}

// BenchmarkPage is a scrape of 600 containers with 50 figures each.
func BenchmarkPage(b *testing.B) {
	var all []Figure
	for c := range 600 {
		for f := range 50 {
			all = append(all, Figure{fmt.Sprintf("container_%d", f), "H", true, []string{"id", "name"}, []string{"/carob/x", fmt.Sprint(c)}, 1})
		}
	}
	m, s := New("v1"), sources(func() ([]Figure, error) { return all, nil })
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for b.Loop() {
		m.scrape(httptest.NewRecorder(), r, s, slog.New(slog.DiscardHandler))
	}
}
