package ocirt

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"carob/internal/sys/fd"
	"carob/internal/sys/task"
	"carob/internal/testenv"
)

// onHost starts a hook as a plain child, in place of one in a container.
func onHost(h specs.Hook, streams []*os.File) (*child, error) {
	p, err := os.StartProcess(h.Path, h.Args, &os.ProcAttr{Files: streams, Env: h.Env})
	if err != nil {
		return nil, err
	}
	c := &child{}
	c.pid = p.Pid
	return c, p.Release()
}

// TestHooks: neither a state that no pipe holds nor what a hook leaves behind keeps the
// runtime waiting, and a hook's complaint comes through; on the host and in a container.
func TestHooks(t *testing.T) {
	state := specs.State{Version: specs.Version, Annotations: map[string]string{"a": strings.Repeat("x", 200_000)}}
	second := 1
	for name, test := range map[string]struct {
		script string
		limit  *int
		want   string // in the error; "" is none
	}{
		"reads":          {`test $(wc -c) -gt 200000`, nil, ""},
		"does not read":  {"exit 0", nil, ""},
		"complains":      {"echo no way >&2; exit 3", nil, "exit status 3, no way"},
		"says very much": {"head -c 1000000 /dev/zero; exit 4", nil, "exit status 4"},
		"takes too long": {"exec sleep 1000", &second, "timeout"},
		"leaves a child": {"sleep 1000 & echo $! > child", nil, ""},
		"leaves a child and fails": {
			"sleep 1000 & echo $! > child; echo no way; exit 3", nil, "exit status 3, no way",
		},
	} {
		for kind, run := range map[string]func(list []specs.Hook, state specs.State) error{
			"host": func(list []specs.Hook, state specs.State) error {
				return runHooks(t.Context(), "poststart", list, state)
			},
			"container": func(list []specs.Hook, state specs.State) error {
				return runHooksInside(t.Context(), hookList{"createContainer", list}, state, onHost)
			},
		} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				state := state
				state.Bundle = t.TempDir()
				t.Cleanup(func() { end1000(t, filepath.Join(state.Bundle, "child")) })
				hook := specs.Hook{
					Path: "/bin/sh", Args: []string{"sh", "-c", "cd " + state.Bundle + "; " + test.script}, Env: []string{"PATH=/bin:/usr/bin"}, Timeout: test.limit,
				}
				done := make(chan error, 1)
				go func() { done <- run([]specs.Hook{hook}, state) }()
				select {
				case err := <-done:
					if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
						t.Errorf("got %.200v, want %q", err, test.want)
					}
				case <-time.After(testenv.Patience(5 * time.Second)):
					t.Fatal("still waiting")
				}
			})
		}
	}
}

// end1000 ends what a hook has left behind, if it has.
func end1000(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	id, _, err := task.Find(pid)
	if err == nil {
		err = id.Signal(fd.SIGKILL)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestPoststop: what a hook says keeps neither the next one nor the container's end.
func TestPoststop(t *testing.T) {
	root, warned := t.TempDir(), ""
	r := &Runtime{Root: root, Warn: func(text string) { warned += text }}
	ran := filepath.Join(root, "ran")
	c := &Container{r: r, dir: filepath.Join(root, "c"), Record: Record{ID: "c", Bundle: root, Init: task.ID{Pid: os.Getpid(), Started: 1}}}
	config := `{"ociVersion":"1.2.0","process":{"args":["x"],"cwd":"/"},"root":{"path":"x"},"linux":{"namespaces":[{"type":"mount"}]},
		"hooks":{"poststop":[{"path":"/bin/false"},{"path":"/usr/bin/touch","args":["touch","` + ran + `"]}]}}`
	for _, err := range []error{os.Mkdir(c.dir, 0o700), c.write([]byte(config))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Delete(t.Context(), false); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(ran); err != nil {
		t.Errorf("the second hook: %v", err)
	}
	if !strings.Contains(warned, "poststop hook #0") {
		t.Errorf("warned of %q", warned)
	}
	if _, err := r.Load("c"); err == nil {
		t.Error("the container is still there")
	}
}

// TestHookEnvironment: a hook has nothing of the runtime's environment, which whoever calls
// that may have from a container's (CVE-2025-23266).
func TestHookEnvironment(t *testing.T) {
	t.Setenv("LD_PRELOAD_OF_THE_TEST", "x")
	for _, env := range [][]string{nil, {}, {"A=1"}} {
		hook := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", `test -z "$LD_PRELOAD_OF_THE_TEST"`}, Env: env}
		if err := runHooks(t.Context(), "poststart", []specs.Hook{hook}, specs.State{}); err != nil {
			t.Errorf("with %q: %v", env, err)
		}
	}
}
