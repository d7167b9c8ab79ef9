package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const image = "carob.local/toolbox"

const pod = `apiVersion: v1
kind: Pod
metadata:
  name: bench
spec:
  containers:
  - {name: a, image: carob.local/toolbox, command: [sleep, "1000000"]}
  - {name: b, image: carob.local/toolbox, command: [sleep, "1000000"]}
`

// prepare starts the daemon, a container to exec into, and makes a bundle and an
// image for the peers that are installed.
func (b *bench) prepare(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(b.dir, "pod.yaml"), []byte(pod), 0o600); err != nil {
		return err
	}
	if err := b.carob(ctx, "run", "-d", "--name", "target", image, "sleep", "1000000"); err != nil {
		return err
	}
	if err := b.rootfs(ctx); err != nil {
		return err
	}
	for _, r := range []string{filepath.Join(b.bin, "carob-oci"), "runc", "crun"} {
		if has(r) {
			if err := b.bundle(ctx, r); err != nil {
				return err
			}
			b.tryRuntime(ctx, r)
		}
	}
	if has("podman") {
		if err := b.tryPodman(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "bench: podman is left out: %v\n", err)
			return nil
		}
		b.podman = true
	}
	return nil
}

// tryPodman lets podman take part if it works on this host: its crun wants limits
// raised, which not every root may.
func (b *bench) tryPodman(ctx context.Context) error {
	tar := b.command(ctx, "sh", "-c", "tar -C rootfs -c . | podman import - localhost/carob-bench")
	if err := quiet(tar); err != nil {
		return err
	}
	return quiet(b.command(ctx, "podman", "run", "-d", "--name", "carob-bench", "--network", "none", "localhost/carob-bench", "/bin/sleep", "1000000"))
}

// tryRuntime lets an OCI runtime take part if it works on this host.
func (b *bench) tryRuntime(ctx context.Context, program string) {
	r := filepath.Base(program)
	s := subject{name: r + " run", once: b.program(program, "run", "--bundle", filepath.Join(b.dir, r), "carob-bench-"+r)}
	if err := s.once(ctx); err != nil {
		_ = removeGroups("/carob-bench-" + r) // crun makes one before it refuses
		fmt.Fprintf(os.Stderr, "bench: %s is left out: %v\n", r, err)
		return
	}
	b.runtimes = append(b.runtimes, s)
}

func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// rootfs unpacks the toolbox's root file system for the peers.
func (b *bench) rootfs(ctx context.Context) error {
	return quiet(b.command(ctx, "sh", "-c", "mkdir rootfs && \"$0\" --rootfs | tar -x -C rootfs", filepath.Join(b.bin, "carob-toolbox")))
}

// bundle writes an OCI bundle whose process is true, with the runtime's own
// default configuration.
func (b *bench) bundle(ctx context.Context, runtime string) error {
	dir := filepath.Join(b.dir, filepath.Base(runtime))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	c := b.command(ctx, runtime, "spec")
	c.Dir = dir
	if err := quiet(c); err != nil {
		return err
	}
	name := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	config["root"] = map[string]any{"path": filepath.Join(b.dir, "rootfs"), "readonly": true}
	process, ok := config["process"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s: no process", name)
	}
	process["terminal"], process["args"] = false, []string{"/bin/true"}
	if raw, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(name, raw, 0o600)
}

// scenarios lists what is measured; a peer takes part where it is installed.
func (b *bench) scenarios() []scenario {
	carob := func(args ...string) func(context.Context) error {
		return func(ctx context.Context) error { return b.carob(ctx, args...) }
	}
	run := scenario{name: "run --rm true", subjects: []subject{
		{name: "carob", once: carob("run", "--rm", image, "true")},
		{name: "carob, host network and users", once: carob("run", "--rm", "--network", "host", "--userns", "host", image, "true")},
	}}
	execs := scenario{name: "exec true", subjects: []subject{{name: "carob", once: carob("exec", "target", "true")}}}
	if b.podman {
		run.subjects = append(run.subjects, subject{name: "podman run", once: b.program("podman", "run", "--rm", "--network", "none", "localhost/carob-bench", "/bin/true")})
		execs.subjects = append(execs.subjects, subject{name: "podman", once: b.program("podman", "exec", "carob-bench", "/bin/true")})
	}
	up, down := carob("apply", "-f", "pod.yaml"), carob("delete", "-f", "pod.yaml")
	return []scenario{
		run, {name: "an OCI runtime's run of true", budget: 7, subjects: b.runtimes}, execs,
		{name: "apply a pod of two", subjects: b.withPlay(subject{name: "carob", once: up, after: down}, true)},
		{name: "delete a pod of two", subjects: b.withPlay(subject{name: "carob", before: up, once: down}, false)},
		{name: "ps", subjects: []subject{{name: "carob", once: carob("ps")}}},
		{name: "version (the process alone)", subjects: []subject{{name: "carob", once: carob("--help")}}},
	}
}

// withPlay adds podman's way with the same manifest.
func (b *bench) withPlay(carob subject, measureUp bool) []subject {
	if !b.podman {
		return []subject{carob}
	}
	manifest := strings.ReplaceAll(strings.ReplaceAll(pod, image, "localhost/carob-bench"), "[sleep,", "[/bin/sleep,")
	name := filepath.Join(b.dir, "play.yaml")
	if err := os.WriteFile(name, []byte(manifest), 0o600); err != nil {
		return []subject{carob}
	}
	up := b.program("podman", "kube", "play", "--network", "none", name)
	down := b.program("podman", "kube", "down", name)
	if measureUp {
		return []subject{carob, {name: "podman kube play", once: up, after: down}}
	}
	return []subject{carob, {name: "podman kube down", before: up, once: down}}
}

func (b *bench) program(name string, args ...string) func(context.Context) error {
	return func(ctx context.Context) error { return quiet(b.command(ctx, name, args...)) }
}

// memory prints the supervisors' memory with 30 of them alive.
func (b *bench) memory(ctx context.Context, w io.Writer) error {
	const n = 30
	for i := range n - 1 { // and the one that holds the exec's target
		if err := b.carob(ctx, "run", "-d", "--name", "memory-"+strconv.Itoa(i), image, "sleep", "1000000"); err != nil {
			return err
		}
	}
	var all []float64
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, d := range dirs {
		// A supervisor's standard error is the crash trace in its pod's directory.
		if trace, err := os.Readlink(d + "/fd/2"); err == nil && strings.HasPrefix(trace, b.runDir+"/pods/") {
			all = append(all, pss(d))
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("memory: no supervisor found")
	}
	fmt.Fprintf(w, "PSS per supervisor, %d alive, kB\tcarob\t\t%.0f\t\t\t600\n", len(all), median(all))
	return nil
}

func pss(proc string) float64 {
	text, err := os.ReadFile(proc + "/smaps_rollup")
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(text)) {
		if f := strings.Fields(l); len(f) == 3 && f[0] == "Pss:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb
		}
	}
	return 0
}

// stop removes everything the bench made, the peers' things included.
func (b *bench) stop(ctx context.Context) error {
	ids, err := b.command(ctx, filepath.Join(b.bin, "carob"), "ps", "-aq").Output()
	if err != nil {
		return err
	}
	if all := strings.Fields(string(ids)); len(all) > 0 {
		if err := b.carob(ctx, append([]string{"rm", "-f"}, all...)...); err != nil {
			return err
		}
	}
	if has("podman") {
		_ = quiet(b.command(ctx, "podman", "rm", "-f", "-t", "0", "carob-bench"))
		_ = quiet(b.command(ctx, "podman", "rmi", "-f", "localhost/carob-bench"))
	}
	return b.stopDaemon()
}
