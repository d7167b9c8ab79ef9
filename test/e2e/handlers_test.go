package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"carob/internal/testenv"
)

// underEach runs a test under each OCI runtime that is installed, on a machine of its own.
func underEach(t *testing.T, test func(h *host, runtime string)) {
	for _, need := range []testenv.Need{testenv.Runc, testenv.Crun, testenv.Runsc} {
		t.Run(string(need), func(t *testing.T) {
			testenv.Require(t, need)
			test(startOwn(t), string(need))
		})
	}
}

// sentry reports whether a runtime is gVisor's: a kernel of its own.
func sentry(runtime string) bool { return runtime == "runsc" }

// twoUnder is the pod of two under a runtime.
func twoUnder(runtime, name string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  runtimeClassName: %s
  containers:
  - name: app
    image: %[3]s
    command: ["httpd", "-p", "80"]
    resources: {limits: {memory: 256Mi}}
  - name: sidecar
    image: %[3]s
    command: ["sh", "-c", "echo sidecar is up; trap 'exit 3' TERM; while true; do sleep 0.1; done"]
    resources: {limits: {memory: 128Mi}}
`, name, runtime, image)
}

// TestHandlerPod runs the article's pod under each runtime: what the containers share, who
// runs them, and that nothing stays.
func TestHandlerPod(t *testing.T) {
	underEach(t, func(h *host, runtime string) {
		name := h.name("two")
		h.apply(twoUnder(runtime, name), name)
		h.eventually("the sidecar reaches the app on localhost", func() bool {
			return h.run("exec", name+"/sidecar", "curl", "-s", "http://localhost/get").code == 0
		})
		if got := h.ok("logs", name+"/sidecar"); got != "sidecar is up" {
			t.Errorf("log %q", got)
		}
		state := filepath.Join(h.ok("pods", "--no-trunc", "--format", "{{.ID}}"), "oci/state")
		known, err := exec.Command(runtime, "--root", filepath.Join(h.dir, "run/pods", state), "list", "--quiet").Output()
		want := 2
		if sentry(runtime) {
			want = 3 // and the sandbox
		}
		if n := len(strings.Fields(string(known))); err != nil || n != want {
			h.Errorf("%s knows %d containers, want %d: %q, %v", runtime, n, want, known, err)
		}
		if got := h.ok("exec", name+"/app", "hostname"); got != name {
			h.Errorf("hostname %q", got)
		}
		h.code(9, "exec", name+"/app", "sh", "-c", "exit 9")
		h.code(127, "exec", name+"/app", "nosuch")
		h.code(3, "exec", name+"/app", "sh", "-c", "kill -9 $(pidof nosuch); exit 3")
		if !sentry(runtime) {
			checkLimit(h, name+"/app", 256)
		}
		h.ok("stop", "-t", "5", name+"/sidecar")
		if got := h.ok("inspect", "--format", "{{.State.ExitCode}}", name+"/sidecar"); got != "3" {
			h.Errorf("the sidecar's TERM handler ended it with %s, want 3", got)
		}
		h.ok("delete", "pod", name)
	})
}

func checkLimit(h *host, name string, mib int) {
	h.Helper()
	if got := h.ok("stats", "--no-stream", "--format", "{{.Limit}}", name); got != fmt.Sprint(mib<<20) {
		h.Errorf("memory of %s: %q, want a limit of %d MiB", name, got, mib)
	}
}

// TestHandlerRun holds `run` to the same exit codes and streams as under the native handler.
func TestHandlerRun(t *testing.T) {
	underEach(t, func(h *host, runtime string) {
		before, err := os.Stat(os.DevNull)
		if err != nil {
			h.Fatal(err)
		}
		run := func(args ...string) []string { return append([]string{"run", "--rm", "--runtime", runtime}, args...) }
		for want, command := range map[int][]string{
			0: {"true"}, 7: {"sh", "-c", "exit 7"}, 127: {"nosuch"}, 126: {"/etc"},
		} {
			h.code(want, append(run(image), command...)...)
		}
		if r := h.feed("typed\n", append(run("-i", image), "cat")...); r.out != "typed\n" {
			h.Errorf("cat of what was typed: %+v", r)
		}
		if r := h.run(append(run(image), "sh", "-c", "echo out; echo err >&2")...); r.out != "out\n" || r.err != "err\n" {
			h.Errorf("streams %+v", r)
		}
		if after, err := os.Stat(os.DevNull); err != nil || after.Sys().(*syscall.Stat_t).Uid != before.Sys().(*syscall.Stat_t).Uid {
			h.Errorf("the host's /dev/null has another owner: %v, %v", after, err)
		}
		if r := h.run(append(run("-t", image), "tty")...); !strings.HasPrefix(r.out, "/dev/") {
			h.Errorf("tty: %+v", r)
		}
		dir := filepath.Join(h.dir, "volume")
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		h.ok(append(run("-v", dir+":/v", image), "sh", "-c", "echo kept > /v/file")...)
		if got := readTrim(h, filepath.Join(dir, "file")); got != "kept" {
			h.Errorf("volume holds %q", got)
		}
		if r := h.run(append(run("-v", dir+":/v:ro", image), "sh", "-c", "echo no > /v/file")...); r.code == 0 {
			h.Error("a read-only volume was written")
		}
		if got := h.ok(append(run("-u", "12:34", image), "id")...); !strings.HasPrefix(got, "uid=12 gid=34") {
			h.Errorf("id: %q", got)
		}
		profile := filepath.Join(h.dir, "profile.json")
		deny := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdirat","mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}`
		if err := os.WriteFile(profile, []byte(deny), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := h.run(append(run("--security-opt", "seccomp="+profile, image), "mkdir", "/tmp/x")...); r.code == 0 {
			h.Error("the seccomp profile does not hold")
		}
		again := h.name("again")
		h.ok("run", "-d", "--runtime", runtime, "--name", again, image, "sh", "-c", "echo run; exit 5")
		if got := h.ok("wait", again); got != "5" {
			h.Errorf("exit code %s", got)
		}
		h.ok("start", again)
		if got := h.ok("wait", again); got != "5" {
			h.Errorf("exit code of the next run %s", got)
		}
		if got := h.ok("logs", again); got != "run\nrun" {
			h.Errorf("log of two runs: %q", got)
		}
		h.ok("rm", again)
	})
}

// TestHandlerRefusals: what cannot be had is named.
func TestHandlerRefusals(t *testing.T) {
	h := start(t)
	for _, test := range []struct {
		need testenv.Need
		args []string
		want string
	}{
		{"", []string{"--runtime", "nosuch"}, `handler "nosuch": there is none`},
		{testenv.Runsc, []string{"--runtime", "runsc", "--userns", "private"}, "user namespace: handler runsc"},
		{testenv.Runc, []string{"--runtime", "runc", "--userns", "private", "--network", "host"}, "net namespace"},
		{testenv.Runsc, []string{"--runtime", "runsc", "--pid", "host"}, "pid namespace: handler runsc"},
		{testenv.Runsc, []string{"--runtime", "runsc", "--device", "/dev/null:/dev/x"}, "devices: gVisor"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			if test.need != "" {
				testenv.Require(t, test.need)
			}
			r := h.run(append(append([]string{"run", "--rm"}, test.args...), image, "true")...)
			if r.code != 125 || !strings.Contains(r.err, test.want) {
				t.Errorf("exit %d, %q, want %q", r.code, r.err, test.want)
			}
		})
	}
}

// TestHandlerNetwork: what is in the pod's network namespace before the first container is in
// the containers' network, also when that is a stack of the runtime's own.
func TestHandlerNetwork(t *testing.T) {
	underEach(t, func(h *host, runtime string) {
		name := h.name("net")
		h.ok("pod", "create", "--runtime", runtime, "--cgroup-parent", h.parent, name)
		h.Cleanup(func() { h.run("delete", "pod", name) })
		pid := h.ok("inspect", "--type", "pod", "--format", "{{.pid}}", name)
		for _, line := range []string{
			"link add here type veth peer name there", "addr add 10.99.7.1/24 dev here", "link set here up", "link set there up",
		} {
			c := exec.Command("nsenter", append([]string{"-t", pid, "-n", "ip"}, strings.Fields(line)...)...)
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("ip %s: %v\n%s", line, err, out)
			}
		}
		if got := h.ok("run", "--rm", "--pod", name, image, "ip", "addr"); !strings.Contains(got, "10.99.7.1/24") {
			h.Errorf("addresses:\n%s", got)
		}
		h.ok("delete", "pod", name)
	})
}

// TestHandlerOOM: the kernel's kill is told as such.
func TestHandlerOOM(t *testing.T) {
	underEach(t, func(h *host, runtime string) {
		name := h.name("oom")
		eat := []string{"sh", "-c", "x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done"}
		h.run(append([]string{"run", "--runtime", runtime, "--memory", "64m", "--name", name, image}, eat...)...)
		if got := h.ok("inspect", "--format", "{{.State.OOMKilled}}", name); got != "true" {
			h.Errorf("OOMKilled %s", got)
		}
		h.ok("rm", name)
	})
}

// TestHandlerCrash kills the daemon under a pod: containers go on, and what ends
// meanwhile has its exit code when the daemon is back.
func TestHandlerCrash(t *testing.T) {
	underEach(t, func(h *host, runtime string) {
		gate := filepath.Join(h.dir, "gate")
		if err := os.Mkdir(gate, 0o755); err != nil {
			t.Fatal(err)
		}
		name := h.name("pod")
		h.ok("pod", "create", "--runtime", runtime, "--cgroup-parent", h.parent, name)
		h.Cleanup(func() { h.run("delete", "pod", name) })
		h.ok("run", "-d", "--pod", name, "--name", "stays", image, "sh", "-c", "while true; do echo tick; sleep 0.05; done")
		h.ok("run", "-d", "--pod", name, "--name", "ends", "-v", gate+":/gate", image, "sh", "-c",
			"until [ -e /gate/open ]; do sleep 0.02; done; echo bye; exit 23")
		path := h.ok("inspect", "--format", "{{.LogPath}}", name+"/stays")
		pid := h.pid(name + "/stays")
		h.kill()
		n := strings.Count(readTrim(h, path), "tick")
		h.eventually("the log grows without a daemon", func() bool { return strings.Count(readTrim(h, path), "tick") > n+3 })
		if err := copyFile("/proc/self/comm", filepath.Join(gate, "open")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(testenv.Patience(300 * time.Millisecond)) // it ends while nobody listens
		if got := h.ok("wait", name+"/ends"); got != "23" {  // starts a daemon again
			h.Errorf("exit code %s, want 23", got)
		}
		if got := h.ok("logs", name+"/ends"); got != "bye" {
			h.Errorf("log of the ended container: %q", got)
		}
		if got := h.pid(name + "/stays"); got != pid {
			h.Errorf("pid %d before, %d after the crash", pid, got)
		}
		if got := h.ok("exec", name+"/stays", "echo", "hi"); got != "hi" {
			h.Errorf("exec after the crash: %q", got)
		}
		h.ok("start", name+"/ends")
		if got := h.ok("wait", name+"/ends"); got != "23" {
			h.Errorf("exit code of the next run %s, want 23", got)
		}
		h.ok("stop", "-t", "0", name+"/stays")
		h.ok("delete", "pod", name)
	})
}

// TestHandlerCrashWhileStarting kills the daemon at different moments of a start: the next
// one either has the container or not, and nothing stays of it.
func TestHandlerCrashWhileStarting(t *testing.T) {
	underEach(t, func(h *host, runtime string) {
		h.ok("run", "--rm", "--runtime", runtime, image, "true") // the daemon is up, the runtime known
		for i := range 6 {
			name := fmt.Sprintf("%s-%d", h.name("begun"), i)
			c := h.cmd("run", "-d", "--runtime", runtime, "--name", name, image, "sleep", "1000")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(10+25*i) * time.Millisecond) // anywhere in the start
			h.kill()
			_ = c.Wait() // it may have been in time
			h.run("rm", "-f", name)
		}
		if left := strings.Fields(h.ok("ps", "-aq")); len(left) > 0 {
			h.Errorf("containers %v stay", left)
		}
	})
}

// TestHandlerSupervisorDies: the pod is lost, and with it all that the runtime has made.
func TestHandlerSupervisorDies(t *testing.T) {
	underEach(t, func(h *host, runtime string) {
		name := h.name("two")
		h.apply(twoUnder(runtime, name), name)
		pid := h.pid(name + "/app")
		var supervisor int
		out := h.ok("inspect", "--type", "pod", "--format", "{{.pid}}", name)
		if _, err := fmt.Sscan(out, &supervisor); err != nil {
			t.Fatalf("%q: %v", out, err)
		}
		if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		h.eventually("the containers are gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
		h.ok("delete", "pod", name)
	})
}

// TestConfigFile: the daemon reads its file, says what is wrong with line numbers, and
// has the handlers it names.
func TestConfigFile(t *testing.T) {
	testenv.Require(t, testenv.Runc)
	h := startOwn(t)
	write := func(text string) string {
		path := filepath.Join(h.dir, "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	r := h.code(1, "config", "check", write("root = \"/x\"\n\nruntime = 1\n"))
	if !strings.Contains(r.err, "config.toml:3: runtime: there is no such setting") {
		t.Errorf("error %q", r.err)
	}
	h.ok("config", "check", write(h.ok("config", "default")))
	path := write("[handlers.mine]\npath = \"" + runc + "\"\n")
	c := h.cmd("serve", "--config", path)
	var errs bytes.Buffer
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	h.eventually("the daemon answers", func() bool { return h.daemon() != 0 })
	if got := h.ok("run", "--rm", "--runtime", "mine", image, "echo", "hello"); got != "hello" {
		t.Errorf("%q", got)
	}
	if got := h.ok("info", "--format", "{{range .Handlers}}{{.Name}} {{end}}"); !strings.Contains(got, "mine") {
		t.Errorf("info: %q", got)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // the log tells
}

// TestHandlerCRI: a kubelet's container, whose service-account token is a read-only mount,
// under each runtime.
func TestHandlerCRI(t *testing.T) {
	underEach(t, func(h *host, runtime string) {
		k := h.kubelet()
		s := k.sandbox(nil)
		r, err := k.RunPodSandbox(k.ctx, &cri.RunPodSandboxRequest{Config: s, RuntimeHandler: runtime})
		if err != nil {
			t.Fatal(err)
		}
		token := t.TempDir()
		if err := os.WriteFile(filepath.Join(token, "token"), []byte("secret"), 0o644); err != nil {
			t.Fatal(err)
		}
		c := k.ask(r.GetPodSandboxId(), s, "exec sleep 1000000")
		c.Config.Mounts = []*cri.Mount{{ContainerPath: "/token", HostPath: token, Readonly: true}}
		id := k.create(c)
		k.start(id)
		if got := k.exec(id, "cat /token/token; touch /token/more 2>/dev/null || echo ' and read-only'"); got != "secret and read-only" {
			t.Errorf("inside: %q", got)
		}
		if _, err := k.RemovePodSandbox(k.ctx, &cri.RemovePodSandboxRequest{PodSandboxId: r.GetPodSandboxId()}); err != nil {
			t.Error(err)
		}
	})
}
