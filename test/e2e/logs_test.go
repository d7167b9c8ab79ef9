package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"carob/internal/testenv"
)

// numbered has a container write so many times a hundred numbered lines.
func numbered(batches int) []string {
	return []string{"sh", "-c", fmt.Sprintf("for i in $(seq %d); do seq $((i*100-99)) $((i*100)); sleep 0.01; done", batches)}
}

// counts reads numbers, line by line, which must follow one another, and returns the first
// and the last.
func (h *host) counts(text string) (first, last int) {
	h.Helper()
	for l := range strings.Lines(text) {
		n, err := strconv.Atoi(strings.TrimSpace(l))
		if err != nil {
			h.Fatal(err)
		}
		if last != 0 && n != last+1 {
			h.Errorf("%d comes after %d", n, last)
		}
		if last = n; first == 0 {
			first = n
		}
	}
	return first, last
}

// logFiles returns the sizes of the files of a container's log.
func (h *host) logFiles(name string) map[string]int64 {
	h.Helper()
	path := h.ok("inspect", "--format", "{{.LogPath}}", name)
	all, err := filepath.Glob(path + "*")
	if err != nil {
		h.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, f := range all {
		if info, err := os.Stat(f); err == nil { // renamed meanwhile
			sizes[strings.TrimPrefix(f, path)] = info.Size()
		}
	}
	return sizes
}

// TestLogsAreBounded: of what a container writes the latest files are kept, read as one, and
// go with the container.
func TestLogsAreBounded(t *testing.T) {
	h := start(t)
	name := h.name("bounded")
	h.ok("run", "-d", "--name", name, "--log-opt", "max-size=8k", "--log-opt", "max-file=3", image,
		"sh", "-c", "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo $i; done")
	t.Cleanup(func() { h.run("rm", "-f", name) })
	h.eventually("rotated for a while", func() bool {
		first, _ := h.counts(h.ok("logs", name))
		return first > 2000
	})
	h.ok("exec", name, "touch", "/stop")
	h.ok("wait", name)
	files := h.logFiles(name)
	if len(files) > 3 || files[".1"] < 8<<10 || files[".2"] < 8<<10 {
		t.Errorf("files %v", files)
	}
	first, last := h.counts(h.ok("logs", name))
	for _, n := range []int{1, 300, last - first} {
		if a, b := h.counts(h.ok("logs", "--tail", strconv.Itoa(n), name)); b != last || a != last-n+1 {
			t.Errorf("tail %d: %d to %d of %d", n, a, b, last)
		}
	}
	if got := h.ok("inspect", "--format", "{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config \"max-size\"}}", name); got != "k8s-file 8192" {
		t.Errorf("log config %q", got)
	}
	dir := filepath.Dir(h.ok("inspect", "--format", "{{.LogPath}}", name))
	h.ok("rm", name)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the log stays: %v", err)
	}
}

// TestFollowOverRotations: who follows a log sees each line once, however often it is rotated.
func TestFollowOverRotations(t *testing.T) {
	h := start(t)
	name, batches := h.name("followed"), 100
	h.ok(append([]string{"run", "-d", "--name", name, "--log-opt", "max-size=16k", "--log-opt", "max-file=100", image}, numbered(batches)...)...)
	t.Cleanup(func() { h.run("rm", "-f", name) })
	if first, last := h.counts(h.ok("logs", "-f", name)); first != 1 || last != 100*batches {
		t.Errorf("followed %d to %d", first, last)
	}
	if files := h.logFiles(name); len(files) < 5 {
		t.Errorf("files %v", files)
	}
}

// TestRotationSurvivesCrashes: whenever a daemon is killed, no line is lost, and the next one
// rotates on.
func TestRotationSurvivesCrashes(t *testing.T) {
	h := startOwn(t)
	name, batches := h.name("crashed"), 200
	h.ok(append([]string{"run", "-d", "--name", name, "--log-opt", "max-size=16k", "--log-opt", "max-file=100", image}, numbered(batches)...)...)
	for h.ok("inspect", "--format", "{{.State.Running}}", name) == "true" {
		time.Sleep(rand.N(testenv.Patience(100 * time.Millisecond)))
		h.kill()
	}
	if first, last := h.counts(h.ok("logs", name)); first != 1 || last != 100*batches {
		t.Errorf("logged %d to %d", first, last)
	}
	if files := h.logFiles(name); len(files) < 3 {
		t.Errorf("files %v", files)
	}
	h.ok("rm", name)
}

// TestNoLog: --log-driver none keeps nothing, and the output is there for who runs it.
func TestNoLog(t *testing.T) {
	h := start(t)
	name := h.name("silent")
	if out := h.ok("run", "--name", name, "--log-driver", "none", image, "echo", "hello"); out != "hello" {
		t.Errorf("output %q", out)
	}
	t.Cleanup(func() { h.run("rm", "-f", name) })
	if r := h.code(1, "logs", name); !strings.Contains(r.err, "no log") {
		t.Errorf("logs: %s", r.err)
	}
	if path := h.ok("inspect", "--format", "{{.LogPath}} {{.HostConfig.LogConfig.Type}}", name); path != " none" {
		t.Errorf("log %q", path)
	}
	for _, wrong := range [][]string{{"--log-driver", "syslog"}, {"--log-opt", "max-size=1"}, {"--log-opt", "mode=non-blocking"}, {"--log-driver", "none", "--log-opt", "max-file=2"}} {
		r := h.code(125, append(append([]string{"run", "--rm"}, wrong...), image, "true")...)
		if !strings.Contains(r.err, wrong[len(wrong)-1]) {
			t.Errorf("%v: %s", wrong, r.err)
		}
	}
}

// TestLogsOfPods: the containers of a manifest have bounds, too, and an empty log is none.
func TestLogsOfPods(t *testing.T) {
	h := start(t)
	h.apply(`{apiVersion: v1, kind: Pod, metadata: {name: bounds}, spec: {containers: [{name: a, image: carob.local/toolbox, command: [sleep, "1000000"]}]}}`, "bounds")
	if got := h.ok("inspect", "--format", "{{.HostConfig.LogConfig.Config}}", "bounds/a"); got != "map[max-file:5 max-size:10485760]" {
		t.Errorf("log config %q", got)
	}
	if out := h.ok("logs", "bounds/a"); out != "" {
		t.Errorf("logged %q", out)
	}
}
