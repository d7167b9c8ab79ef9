package e2e

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// configured is a machine whose daemon has a configuration file.
type configured struct {
	*host
	daemon *exec.Cmd
	path   string
}

// serve starts the machine's daemon with a configuration, until the test's end.
func (h *host) serve(config string) *configured {
	h.Helper()
	c := &configured{host: h, path: filepath.Join(h.dir, "config.toml")}
	c.write(config)
	log, err := os.Create(filepath.Join(h.dir, "log"))
	if err != nil {
		h.Fatal(err)
	}
	defer log.Close()
	c.daemon = exec.Command(filepath.Join(h.dir, "bin", "carob"), "serve", "--config", c.path)
	c.daemon.Env, c.daemon.Dir, c.daemon.Stderr = h.env, h.dir, log
	if err := c.daemon.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		_ = c.daemon.Process.Signal(syscall.SIGTERM)
		if err := c.daemon.Wait(); err != nil || h.Failed() {
			h.Errorf("the daemon ended with %v; its log is\n%s", err, c.log())
		}
	})
	h.eventually("the daemon answers", func() bool { return h.machine.daemon() != 0 })
	return c
}

func (c *configured) write(config string) {
	c.Helper()
	if err := os.WriteFile(c.path, []byte(config), 0o600); err != nil {
		c.Fatal(err)
	}
}

func (c *configured) log() string {
	b, err := os.ReadFile(filepath.Join(c.dir, "log"))
	if err != nil {
		c.Error(err)
	}
	return string(b)
}

// TestReload: what can change changes at once, what cannot is named, and a file that is
// wrong changes nothing.
func TestReload(t *testing.T) {
	c := startOwn(t).serve("log-level = \"error\"\n")
	handlers := func() string {
		return c.ok("info", "--format", "{{range .Handlers}}{{.Name}} {{end}}")
	}
	name := c.container("outlives")
	pid := c.pid(name)
	policy := filepath.Join(c.dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"default": [{"type": "reject"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.write("log-level = \"debug\"\npolicy = \"" + policy + "\"\ncri-socket = \"none\"\n[handlers.mine]\npath = \"/bin/false\"\n")
	if got, want := c.ok("config", "reload"), "changed: log-level, policy, handlers\nwaiting for the daemon to be started again: cri-socket"; got != want {
		t.Errorf("reload says %q, want %q", got, want)
	}
	if got := handlers(); !strings.Contains(got, "mine ") {
		t.Errorf("handlers %q", got)
	}
	if r := c.code(1, "pull", "registry.invalid/x"); !strings.Contains(r.err, "policy") {
		t.Errorf("the pull is refused with %q", r.err)
	}
	c.code(1, "start", "nobody")
	if log := c.log(); !strings.Contains(log, `level=DEBUG msg="api start" ref=nobody`) {
		t.Errorf("no line about a failure in\n%s", log)
	}

	c.write("policy = \"" + policy + "\"\n\nlog-level = \"loud\"\n")
	if r := c.code(1, "config", "reload"); !strings.Contains(r.err, `config.toml:3: log-level: "loud"`) {
		t.Errorf("error %q", r.err)
	}
	c.write("policy = \"/nonexistent\"\n")
	if r := c.code(1, "config", "reload"); !strings.Contains(r.err, "/nonexistent") {
		t.Errorf("error %q", r.err)
	}
	if got := handlers(); !strings.Contains(got, "mine ") {
		t.Errorf("a wrong file has changed the handlers to %q", got)
	}

	c.write("")
	if err := c.daemon.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	c.eventually("SIGHUP has taken the handler away", func() bool { return !strings.Contains(handlers(), "mine ") })
	if c.pid(name) != pid {
		t.Error("the container is another")
	}
}

// scrape reads the page of the metrics.
func (c *configured) scrape(socket string) string {
	c.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	resp, err := client.Get("http://carob/metrics")
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.Fatalf("%s, %v", resp.Status, err)
	}
	return string(page)
}

// TestMetrics: what the daemon has done, and what containers use, whoever asked for them.
func TestMetrics(t *testing.T) {
	h := startOwn(t)
	socket := filepath.Join(h.dir, "metrics.sock")
	c := h.serve("[metrics]\naddress = \"" + socket + "\"\n")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	name := c.container("of-cli")
	id := c.ok("inspect", "--format", "{{.Id}}", name)
	if got := strings.Fields(c.ok("ps", "--format", "{{.Names}} {{.Owner}}")); !slices.Equal(got, []string{name, "cli"}) {
		t.Errorf("ps says %v", got)
	}
	k := c.kubelet()
	pod, container := k.running(nil, nil)
	if r := c.code(1, "start", "nobody"); r.err == "" {
		t.Error("no error")
	}
	var page string
	for _, want := range []string{
		`carob_pods{owner="cli",state="ready"} 1`, `carob_pods{owner="cri",state="ready"} 1`,
		`carob_containers{owner="cli",state="running"} 1`, `carob_containers{owner="cri",state="running"} 1`,
		`carob_step_duration_seconds_count{handler="native",step="sandbox-run"} 2`,
		`carob_step_duration_seconds_count{handler="native",step="process-start"} 2`,
		`carob_step_duration_seconds_count{handler="",step="network-attach"} 2`,
		`carob_cri_call_duration_seconds_count{code="OK",method="RunPodSandbox"} 1`,
		`carob_api_call_duration_seconds_count{error="not found",method="start"} 1`,
		`carob_container_starts_total 2`,
	} {
		if !wait(20*time.Second, func() bool { page = c.scrape(socket); return strings.Contains(page, "\n"+want+"\n") }) {
			t.Errorf("no %s", want)
		}
	}
	for _, id := range []string{id, container} {
		if got := valueOf(page, "container_memory_usage_bytes", id); got == "" || got == "0" {
			t.Errorf("container %.12s uses %q bytes", id, got)
		}
	}
	if got := valueOf(page, "container_network_receive_bytes_total", pod); got == "" {
		t.Error("the pod has no network")
	}
	if t.Failed() {
		t.Log(page)
	}
}

// valueOf is the value of a family for a container or pod.
func valueOf(page, family, id string) string {
	for l := range strings.Lines(page) {
		if strings.HasPrefix(l, family+"{") && strings.Contains(l, `name="`+id+`"`) {
			return strings.TrimSpace(l[strings.LastIndexByte(l, ' '):])
		}
	}
	return ""
}

// otlpReceiver is a collector of traces.
type otlpReceiver struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex
	got []*otlp.Span
}

// Export takes spans.
func (r *otlpReceiver) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range req.GetResourceSpans() {
		for _, s := range of.GetScopeSpans() {
			r.got = append(r.got, s.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// below names the spans below one, all the way down; nil when it has not come.
func (r *otlpReceiver) below(fits func(*otlp.Span) bool) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.got, fits)
	if i < 0 {
		return nil
	}
	names, in := []string{r.got[i].GetName()}, map[string]bool{string(r.got[i].GetSpanId()): true}
	for range r.got { // spans come in the order of their ends
		for _, s := range r.got {
			if in[string(s.GetParentSpanId())] && !in[string(s.GetSpanId())] {
				in[string(s.GetSpanId())] = true
				names = append(names, s.GetName())
			}
		}
	}
	return names
}

// TestTraces: a pod's start is a trace, with its steps below the call, and the kubelet's
// trace goes on in it.
func TestTraces(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, g := &otlpReceiver{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(g, r)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	h := startOwn(t)
	h.env = append(h.env, "OTEL_BSP_SCHEDULE_DELAY=100") // milliseconds
	c := h.serve(fmt.Sprintf("[tracing]\nendpoint = %q\n", l.Addr()))
	k := c.kubelet()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	k.ctx = metadata.AppendToOutgoingContext(k.ctx, "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	k.running(nil, nil)
	c.ok("run", "--rm", "--cgroup-parent", c.parent, image, "true")
	of := func(name, trace string) func(*otlp.Span) bool {
		return func(s *otlp.Span) bool {
			return s.GetName() == name && (trace == "" || hex.EncodeToString(s.GetTraceId()) == trace)
		}
	}
	for _, call := range []struct {
		name, trace string
		steps       []string
	}{
		{"runtime.v1.RuntimeService/RunPodSandbox", trace, []string{"sandbox-run", "network-attach"}},
		{"runtime.v1.RuntimeService/CreateContainer", trace, []string{"root-create"}},
		{"runtime.v1.RuntimeService/StartContainer", trace, []string{"root-mount", "process-prepare", "process-start"}},
		{"carob.api/run", "", []string{"root-create", "sandbox-run", "network-attach", "root-mount", "process-prepare", "process-start"}},
	} {
		var got []string
		ok := wait(20*time.Second, func() bool {
			got = r.below(of(call.name, call.trace))
			return !slices.ContainsFunc(call.steps, func(s string) bool { return !slices.Contains(got, s) })
		})
		if !ok {
			t.Errorf("%s: below are %v, want %v", call.name, got, call.steps)
		}
	}
}
