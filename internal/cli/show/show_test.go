package show

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/api"
	"carob/internal/fault"
	"carob/internal/lifecycle"
	"carob/internal/spec"
	"carob/internal/status"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func web() status.Container {
	return status.Container{
		ID: strings.Repeat("ab", 32), Name: "web", PodID: strings.Repeat("cd", 32), PodName: "web", Owner: "cli", Image: "toolbox:latest",
		State: lifecycle.ContainerRunning, Pid: 42, Command: []string{"sh", "-c", "sleep 1000; echo \x1b[31mred"},
		CreatedAt: ago(time.Hour), StartedAt: ago(5 * time.Minute), Cgroup: "/carob/x",
		Spec: spec.Container{Labels: map[string]string{"b": "2", "a": "1"}},
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*status.Container)
		want string
	}{
		{"up", func(*status.Container) {}, "Up 5 minutes"},
		{"paused", func(c *status.Container) { c.Paused = true }, "Up 5 minutes (Paused)"},
		{"step", func(c *status.Container) { c.Step, c.StepSince = "stop: wait", ago(1500*time.Millisecond) }, "Up 5 minutes [stop: wait, 1.5s]"},
		{"created", func(c *status.Container) { c.State = lifecycle.ContainerCreated }, "Created"},
		{"exited", func(c *status.Container) {
			c.State, c.ExitCode, c.FinishedAt, c.Reason = lifecycle.ContainerExited, 1, ago(time.Minute), "Error"
		}, "Exited (1) About a minute ago"},
		{"oom", func(c *status.Container) {
			c.State, c.ExitCode, c.FinishedAt, c.Reason = lifecycle.ContainerExited, 137, ago(time.Hour), "OOMKilled"
		}, "Exited (137) About an hour ago, OOMKilled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := web()
			c.edit(&w)
			if got := Status(w, now); got != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestContainers(t *testing.T) {
	for _, c := range []struct {
		name string
		st   Style
		want string
	}{
		{"table", Style{}, `
CONTAINER ID   IMAGE            COMMAND                    CREATED             STATUS         PORTS                  OWNER   NAMES
abababababab   toolbox:latest   "sh -c sleep 1000; echo…   About an hour ago   Up 5 minutes   0.0.0.0:8080->80/tcp   cli     web
`},
		{"name", Style{Output: "name"}, "\nweb\n"},
		{"table of", Style{Format: `table {{.Names}}\t{{.RunningFor}}`}, "\nNAMES   RUNNING FOR\nweb     About an hour ago\n"},
		{"quiet", Style{Quiet: true}, "\nabababababab\n"},
		{"format", Style{Format: `{{.ID}} {{.Names}}\t{{.State}} {{.Labels}} {{.Owner}} {{json .Pid}} {{.Ports}}`}, "\nabababababab web\trunning a=1,b=2 cli 42 0.0.0.0:8080->80/tcp\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Containers(now, false).Write(&b, c.st, []Listed{{Container: web(), Ports: []spec.Port{{ContainerPort: 80, HostPort: 8080, HostIP: "0.0.0.0", Protocol: "TCP"}}}}); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want[1:], b.String()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTerminalSafe(t *testing.T) {
	var b bytes.Buffer
	if err := Containers(now, true).Write(&b, Style{Output: "wide"}, []Listed{{Container: web(), Ports: []spec.Port{{ContainerPort: 80, HostPort: 8080, HostIP: "0.0.0.0", Protocol: "TCP"}}}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("an escape sequence of the container's: %q", b.String())
	}
}

func TestDocuments(t *testing.T) {
	for out, want := range map[string]string{"json": "[]\n", "yaml": "[]\n"} {
		var b bytes.Buffer
		if err := Containers(now, false).Write(&b, Style{Output: out}, nil); err != nil || b.String() != want {
			t.Errorf("%s: got %q, %v", out, b.String(), err)
		}
	}
	if err := Containers(now, false).Write(&bytes.Buffer{}, Style{Output: "xml"}, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	if err := Containers(now, false).Write(&bytes.Buffer{}, Style{Format: "{{"}, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
}

func TestDocker(t *testing.T) {
	limit, quota, period := int64(512<<20), int64(50000), uint64(100000)
	c := web()
	c.Spec = spec.Container{
		Image: "toolbox", Resources: &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: &limit}, CPU: &specs.LinuxCPU{Quota: &quota, Period: &period},
		},
		Mounts: []spec.Mount{{Type: spec.Bind, Source: "/s", Target: "/t", ReadOnly: true}, {Type: spec.Volume, Source: "v", Target: "/v"}},
	}
	in := status.ContainerInspection{
		Container: c, OCI: &specs.Spec{Process: &specs.Process{Cwd: "/", Env: []string{"A=1"}}, Mounts: []specs.Mount{{Destination: "/v", Source: "/vol/v"}}},
		Observed: status.Observed{Differences: []string{"oomScoreAdj: asked -5, kernel shows 0"}},
	}
	p := status.Pod{Spec: spec.Pod{CgroupParent: "/pod-foo", Namespaces: spec.Namespaces{UTS: spec.OfContainer("a"), Net: spec.Host}}}
	v := Docker(in, p)
	for format, want := range map[string]string{
		"{{.State.Pid}}": "42", "{{.Id}}": c.ID, "{{.Name}}": "/web", "{{.State.Status}}": "running", "{{.State.ExitCode}}": "0",
		"{{.HostConfig.Memory}}": "536870912", "{{.HostConfig.NanoCpus}}": "500000000", "{{.Config.Image}}": "toolbox:latest",
		"{{.HostConfig.CgroupParent}}": "/pod-foo", "{{.HostConfig.UTSMode}}": "container:a", "{{.HostConfig.NetworkMode}}": "host",
		"{{json .Config.Env}}": `["A=1"]`, "{{index .HostConfig.Binds 0}}": "/s:/t:ro", "{{(index .Mounts 1).Source}}": "/vol/v",
		"{{.Differences}}": "[oomScoreAdj: asked -5, kernel shows 0]",
	} {
		var b bytes.Buffer
		if err := Inspect(&b, Style{Format: format}, []any{v}); err != nil {
			t.Error(err)
			continue
		}
		if got := strings.TrimSpace(b.String()); got != want {
			t.Errorf("%s: got %q, want %q", format, got, want)
		}
	}
	var b bytes.Buffer
	if err := Inspect(&b, Style{Format: "{{json .}}"}, []any{v}); err != nil || !json.Valid(b.Bytes()) {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestBetween(t *testing.T) {
	a := []status.Stats{{ID: "x", At: now, CPUTotal: 1e9}}
	b := []status.Stats{{ID: "x", Name: "x", At: now.Add(time.Second), CPUTotal: 15e8, MemoryWorkingSet: 50, MemoryLimit: 200, Pids: 3}, {ID: "new"}}
	want := []Usage{{ID: "x", Name: "x", CPU: 50, Memory: 50, Limit: 200, Percent: 25, Pids: 3}, {ID: "new"}}
	if d := cmp.Diff(want, Between(a, b)); d != "" {
		t.Error(d)
	}
}

func TestImages(t *testing.T) {
	list := ByName([]api.Image{{ID: "sha256:" + strings.Repeat("0", 64), Names: []string{"carob.local/toolbox:latest", "reg:5000/a"}, Size: 2e6, Created: now}, {ID: "sha256:" + strings.Repeat("1", 64), Created: now}})
	var b bytes.Buffer
	if err := Images(now, false).Write(&b, Style{Format: "{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}"}, list); err != nil {
		t.Fatal(err)
	}
	want := "carob.local/toolbox latest 000000000000 2MB\nreg:5000/a <none> 000000000000 2MB\n<none> <none> 111111111111 0B\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestImageDetailsAndSteps(t *testing.T) {
	m := api.ImageDetails{
		Image: api.Image{ID: "sha256:ab", Names: []string{"a:1"}, Size: 111, LayerSizes: []int64{100, 10, 1}, Created: now},
		Document: json.RawMessage(`{"os":"linux","architecture":"amd64","author":"me","config":{"Cmd":["x"],"Healthcheck":{"Test":["CMD","y"]}},
			"history":[{"created_by":"ADD"},{"created_by":"ENV","empty_layer":true},{"created_by":"RUN","comment":"c"}],
			"rootfs":{"type":"layers","diff_ids":["sha256:1","sha256:2","sha256:3"]}}`),
	}
	d, err := DockerImage(m)
	if err != nil {
		t.Fatal(err)
	}
	if d.Author != "me" || d.Os != "linux" || d.Config.Cmd[0] != "x" || d.Config.Healthcheck.Test[1] != "y" || len(d.RootFS.Layers) != 3 || d.RepoDigests == nil {
		t.Errorf("got %+v", d)
	}
	steps, err := Steps(m)
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{ // three layers, two of which the history tells of
		{ID: "sha256:ab", CreatedBy: "RUN", Comment: "c", Size: 1}, {ID: "<missing>", CreatedBy: "ENV"}, {ID: "<missing>", CreatedBy: "ADD", Size: 10},
		{ID: "<missing>", Size: 100, CreatedAt: now},
	}
	if d := cmp.Diff(want, steps); d != "" {
		t.Error(d)
	}
	m.Document = json.RawMessage(`[]`)
	if _, err := Steps(m); err == nil {
		t.Error("a damaged configuration is no error")
	}
	if _, err := DockerImage(m); err == nil {
		t.Error("a damaged configuration is no error")
	}
}
